"""asyncio.run: Ctrl+C cancels the task, and its `finally` is awaited. SIGTERM just kills it."""

import asyncio


async def main():
    try:
        print("task started", flush=True)
        await asyncio.sleep(60)
    finally:
        await asyncio.sleep(0.7)
        print("task closed", flush=True)


asyncio.run(main())
