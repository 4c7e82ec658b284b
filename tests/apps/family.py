"""family.py KIND: parents and children that treat each other in ways an init has to respect.

daemon     a daemonised master and its worker, in charge of themselves: the main process leaves when they are ready
untold     the parent handles TERM and waits for a child that handles TERM as well, but does not tell it
cleaner    told to stop, it starts a command that cleans up and waits for it
successor  told to stop, it forks a child in a session of its own that handles TERM, and leaves
teller     tells its worker and waits; a second TERM makes the worker drop its job
"""

import os
import signal
import subprocess
import sys
import time


def say(text):
    os.write(1, f"{text}\n".encode())  # print() may not be interrupted by a handler that prints


def on_term(action):
    signal.signal(signal.SIGTERM, lambda *_: action())


def worker(name, seconds, announce=None):
    """Finishes its job when told once, drops it when told twice."""
    told = []

    def tell():
        told.append(1)
        if len(told) > 1:
            say(f"{name} dropped the job")
            os._exit(1)
        say(f"{name} told")

    on_term(tell)
    say(f"{name} ready")
    if announce is not None:
        os.close(announce)
    while not told:
        time.sleep(0.02)
    time.sleep(seconds)
    say(f"{name} finished the job")
    os._exit(0)


def master(announce=None):
    told = []
    child = os.fork()
    if child == 0:
        worker("worker", 1.0, announce)

    def tell():
        if not told:
            told.append(1)
            say("master told")
            time.sleep(0.1)  # else a signal that the worker got before would still be pending, and the two would be one
            os.kill(child, signal.SIGTERM)

    on_term(tell)
    say("master ready")
    if announce is not None:
        os.close(announce)
    _, status = os.waitpid(child, 0)
    say(f"master saw {os.waitstatus_to_exitcode(status)}")
    os._exit(0)


def daemon():
    ready, announce = os.pipe()
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            master(announce)
        os._exit(0)
    os.close(announce)
    os.wait()
    os.read(ready, 1)  # ends when both have closed it, with their handlers installed
    say("main leaves")


def untold():
    child = os.fork()
    if child == 0:
        worker("child", 0.05)
    told = []
    on_term(lambda: told.append(1))
    say("parent ready")
    os.waitpid(child, 0)
    say(f"parent clean after {len(told)}")


def cleaner():
    told = []
    on_term(lambda: told.append(1))
    say("cleaner ready")
    while not told:
        time.sleep(0.02)
    subprocess.run(["sh", "-c", "sleep 1; echo swept"])
    say(f"cleaner clean after {len(told)}")


def successor():
    told = []
    on_term(lambda: told.append(1))
    say("first ready")
    while not told:
        time.sleep(0.02)
    ready, announce = os.pipe()
    if os.fork() == 0:
        os.setsid()
        signal.signal(signal.SIGTERM, lambda *_: None)
        os.write(announce, b"1")
        worker("successor", 0.7)
    os.read(ready, 1)
    say("first leaves")


kind = sys.argv[1]
{
    "daemon": daemon,
    "untold": untold,
    "cleaner": cleaner,
    "successor": successor,
    "teller": master,
}[kind]()
