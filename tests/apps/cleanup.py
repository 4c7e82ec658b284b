"""cleanup.py NAME SIGNALS [SECONDS]: works until one of SIGNALS tells it to stop, then cleans up for SECONDS.

SIGNALS is `INT`, `TERM`, `INT,TERM`, `USR1` or any other list, or `none`. INT alone is Python's own KeyboardInterrupt, as in
the many programs that know only Ctrl+C. Every signal that arrives is a line of output, and so is each step.
With SAY_TO=FILE the lines are also written there: a parent may have taken our standard output.
"""

import os
import signal
import sys
import time


def say(text):
    os.write(1, f"{text}\n".encode())  # print() may not be interrupted by a handler that prints
    if os.environ.get("SAY_TO"):
        with open(os.environ["SAY_TO"], "a") as lines:
            lines.write(text + "\n")


def number(name):
    return signal.SIGRTMIN + int(name[6:]) if name.startswith("RTMIN+") else getattr(signal, "SIG" + name)


def until_interrupted(name):
    try:
        say(f"{name} ready")
        while True:
            time.sleep(60)
    except KeyboardInterrupt:
        say(f"{name} told INT")


def until_told(name, signals):
    told = []

    def note(_, which):
        told.append(which)
        say(f"{name} told {which}")

    for one in signals:
        signal.signal(number(one), lambda *_, one=one: note(_, one))
    # Only where it is Python's own: a background job of a shell starts with SIGINT ignored, and stays so.
    if "INT" not in signals and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    say(f"{name} ready")
    while not set(told) & {"INT", "TERM", "QUIT"}:
        time.sleep(0.02)


def main():
    name, signals = sys.argv[1], sys.argv[2].split(",")
    seconds = float(sys.argv[3]) if len(sys.argv) > 3 else 0.7
    if signals == ["INT"]:
        until_interrupted(name)
    else:
        until_told(name, [] if signals == ["none"] else signals)
    time.sleep(seconds)
    say(f"{name} clean")


main()
