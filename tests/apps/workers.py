"""workers.py pool-fork|pool-spawn|executor|process: a parent that knows only Ctrl+C, and worker processes with tasks.

The workers inherit Python's own handler for SIGINT: a signal to the whole group loses their tasks.
"""

import concurrent.futures
import multiprocessing
import os
import sys
import time

import inflight


def say(text):
    os.write(1, f"{text}\n".encode())  # one write: the lines of two workers must not mix


def task(number):
    say(f"task {number} started")
    inflight.work()
    say(f"task {number} done")
    return number


def pool(method):
    workers = multiprocessing.get_context(method).Pool(2)
    results = workers.map_async(task, [1, 2], chunksize=1)
    try:
        results.wait()
        time.sleep(60)
    except KeyboardInterrupt:
        say("parent told")
        workers.close()
        workers.join()
    say(f"results {results.get()}")


def executor():
    with concurrent.futures.ProcessPoolExecutor(2) as workers:
        results = [workers.submit(task, number) for number in (1, 2)]
        try:
            concurrent.futures.wait(results)
            time.sleep(60)
        except KeyboardInterrupt:
            say("parent told")
        say(f"results {[result.result() for result in results]}")


def process():
    worker = multiprocessing.get_context("spawn").Process(target=task, args=(1,))
    worker.start()
    try:
        worker.join()
        time.sleep(60)
    except KeyboardInterrupt:
        say("parent told")
        worker.join()
    say(f"results [{worker.exitcode}]")


if __name__ == "__main__":
    kind, _, method = sys.argv[1].partition("-")
    {"pool": lambda: pool(method), "executor": executor, "process": process}[kind]()
