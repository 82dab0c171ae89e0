"""A web server on this machine whose answers a test defines."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Answer = Callable[[BaseHTTPRequestHandler], None]


class WebServer(ThreadingHTTPServer):
    """Answers by path, without the query; other paths are not found.

    Attributes:
        answers: by path.
        requests: the paths of all requests, with queries.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: dict[str, Answer] = {}
        self.requests: list[str] = []
        self.released = threading.Event()

    @property
    def url(self) -> str:
        """Address of the server, without a slash at the end."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def add(self, path: str, answer: Answer) -> str:
        """Define the answer for a path; return its URL."""
        self.answers[path] = answer
        return self.url + path

    def in_halves(self, data: bytes) -> Answer:
        """Send half of ``data``, and the rest after ``released`` is set."""

        def answer(handler: BaseHTTPRequestHandler) -> None:
            handler.send_response(200)
            handler.send_header("Content-Length", str(len(data)))
            handler.end_headers()
            handler.wfile.write(data[: len(data) // 2])
            self.released.wait()
            handler.wfile.write(data[len(data) // 2 :])

        return answer

    def stall(self, handler: BaseHTTPRequestHandler) -> None:
        """Send a header and then nothing, until the end of the test."""
        handler.send_response(200)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        self.released.wait()


class _Handler(BaseHTTPRequestHandler):
    server: WebServer

    def do_GET(self) -> None:
        self.server.requests.append(self.path)
        answer = self.server.answers.get(self.path.partition("?")[0], status(404))
        answer(self)

    def log_message(self, *args: object) -> None:
        """Print nothing."""


def content(data: bytes, *, announced: int | None = None, **headers: str) -> Answer:
    """Send a file; ``announced`` is its Content-Length if that differs, -1 for none."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        size = len(data) if announced is None else announced
        if size >= 0:
            handler.send_header("Content-Length", str(size))
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(data)

    return answer


def status(code: int, **headers: str) -> Answer:
    """Send a status without a file."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(code)
        handler.send_header("Content-Length", "0")
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()

    return answer


@contextmanager
def serve() -> Iterator[WebServer]:
    """Run a server in threads of this process."""
    with WebServer() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.released.set()
            server.shutdown()
            thread.join()
