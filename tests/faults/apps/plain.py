"""A plain WSGI app that records batches and answers with the ids that it was told are on disk."""

import os
from urllib.parse import parse_qs

import seclog
from seclog import api

installation = seclog.configure({"service": "kill-test"})
seclog.emit("sensitive_read", target_type="preload", pid=os.getpid())


def application(environ, start_response):
    """Record `n` entries with `size` more bytes each; answer with their ids, one a line."""
    query = parse_qs(environ.get("QUERY_STRING", ""))
    count, size = int(query.get("n", ["0"])[0]), int(query.get("size", ["0"])[0])
    filling = {f"filling_{number}": "x y " * 250 for number in range(size // 1000)}
    got = [
        api.emit("sensitive_read", target_type="orders", target_id=number, pid=os.getpid(), **filling)
        for number in range(count)
    ]
    body = "\n".join(filter(None, got)).encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
