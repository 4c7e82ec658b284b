"""A daemon that only knows Ctrl+C, like a great many Python programs: SIGTERM kills it before it can clean up."""

import sys
import time


def say(text):
    print(text, flush=True)


def main():
    step = 0
    try:
        say("working")
        while True:
            step += 1
            time.sleep(1)
            say(f"step {step}")
    except KeyboardInterrupt:
        say("interrupted: saving the work")
    finally:
        say("cleanup done")
    sys.exit(3)


if __name__ == "__main__":
    main()
