"""Transfers a file from one address: huggingface_hub finds files of its hub, pooch reads the bytes.

``hf_hub_download`` removes what has arrived when it fails (tried with version 2.4), so it cannot go
on after an interruption. Therefore the hub is asked where a file is, and the rest of the file is
requested from there (RFC 9110, section 14).
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from http import HTTPStatus
from http.client import responses
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import unquote, urljoin, urlsplit

from model_zoo.errors import OutputError, StemError, first_line
from model_zoo.files import CACHE_VARIABLE, NO_ROOM, is_too_long

if TYPE_CHECKING:
    from requests import Response

T = TypeVar("T")

MIRROR_VARIABLE = "STEM_MIRROR"
"""Environment variable with the address of a server that has the same files."""

TIMEOUT = 30.0
"""Seconds without an answer, or without a block of data, until an address is given up."""

POLL = 0.1  # seconds between two reports of the progress
BLOCK = 2**14
"""Bytes that are written at once; fewer are lost if the connection breaks."""

LARGEST = 2**34
"""Bytes that are accepted from a server if nobody states the size of the file."""

HUB_HOSTS = ("huggingface.co", "hf.co")
HUB = "https://huggingface.co"
HUB_FILE = re.compile(
    r"/(?:(?P<kind>dataset|space)s/)?(?P<repo>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<path>.+)"
)
CONTENT_RANGE = re.compile(r"bytes (?P<start>\d+)-\d+/(?P<total>\d+|\*)")

AGAIN = "Run it again later"
NETWORK = "Check the network, then run it again"
ELSEWHERE = f"Set {MIRROR_VARIABLE} to the address of a server that has it"
LOGIN = "Accept the terms on its page if it has any, run: hf auth login, and run it again"

SILENT = f"sends less than {BLOCK:,} bytes in {{:g}} seconds"

DISTURBANCES = (
    ("ProxyError", "is not reached through the proxy", "Check HTTP_PROXY, HTTPS_PROXY, NO_PROXY"),
    ("gaierror", "was not found", NETWORK),
    ("ConnectionRefusedError", "refuses the connection", NETWORK),
    ("Timeout", SILENT, NETWORK),
    ("TimeoutError", SILENT, NETWORK),
    ("TimeoutException", SILENT, NETWORK),
    ("SSLError", "has no secure connection", "Check the clock, the network and the proxy"),
    ("TooManyRedirects", "redirects in a loop", ELSEWHERE),
    ("IncompleteRead", "breaks the connection", NETWORK),
    ("ProtocolError", "breaks the connection", NETWORK),
    ("ConnectionError", "breaks the connection", NETWORK),
    ("RemoteProtocolError", "breaks the connection", NETWORK),
    ("NetworkError", "breaks the connection", NETWORK),
)
"""Names of exceptions of requests, urllib3, httpx and Python, the most telling first, with what the
server does and what to do next."""

Report = Callable[[int, int | None], object]
"""Takes the bytes that are done, and the size of the file; None while it is unknown."""


class AddressError(Exception):
    """An address did not give the file.

    Args:
        reason: what the server did, in words that follow its name.
        advice: what to do next.
        may_continue: whether it is worth asking the same address for the rest.
    """

    def __init__(self, reason: str, advice: str = ELSEWHERE, may_continue: bool = False) -> None:
        super().__init__(reason)
        self.reason, self.advice, self.may_continue = reason, advice, may_continue


class WrongContentError(AddressError):
    """What has arrived cannot be the beginning of the file."""


class PartialFile:
    """The part of a file that has arrived; it is appended to, in one thread.

    Args:
        path: the part, which may exist.
        size: size of the whole file in bytes; 0 if it is unknown.
        largest: most bytes that are accepted if the size is unknown; 0 for :data:`LARGEST`.

    Attributes:
        size: bytes that have arrived.
        expected: size of the whole file; 0 while it is unknown.

    Raises:
        OutputError: the part cannot be written.
    """

    def __init__(self, path: Path, size: int, largest: int = 0) -> None:
        self.path, self.expected, self._largest = path, size, largest or LARGEST
        self._lock = threading.Lock()
        self._moved = time.monotonic()
        with explain_writing(path):
            self._file = path.open("ab", buffering=0)
            self.size = path.stat().st_size

    @property
    def idle(self) -> float:
        """Seconds since the last block arrived."""
        return time.monotonic() - self._moved

    def close(self) -> None:
        """Close the file; a thread that still writes fails with its next block."""
        with self._lock:
            self._file.close()

    def write(self, block: bytes) -> int:
        """Append a block.

        Raises:
            WrongContentError: the file would be larger than expected.
            OutputError: the block cannot be written.
        """
        with self._lock, explain_writing(self.path):
            most = self.expected or self._largest
            if self.size + len(block) > most:
                raise WrongContentError(f"sends more than {most:,} bytes")
            rest = memoryview(block)
            while rest:
                rest = rest[self._file.write(rest) :]
            self.size += len(block)
            self._moved = time.monotonic()
        return len(block)

    def flush(self) -> None:
        """Nothing is buffered; pooch calls this after each block."""

    def restart(self) -> None:
        """Begin with the first byte again."""
        with self._lock, explain_writing(self.path):
            self._file.truncate(0)
            self.size = 0

    def expect(self, total: int) -> None:
        """Compare the size that a server states with the expected one.

        Raises:
            AddressError: they differ.
        """
        if self.expected and total != self.expected:
            raise AddressError(f"has a file of {total:,} bytes instead of {self.expected:,}")
        if total > self._largest and not self.expected:
            raise AddressError(
                f"has a file of {total:,} bytes instead of {self._largest:,} at most"
            )
        self.expected = total

    def require_complete(self) -> None:
        """Require that all bytes have arrived.

        Raises:
            AddressError: some are missing.
        """
        if self.size < self.expected:
            raise AddressError(
                f"closes the connection after {self.size:,} of {self.expected:,} bytes",
                AGAIN,
                may_continue=True,
            )


def receive(address: str, part: PartialFile, sha256: str, report: Report) -> None:
    """Append what is missing of a file; close the part in the end.

    A thread waits for the server, so that Ctrl-C works at once on every system and a server that
    sends a byte now and then cannot go on for ever.

    Args:
        address: of the file.
        part: what has arrived already.
        sha256: SHA-256 of the whole file, to refuse another file before it is transferred.
        report: called several times a second, in this thread.

    Raises:
        AddressError: the address does not give the rest.
        OutputError: the part cannot be written.
    """
    transfer = in_daemon_thread(lambda: _transfer(address, part, sha256))
    try:
        while not transfer.done():
            wait([transfer], POLL)
            report(part.size, part.expected or None)
            if part.idle > TIMEOUT:
                raise _silent()
        transfer.result()
    finally:
        part.close()


def check_redirect(origin: str, target: str) -> None:
    """Refuse a redirect to a file of this machine, to another protocol, or to an open connection.

    Raises:
        AddressError: it is one of these.
    """
    before, after = urlsplit(origin).scheme, urlsplit(target).scheme
    if after not in ("http", "https"):
        raise AddressError(f"redirects to {after or 'nothing'}:, which is not a web address")
    if before == "https" and after == "http":
        raise AddressError("redirects to a connection without encryption")


@contextmanager
def explain_writing(path: Path) -> Iterator[None]:
    """Turn errors of the disk into one sentence.

    Raises:
        OutputError: a file in the cache cannot be written.
    """
    try:
        yield
    except OSError as error:
        advice = f"Set {CACHE_VARIABLE} to a writable folder"
        if error.errno in NO_ROOM:
            advice = f"Free some space, or set {CACHE_VARIABLE} to a folder on another disk"
        elif is_too_long(path, error):
            advice = f"Set {CACHE_VARIABLE} to a folder with a shorter path"
        reason = error.strerror or error
        raise OutputError(f"Cannot write {path} ({reason}). {advice}") from error


def _transfer(address: str, part: PartialFile, sha256: str) -> None:
    from pooch import HTTPDownloader

    answers: list[Response] = []

    def examine(answer: Response, **more: object) -> None:
        answers.append(answer)
        _examine(answer, part)

    try:
        with _explain_transfer():
            url, headers = _locate(address, part, sha256)
            if part.size:
                headers["Range"] = f"bytes={part.size}-"
            # Other encodings have no ranges of the file, and none makes weights smaller.
            headers["Accept-Encoding"] = "identity"
            how = {"timeout": TIMEOUT, "headers": headers, "hooks": {"response": examine}}
            HTTPDownloader(chunk_size=BLOCK, **how)(url, part, None)
        part.require_complete()
    finally:
        for answer in answers:
            answer.close()


def _locate(address: str, part: PartialFile, sha256: str) -> tuple[str, dict[str, str]]:
    """The address of the bytes, and headers of a request for them."""
    parts = urlsplit(address)
    found = HUB_FILE.fullmatch(unquote(parts.path)) if parts.hostname in HUB_HOSTS else None
    if found:
        return _locate_on_hub(found, part, sha256)
    return address, {"User-Agent": "stem"}


def _locate_on_hub(
    found: re.Match[str], part: PartialFile, sha256: str
) -> tuple[str, dict[str, str]]:
    from huggingface_hub import constants, get_hf_file_metadata, get_token, hf_hub_url

    endpoint = (os.environ.get("HF_ENDPOINT") or HUB).rstrip("/")
    kind, repo, revision, path = found.groups()
    url = hf_hub_url(repo, path, repo_type=kind, revision=revision, endpoint=endpoint)
    about = get_hf_file_metadata(url, timeout=TIMEOUT, library_name="stem", endpoint=endpoint)
    if about.size is not None:
        part.expect(about.size)
    # Files in large file storage have their SHA-256 as ETag, those in git an SHA-1.
    if about.etag and len(about.etag) == len(sha256) and about.etag != sha256:
        raise AddressError(another_file(about.etag, sha256))
    check_redirect(url, about.location)
    headers = {"User-Agent": "stem"}
    is_on_hub = urlsplit(about.location).netloc == urlsplit(url).netloc
    token = None if constants.HF_HUB_DISABLE_IMPLICIT_TOKEN else get_token()
    if token and is_on_hub:  # the token is the hub's, not its storage's
        headers["Authorization"] = f"Bearer {token}"
    return about.location, headers


def _examine(answer: Response, part: PartialFile) -> None:
    """Refuse an answer that does not go on where the part ends; begin again if it is all of it."""
    if answer.is_redirect:
        check_redirect(answer.url, urljoin(answer.url, answer.headers["location"]))
        return
    is_encoded = answer.headers.get("Content-Encoding", "identity").lower() != "identity"
    if answer.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
        raise WrongContentError(f"has only {part.size:,} bytes")
    if answer.status_code == HTTPStatus.PARTIAL_CONTENT:
        found = CONTENT_RANGE.fullmatch(answer.headers.get("Content-Range", ""))
        if is_encoded or not found or int(found["start"]) != part.size:
            raise WrongContentError("ignored the requested byte range")
        length = found["total"]
    else:
        length = answer.headers.get("Content-Length", "")
        if part.size and answer.ok:
            part.restart()
    if answer.ok and length.isdecimal() and not is_encoded:
        part.expect(int(length))


@contextmanager
def _explain_transfer() -> Iterator[None]:
    """Turn errors of the libraries into the words of an :class:`AddressError`.

    They are told apart by the names of their classes, because huggingface_hub uses httpx in version
    1 and httpx2 in version 2, and pooch requests.
    """
    try:
        yield
    except (AddressError, StemError, ImportError):
        raise
    except Exception as error:
        code = getattr(getattr(error, "response", None), "status_code", 0)
        names = {kind.__name__ for each in _chain(error) for kind in type(each).__mro__}
        raise (_refusal(code, names) if code >= 400 else _disturbance(error, names)) from error


def _refusal(code: int, names: set[str]) -> AddressError:
    """The error for an answer other than the file."""
    answer = f"({code} {responses.get(code, 'unknown')})"
    if code in (404, 410):
        return AddressError(f"has no such file {answer}")
    if code in (401, 402, 403):
        advice = LOGIN if "HfHubHTTPError" in names else ELSEWHERE
        return AddressError(f"denies access {answer}", advice)
    if code in (408, 425, 429) or code >= 500:
        return AddressError(f"is temporarily unavailable {answer}", AGAIN, may_continue=True)
    return AddressError(f"refuses it {answer}")


def _disturbance(error: Exception, names: set[str]) -> AddressError:
    """The error for a connection that did not come about, or broke."""
    for name, reason, advice in DISTURBANCES:
        if name in names:
            return AddressError(reason.format(TIMEOUT), advice, may_continue=advice == NETWORK)
    return AddressError(f"sent an unexpected response ({first_line(error)})")


def _silent() -> AddressError:
    return AddressError(SILENT.format(TIMEOUT), NETWORK, may_continue=True)


def another_file(found: str, wanted: str) -> str:
    """The reason of an :class:`AddressError` for a file with another SHA-256."""
    return f"has another file (SHA-256 {found[:12]}... instead of {wanted[:12]}...)"


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and the errors that it was raised from."""
    while error:
        yield error
        error = error.__cause__ or error.__context__


def in_daemon_thread(work: Callable[[], T]) -> Future[T]:
    """Run ``work`` in a thread that does not keep the process alive."""
    result: Future[T] = Future()

    def run() -> None:
        try:
            result.set_result(work())
        except BaseException as error:
            result.set_exception(error)

    threading.Thread(target=run, name="download", daemon=True).start()
    return result
