"""A real HTTP server with an OpenAI-compatible face, in a thread, whose answers and failures a test decides."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = tuple[int, bytes, dict[str, str]]


def said(text: str, finish: str = "stop", usage: bool = True, chat: bool = False) -> Answer:
    """A well-formed reply."""
    choice: dict[str, Any] = {"index": 0, "finish_reason": finish}
    choice |= {"message": {"role": "assistant", "content": text}} if chat else {"text": text}
    body: dict[str, Any] = {"choices": [choice]}
    if usage:
        body["usage"] = {"prompt_tokens": 7, "completion_tokens": 3}
    return 200, json.dumps(body).encode(), {}


def error(status: int, message: str = "no", **headers: str) -> Answer:
    """An error as OpenAI's API words it."""
    return status, json.dumps({"error": {"message": message}}).encode(), headers


@dataclass
class Server:
    """What a test sees of the server: where it is, what it was asked, and how it answers."""

    url: str
    answer: Callable[[dict[str, Any]], Answer]
    bodies: list[dict[str, Any]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    under_way: int = 0
    most: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


@contextmanager
def serving(answer: Callable[[dict[str, Any]], Answer]) -> Iterator[Server]:
    """A server on a free port of 127.0.0.1, gone when the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with told.lock:
                told.bodies.append(body)
                told.paths.append(self.path)
                told.keys.append(self.headers.get("Authorization"))
                told.under_way += 1
                told.most = max(told.most, told.under_way)
            status, content, headers = told.answer(body)
            with told.lock:
                told.under_way -= 1
            try:
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name.replace("_", "-"), value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)
            except (BrokenPipeError, ConnectionResetError):
                pass  # the client gave up waiting

        def log_message(self, *_: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    told = Server(f"http://127.0.0.1:{server.server_address[1]}/v1", answer)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield told
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
