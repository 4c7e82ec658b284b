"""APScheduler's BlockingScheduler, as in its documentation: Ctrl+C lets the running job finish."""

import time

from apscheduler.schedulers.blocking import BlockingScheduler


def job():
    print("job started", flush=True)
    time.sleep(1.2)
    print("job done", flush=True)


scheduler = BlockingScheduler(timezone="UTC")
scheduler.add_job(job)
try:
    scheduler.start()
except (KeyboardInterrupt, SystemExit):
    print("scheduler told", flush=True)
    scheduler.shutdown(wait=True)
    print("scheduler stopped", flush=True)
