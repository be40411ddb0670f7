"""The application by its name, as ``uvicorn --reload`` wants it: each process that it starts imports this."""

import os

import orjson
from options import OPTIONS, Options
from web import Jobs, asgi

app = asgi(Jobs(Options(**orjson.loads(os.environ[OPTIONS])).make_queue()))
