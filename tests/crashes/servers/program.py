"""A web server with a queue behind it, as its users would run it. It is there to be sent signals.

It says ``listening PORT`` when it can be asked, and ``log …`` for each line in the log of the queue. The one argument
is JSON: the fields of Options.
"""

import asyncio
import os
import signal
import socket
import sys
from functools import partial

import hypercorn.asyncio
import hypercorn.trio
import orjson
import trio
import uvicorn
from aiohttp.web import run_app
from hypercorn.config import Config
from options import OPTIONS, Options, tell
from web import Jobs, aiohttp, asgi


def serve_uvicorn(options: Options, listener: socket.socket) -> None:
    app = asgi(Jobs(options.make_queue()))
    uvicorn.Server(uvicorn.Config(app, log_level="warning")).run([listener])


def serve_uvicorn_reloading(options: Options, listener: socket.socket) -> None:
    os.environ[OPTIONS] = sys.argv[1]
    uvicorn.run("reloaded:app", fd=listener.fileno(), reload=True, reload_dirs=options.watched, log_level="error")


def serve_hypercorn(options: Options, listener: socket.socket) -> None:
    app = asgi(Jobs(options.make_queue()))
    asyncio.run(hypercorn.asyncio.serve(app, _hypercorn_config(listener)))


def serve_hypercorn_on_trio(options: Options, listener: socket.socket) -> None:
    """On trio it leaves signals to the program."""
    app = asgi(Jobs(options.make_queue()))

    async def main() -> None:
        with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            first = partial(anext, aiter(signals))
            await hypercorn.trio.serve(app, _hypercorn_config(listener), shutdown_trigger=first)

    trio.run(main)


def serve_aiohttp(options: Options, listener: socket.socket) -> None:
    run_app(aiohttp(Jobs(options.make_queue())), sock=listener, print=None)


def _hypercorn_config(listener: socket.socket) -> Config:
    config = Config()
    config.bind = [f"fd://{listener.detach()}"]
    config.loglevel = "WARNING"
    return config


SERVERS = {
    "uvicorn": serve_uvicorn,
    "uvicorn --reload": serve_uvicorn_reloading,
    "hypercorn": serve_hypercorn,
    "hypercorn on trio": serve_hypercorn_on_trio,
    "aiohttp": serve_aiohttp,
}


def main() -> None:
    options = Options(**orjson.loads(sys.argv[1]))
    listener = socket.create_server(("127.0.0.1", 0))
    tell("listening", listener.getsockname()[1])
    SERVERS[options.server](options, listener)


if __name__ == "__main__":
    main()
