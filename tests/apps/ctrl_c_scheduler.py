"""APScheduler's BlockingScheduler, as in its documentation: Ctrl+C lets the running job finish."""

import time

import inflight
from apscheduler.schedulers.blocking import BlockingScheduler


def job():
    time.sleep(0.3)  # the scheduler is still in the middle of starting this thread, and does not survive an interrupt there
    print("job started", flush=True)
    inflight.work()
    print("job done", flush=True)


scheduler = BlockingScheduler(timezone="UTC")
scheduler.add_job(job)
try:
    scheduler.start()
except (KeyboardInterrupt, SystemExit):
    print("scheduler told", flush=True)
    scheduler.shutdown(wait=True)
    print("scheduler stopped", flush=True)
