"""run.py plain|stdout|capture|timeout|interrupted COMMAND...: a wrapper made of subprocess.run, as in countless entry points.

SIGINT makes CPython SIGKILL the child a quarter of a second later, so such a wrapper must not get it.
"""

import subprocess
import sys


def say(text):
    print(text, flush=True)


def main():
    how, command = sys.argv[1], sys.argv[2:]
    say("wrapper ready")
    try:
        if how == "stdout":
            ended = subprocess.run(command, stdout=subprocess.PIPE, text=True)
        elif how == "capture":
            ended = subprocess.run(command, capture_output=True, text=True)
        else:
            ended = subprocess.run(command)
    except KeyboardInterrupt:
        say("wrapper interrupted")
        return
    for line in (ended.stdout or "").splitlines():
        say(f"captured: {line}")
    say(f"wrapper saw {ended.returncode}")


main()
