"""Work that is in flight at the stop, however slow the machine is: it goes on until the test has asked for the stop (then it
makes the file named by ASKED), and a while longer."""

import asyncio
import os
import time

AFTER = 0.8


def asked():
    return not os.environ.get("ASKED") or os.path.exists(os.environ["ASKED"])


def work():
    while not asked():
        time.sleep(0.02)
    time.sleep(AFTER)


async def work_async():
    while not asked():
        await asyncio.sleep(0.02)
    await asyncio.sleep(AFTER)
