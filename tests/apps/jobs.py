"""The task queues on redis, behind the unix socket named by REDIS_SOCKET. `jobs.py celery|dramatiq|rq N` queues N jobs.

Each job counts itself in redis when it starts and when it is done: what was promised to a user is done, whatever the worker said.
"""

import os
import sys

import inflight

SOCKET = os.environ["REDIS_SOCKET"]
WHICH = os.environ.get("QUEUE") or sys.argv[1]


def work():
    import redis

    store = redis.Redis(unix_socket_path=SOCKET)
    store.incr("started")
    inflight.work()
    store.incr("done")


if WHICH == "celery":
    import celery

    app = celery.Celery("jobs", broker=f"redis+socket://{SOCKET}", backend=f"redis+socket://{SOCKET}")
    app.conf.worker_hijack_root_logger = False
    app.conf.worker_redirect_stdouts = False
    job = app.task(name="job")(work)
    queue = job.delay
elif WHICH == "dramatiq":
    import dramatiq
    from dramatiq.brokers.redis import RedisBroker

    dramatiq.set_broker(RedisBroker(url=f"unix://{SOCKET}"))
    job = dramatiq.actor(max_retries=0, actor_name="job")(work)
    queue = job.send
else:
    import redis
    import rq

    def queue():
        rq.Queue(connection=redis.Redis(unix_socket_path=SOCKET)).enqueue("jobs.work", result_ttl=500)


if __name__ == "__main__":
    for _ in range(int(sys.argv[2])):
        queue()
