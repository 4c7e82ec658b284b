"""One slow page for every Python server: as WSGI (`web:wsgi`) and as ASGI (`web:asgi`). /fast answers at once."""

import os

import inflight


def say(text):
    print(text, flush=True)


def wsgi(environ, start_response):
    if environ["PATH_INFO"] != "/fast":
        say("request started")
        inflight.work()
        say("request answered")
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"answered by {os.getpid()}\n".encode()]


async def asgi(scope, receive, send):
    if scope["type"] != "http":
        return
    if scope["path"] != "/fast":
        say("request started")
        await inflight.work_async()
        say("request answered")
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": f"answered by {os.getpid()}\n".encode()})
