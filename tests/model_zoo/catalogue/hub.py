"""A file server on this machine that misbehaves as told, and plays Hugging Face's hub."""

from __future__ import annotations

import gzip
import hashlib
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np

from model_zoo.catalogue.remote_file import RemoteFile

CONTENT = np.random.default_rng(20).bytes(300_000)
"""The file: random, so that it cannot be compressed, and not a whole number of blocks."""

SHA256 = hashlib.sha256(CONTENT).hexdigest()
HALF = len(CONTENT) // 2
REVISION = "0123456789abcdef" * 2 + "01234567"


class Handler(BaseHTTPRequestHandler):
    """Answers with the behaviour of the path; counts what was sent."""

    server: Hub

    def do_GET(self) -> None:
        self.server.requests.append((self.command, self.path, self.headers.get("Range", "")))
        with suppress(ConnectionError):
            self.server.behaviours.get(self.path, status(404))(self)

    do_HEAD = do_GET  # noqa: N815

    @property
    def start(self) -> int:
        """First byte that the client wants."""
        found = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        return int(found[1]) if found else 0

    def begin(self, code: int, **headers: object) -> None:
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def send(self, data: bytes) -> None:
        if self.command == "GET":
            self.server.sent += len(data)  # before the last bytes let the test go on
            self.wfile.write(data)

    def log_message(self, *args: object) -> None:
        """Print nothing."""


Behaviour = Callable[[Handler], object]


class Hub(ThreadingHTTPServer):
    """The server.

    Attributes:
        behaviours: by path; other paths are not found.
        requests: method, path and Range of each request.
        sent: bytes of bodies.
        released: set at the end of a test, for answers that wait.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.behaviours: dict[str, Behaviour] = {}
        self.requests: list[tuple[str, str, str]] = []
        self.sent = 0
        self.released = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def add(self, path: str, behaviour: Behaviour) -> str:
        """Define the answer for a path; return its address."""
        self.behaviours[path] = behaviour
        return self.url + path

    def file(
        self, behaviour: Behaviour, *mirrors: Behaviour, size: int = len(CONTENT)
    ) -> RemoteFile:
        """Describe the file behind one address and its mirrors."""
        urls = [self.add(f"/{at}/net.bin", each) for at, each in enumerate((behaviour, *mirrors))]
        return RemoteFile(urls[0], SHA256, size, tuple(urls[1:]))

    def gets(self) -> list[str]:
        """Ranges of all GET requests."""
        return [wanted for method, _, wanted in self.requests if method == "GET"]


def whole(request: Handler, content: bytes = CONTENT, until: int | None = None) -> None:
    """Send the file from the first byte that the client wants; stop after the byte ``until``."""
    start, end = request.start, len(content)
    rest = content[start:until]
    if start >= end:
        request.begin(416, Content_Range=f"bytes */{end}", Content_Length=0)
        return
    ranged = {"Content_Range": f"bytes {start}-{end - 1}/{end}"} if start else {}
    request.begin(206 if start else 200, Content_Length=end - start, **ranged)
    request.send(rest)


def without_ranges(request: Handler) -> None:
    request.begin(200, Content_Length=len(CONTENT))
    request.send(CONTENT)


def cut(count: int) -> Behaviour:
    """Close the connection after ``count`` bytes of each answer."""
    return lambda request: whole(request, until=request.start + count)


def truncated(request: Handler) -> None:
    """Never send more than half of the file."""
    whole(request, until=HALF)


def cut_without_ranges(request: Handler) -> None:
    request.begin(200, Content_Length=len(CONTENT))
    request.send(CONTENT[:HALF])


def of(content: bytes) -> Behaviour:
    """Send another file."""
    return lambda request: whole(request, content)


def endless(request: Handler) -> None:
    """Send more than the file, without saying how much."""
    request.begin(200)
    with suppress(ConnectionError):
        for _ in range(100):
            request.send(CONTENT)


def compressed(request: Handler) -> None:
    data = gzip.compress(CONTENT)
    request.begin(200, Content_Length=len(data), Content_Encoding="gzip")
    request.send(data)


def announced(size: int) -> Behaviour:
    """Send the file with a Content-Length of ``size``."""

    def answer(request: Handler) -> None:
        request.begin(200, Content_Length=size)
        request.send(CONTENT)

    return answer


def wrong_range(request: Handler) -> None:
    """Answer to a range with the first bytes of the file, as if they were that range."""
    if not request.start:
        return cut(HALF)(request)
    request.begin(206, Content_Range=f"bytes 0-{HALF}/{len(CONTENT)}", Content_Length=HALF)
    request.send(CONTENT[:HALF])
    return None


def silent(request: Handler) -> None:
    request.server.released.wait()


def stalled(request: Handler) -> None:
    """Send half of the file, and nothing more."""
    request.begin(200, Content_Length=len(CONTENT))
    request.send(CONTENT[:HALF])
    request.server.released.wait()


def trickling(request: Handler) -> None:
    """Send a byte now and then."""
    request.begin(200, Content_Length=len(CONTENT))
    for at in range(len(CONTENT)):
        if request.server.released.wait(0.05):
            break
        request.send(CONTENT[at : at + 1])


def no_http(request: Handler) -> None:
    request.wfile.write(b"SSH-2.0-x\r\n")


def status(code: int, **headers: object) -> Behaviour:
    """Send a status without a file."""
    return lambda request: request.begin(code, Content_Length=0, **headers)


def to(address: str) -> Behaviour:
    """Redirect."""
    return status(302, Location=address)


def in_turn(*behaviours: Behaviour) -> Behaviour:
    """Behave differently at each request; the last behaviour stays."""
    left = [*behaviours]

    def answer(request: Handler) -> None:
        behaviour = left.pop(0) if len(left) > 1 else left[0]
        behaviour(request)

    return answer


def play_hub(hub: Hub, behaviour: Behaviour, sha256: str = SHA256) -> RemoteFile:
    """Describe a file of the hub, whose content lies on another host (the same by another name)."""
    storage = hub.add("/storage", behaviour).replace("127.0.0.1", "localhost")
    about = {"X_Repo_Commit": REVISION, "X_Linked_Etag": f'"{sha256}"'}
    answer = status(302, Location=storage, X_Linked_Size=len(CONTENT), **about)
    path = f"/someone/nets/resolve/{REVISION}/deep/net.bin"
    hub.add(path, answer)
    return RemoteFile(f"https://huggingface.co{path}", SHA256, len(CONTENT))


@contextmanager
def serve() -> Iterator[Hub]:
    """Run a server in threads of this process."""
    with Hub() as hub:
        thread = threading.Thread(target=hub.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield hub
        finally:
            hub.released.set()
            hub.shutdown()
            thread.join()
