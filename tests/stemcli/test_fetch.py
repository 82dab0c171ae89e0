"""Downloads and standard input, copied to a file within a limit.

Reference: the bytes that a web server on this machine, or a pipe, sends.
"""

from __future__ import annotations

import errno
import io
import os
import threading
import time
import tracemalloc
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from model_zoo.errors import DecodeError, OutputError, StemError, StorageError, UsageError
from stemcli import fetch as fetch_module
from stemcli import web
from stemcli.fetch import LIMIT, copy_stdin, fetch, input_limit
from stemcli.printable import is_web, shown_url
from stemcli.remote_path import UrlPath
from stemcli.web import WebFile, encoded_url, url_name
from tests.full_disk import file_limit
from tests.web_server import WebServer, content, serve, status

DATA = bytes(range(256)) * 1000


@pytest.fixture
def server() -> Iterator[WebServer]:
    with serve() as running:
        yield running


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "song"


class Unreadable(io.BytesIO):
    """A device that fails."""

    def read(self, size: int | None = -1) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO))


def in_bytes(limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(LIMIT, repr(limit / 2**30))


@pytest.mark.parametrize("announced", [None, -1], ids=["with a length", "until it closes"])
def test_a_download(announced: int | None, server: WebServer, target: Path) -> None:
    url = server.add("/song.mp3", content(DATA, announced=announced))
    assert fetch(url, target) == ""
    assert target.read_bytes() == DATA


def test_the_progress_of_a_download_is_reported(server: WebServer, target: Path) -> None:
    """The second half is sent after the first was reported."""
    data = DATA[: 2 * web.BLOCK]
    reports = []

    def report(done: int, total: int | None) -> None:
        reports.append((done, total))
        server.released.set()

    fetch(server.add("/song.mp3", server.in_halves(data)), target, report=report)
    assert reports[0] == (len(data) // 2, len(data))
    assert reports == sorted(reports)
    assert target.read_bytes() == data


def test_an_error_of_a_report_ends_the_download(server: WebServer, target: Path) -> None:
    def report(done: int, total: int | None) -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        fetch(server.add("/song.mp3", server.in_halves(DATA)), target, report=report)
    server.released.set()


def test_a_download_in_chunks(server: WebServer, target: Path) -> None:
    """By hand: the chunked coding of RFC 9112, section 7.1."""
    body = b"4\r\nABCD\r\n3\r\nEFG\r\n0\r\n\r\n"
    answer = content(body, announced=-1, Transfer_Encoding="chunked")
    fetch(server.add("/song.mp3", answer), target)
    assert target.read_bytes() == b"ABCDEFG"


def test_a_query_reaches_the_server_unchanged(server: WebServer, target: Path) -> None:
    url = server.add("/a%20b.mp3", content(DATA))
    fetch(f"{url}?sig=a//b/../c%2Fd+e==&x=1#part", target)
    assert server.requests == ["/a%20b.mp3?sig=a//b/../c%2Fd+e==&x=1"]


def test_letters_outside_ascii_are_encoded(server: WebServer, target: Path) -> None:
    server.add("/ni%C3%B1o%20x.mp3", content(DATA))
    fetch(f"{server.url}/niño x.mp3", target)
    assert target.read_bytes() == DATA


def test_a_redirect_is_followed(server: WebServer, target: Path) -> None:
    server.add("/b.mp3", content(DATA))
    fetch(server.add("/a.mp3", status(302, Location="/b.mp3")), target)
    assert target.read_bytes() == DATA


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ('attachment; filename="My Song.mp3"', "My Song.mp3"),
        ("attachment; filename*=UTF-8''ni%C3%B1o.mp3", "niño.mp3"),
        ('attachment; filename="../../etc/passwd"', "_._.._etc_passwd"),
        ('attachment; filename="ni\u00c3\u00b1o.mp3"', "niño.mp3"),  # UTF-8 as Latin-1
        ("attachment", ""),
    ],
)
def test_the_name_that_the_server_suggests(
    header: str, name: str, server: WebServer, target: Path
) -> None:
    url = server.add("/", content(DATA, Content_Disposition=header))
    assert fetch(url, target) == name


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        (400, r"The server refuses .*/x\.mp3 \(400 Bad Request\)\. Check the URL"),
        (401, r"x\.mp3 is not public \(401 Unauthorized\)\. Download it after logging in"),
        (403, r"x\.mp3 is not public \(403 Forbidden\)"),
        (404, r"There is no file at .*/x\.mp3 \(404 Not Found\)\. Check the URL"),
        (410, r"There is no file at .*/x\.mp3 \(410 Gone\)"),
        (429, r"cannot give .*/x\.mp3 now \(429 Too Many Requests\)\. Try again later"),
        (500, r"cannot give .*/x\.mp3 now \(500 Internal Server Error\)"),
        (503, r"cannot give .*/x\.mp3 now \(503 Service Unavailable\)"),
    ],
)
def test_a_refusal_is_one_sentence(
    code: int, sentence: str, server: WebServer, target: Path
) -> None:
    with pytest.raises(StorageError, match=sentence):
        fetch(server.add("/x.mp3", status(code)), target)
    assert not target.exists()


def test_a_circle_of_redirects(server: WebServer, target: Path) -> None:
    with pytest.raises(StorageError, match=r"redirects in a loop \(302"):
        fetch(server.add("/x.mp3", status(302, Location="/x.mp3")), target)


@pytest.mark.parametrize("scheme", ["file:///etc/passwd", "ftp://127.0.0.1/x", "data:,x"])
def test_a_redirect_to_another_protocol_is_refused(
    scheme: str, server: WebServer, target: Path
) -> None:
    with pytest.raises(StorageError, match=r"x\.mp3 "):
        fetch(server.add("/x.mp3", status(302, Location=scheme)), target)
    assert not target.exists()


def test_a_download_that_is_cut_off(server: WebServer, target: Path) -> None:
    url = server.add("/x.mp3", content(DATA, announced=len(DATA) + 5))
    stopped = r"x\.mp3 stopped after 256,000 of 256,005 bytes \(the connection was closed\)\. Run"
    with pytest.raises(StorageError, match=stopped):
        fetch(url, target)
    assert not target.exists()


def test_chunks_that_are_cut_off(server: WebServer, target: Path) -> None:
    answer = content(b"fff\r\nABC", announced=-1, Transfer_Encoding="chunked")
    with pytest.raises(StorageError, match=r"x\.mp3 stopped after 0 bytes \(.*\)\. Run it again"):
        fetch(server.add("/x.mp3", answer), target)


def test_a_server_that_stops_sending(
    server: WebServer, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web, "TIMEOUT", 0.2)
    with pytest.raises(StorageError, match=r"stopped after 0 of 1,000 bytes \(no data for 0\.2 s"):
        fetch(server.add("/x.mp3", server.stall), target)


def test_a_server_that_does_not_answer(
    server: WebServer, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web, "TIMEOUT", 0.2)
    url = server.add("/x.mp3", lambda handler: server.released.wait() and None)
    with pytest.raises(StorageError, match=r"did not answer within 0\.2 seconds"):
        fetch(url, target)


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("http://127.0.0.1:1/x.mp3", r"127\.0\.0\.1:1 refuses the connection\. Check the URL"),
        ("http://nowhere.invalid/x.mp3", r"the server nowhere\.invalid was not found\. Check"),
    ],
)
def test_a_server_that_is_not_there(url: str, sentence: str, target: Path) -> None:
    """RFC 2606 reserves the domain ``invalid``, so that it never exists."""
    with pytest.raises(StorageError, match=rf"{url} cannot be downloaded: {sentence}"):
        fetch(url, target)


def test_a_server_without_encryption(server: WebServer, target: Path) -> None:
    url = server.add("/x.mp3", content(DATA)).replace("http:", "https:")
    with pytest.raises(StorageError, match=r"no secure connection to 127\.0\.0\.1"):
        fetch(url, target)


def test_a_server_of_another_protocol(server: WebServer, target: Path) -> None:
    url = server.add("/x.mp3", lambda handler: handler.wfile.write(b"SSH-2.0-x\r\n") and None)
    with pytest.raises(StorageError, match=r"x\.mp3 cannot be downloaded: .*Check the URL"):
        fetch(url, target)


@pytest.mark.parametrize("announced", [None, -1], ids=["by its length", "while it arrives"])
def test_a_large_song_is_refused(
    announced: int | None, server: WebServer, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = server.add("/x.mp3", content(DATA, announced=announced))
    in_bytes(len(DATA) - 1, monkeypatch)
    with pytest.raises(StorageError, match=rf"x\.mp3 is larger than .* GiB\. .* set {LIMIT} to"):
        fetch(url, target)
    assert not target.exists()
    in_bytes(len(DATA), monkeypatch)
    fetch(url, target)
    assert target.read_bytes() == DATA


@pytest.mark.parametrize("text", ["x", "0", "-1", "nan", "inf"])
def test_a_limit_that_is_not_a_size(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(LIMIT, text)
    with pytest.raises(UsageError, match=rf"{LIMIT} is '{text}'\. Set it to a number of GiB"):
        input_limit()
    monkeypatch.setenv(LIMIT, "0.5")
    assert input_limit() == 2**29
    monkeypatch.delenv(LIMIT)
    assert input_limit() == 4 * 2**30


def test_a_key_in_the_query_is_never_shown(server: WebServer, target: Path) -> None:
    with pytest.raises(StemError) as caught:
        fetch(f"{server.url}/x.mp3?signature=secret", target)
    assert "secret" not in str(caught.value)
    assert "/x.mp3?..." in str(caught.value)


def test_a_large_download_needs_little_memory(server: WebServer, target: Path) -> None:
    """64 MiB are sent, in blocks of 1 MiB; what Python allocates stays far below."""

    def send(handler: BaseHTTPRequestHandler) -> None:
        content(bytes(2**20), announced=64 * 2**20)(handler)
        for _ in range(63):
            handler.wfile.write(bytes(2**20))

    url = server.add("/x.wav", send)
    tracemalloc.start()
    try:
        fetch(url, target)
        assert tracemalloc.get_traced_memory()[1] < 16 * 2**20
    finally:
        tracemalloc.stop()
    assert target.stat().st_size == 64 * 2**20


def test_a_full_disk(server: WebServer, target: Path) -> None:
    url = server.add("/x.mp3", content(DATA))
    with (
        file_limit(100_000),
        pytest.raises(OutputError, match=r"x\.mp3 cannot be copied to .*set TMPDIR to"),
    ):
        fetch(url, target)
    assert not target.exists()


def test_a_stalled_download_is_interrupted_at_once(server: WebServer, target: Path) -> None:
    ended = threading.Event()
    threading.Timer(0.3, ended.set).start()
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        fetch(server.add("/x.mp3", server.stall), target, ended)
    assert time.monotonic() - began < web.TIMEOUT / 3
    assert target.exists()
    server.released.set()
    while target.exists():
        assert time.monotonic() - began < web.TIMEOUT
        time.sleep(0.01)


def test_settings_of_fsspec_are_used(
    server: WebServer, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user who has set headers for http gets them; no message shows the query."""
    opened: list[str] = []
    monkeypatch.setattr("fsspec.config.conf", {"http": {"headers": {"x": "y"}}})
    blocks = lambda path: opened.append(str(path)) or iter([DATA])  # noqa: E731
    monkeypatch.setattr(fetch_module.UrlPath, "blocks", blocks)
    fetch("http://server/x.mp3?key=secret", target)
    assert (opened, target.read_bytes()) == (["http://server/x.mp3?key=secret"], DATA)
    assert server.requests == []
    in_bytes(len(DATA) - 1, monkeypatch)
    target.unlink()
    with pytest.raises(StorageError, match=r"^http://server/x\.mp3\?\.\.\. is larger than"):
        fetch("http://server/x.mp3?key=secret", target)


def test_a_large_song_is_refused_before_it_is_read(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def blocks(path: UrlPath) -> Iterator[bytes]:
        pytest.fail("it was read")

    monkeypatch.setattr(UrlPath, "size", 1001)
    monkeypatch.setattr(UrlPath, "blocks", blocks)
    in_bytes(1000, monkeypatch)
    with pytest.raises(StorageError, match=r"^s3://library/x\.mp3 is larger than"):
        fetch("s3://library/x.mp3", target)
    assert not target.exists()


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://server/a/b.mp3", "b.mp3"),
        ("https://server/a/b%20%C3%A4.mp3?x=/y.wav#z", "b ä.mp3"),
        ("https://server/..%2F..%2Fetc%2Fpasswd", "_._.._etc_passwd"),
        ("https://server/CON.mp3", "CON_.mp3"),
        ("https://server/a%00b%0A.mp3", "a_b_.mp3"),
        ("https://server/what%3F.mp3", "what_.mp3"),
        ("https://server/%FF.mp3", "_.mp3"),
        ("https://server/", ""),
        ("https://server", ""),
        ("https://server?file=x.mp3", ""),
        (f"https://server/{'x' * 300}.mp3", "x" * 196 + ".mp3"),
        (f"https://server/a.{'語' * 100}", "a." + "語" * 66),
    ],
)
def test_the_name_in_a_url(url: str, name: str) -> None:
    """The last two by hand: 200 bytes, so that the names of stems stay below 255."""
    assert url_name(url) == name


@pytest.mark.parametrize(
    ("url", "encoded"),
    [
        ("HTTP://Server:80/ä?ö", "http://server:80/%C3%A4?%C3%B6"),
        ("https://bücher.example/a%20b", "https://xn--bcher-kva.example/a%20b"),
        ("https://[::1]:8/x", "https://[::1]:8/x"),
    ],
)
def test_a_url_in_ascii(url: str, encoded: str) -> None:
    """Reference: RFC 3986, and the example of RFC 3492 for the domain."""
    assert encoded_url(url) == encoded


@pytest.mark.parametrize(
    "url", ["http:///x", "http://[::1/x", "http://a:port/x", f"http://{'x' * 64}.org/"]
)
def test_a_malformed_url(url: str) -> None:
    with pytest.raises(UsageError, match="is not a valid URL"):
        WebFile(url)


def test_what_a_web_address_is() -> None:
    assert [is_web(text) for text in ("http://x", "HTTPS://x", "s3://x", "http.mp3", "-")] == [
        *(True, True, False, False, False)
    ]
    assert shown_url("https://server/x.mp3#y") == "https://server/x.mp3"
    assert shown_url("s3://bucket/what?.mp3") == "s3://bucket/what?.mp3"


def test_standard_input_is_copied(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_bytes(len(DATA), monkeypatch)
    copy_stdin(io.BytesIO(DATA), target)
    assert target.read_bytes() == DATA


def test_standard_input_that_cannot_be_used(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DecodeError, match=r"Standard input is empty \(0 bytes\)"):
        copy_stdin(io.BytesIO(), target)
    in_bytes(len(DATA) - 1, monkeypatch)
    with pytest.raises(StorageError, match="The song on standard input is larger than"):
        copy_stdin(io.BytesIO(DATA), target)
    with pytest.raises(DecodeError, match=r"Standard input cannot be read \(Input/output error\)"):
        copy_stdin(Unreadable(), target)
    assert not target.exists()
