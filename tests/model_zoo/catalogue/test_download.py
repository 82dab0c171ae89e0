"""Downloads from a server that misbehaves: a file has its name only if its SHA-256 is right.

Reference: the bytes that the server on this machine was given.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from model_zoo.catalogue import download as module
from model_zoo.catalogue import transport
from model_zoo.catalogue.download import addresses, cached_path, discard, download
from model_zoo.catalogue.remote_file import RemoteFile
from model_zoo.catalogue.transport import BLOCK
from model_zoo.errors import ChecksumError, OutputError, StemError, StorageError, UsageError
from tests.full_disk import file_limit
from tests.model_zoo.catalogue import hub as server
from tests.model_zoo.catalogue.hub import CONTENT, HALF, SHA256, Behaviour, Hub, status, to, whole


@pytest.fixture
def hub() -> Iterator[Hub]:
    with server.serve() as running:
        yield running


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and no long waits."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("STEM_CACHE", str(folder))
    monkeypatch.setattr(module, "PAUSES", (0.0, 0.0))
    monkeypatch.setattr(transport, "TIMEOUT", 5.0)
    for name in ("HF_HUB_OFFLINE", "HF_ENDPOINT", "HTTP_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    return folder


def refused(file: RemoteFile, kind: type[StemError] = StorageError) -> str:
    """The sentence of a download that fails and leaves no file under the final name."""
    with pytest.raises(kind) as caught:
        download(file)
    assert type(caught.value) is kind
    assert not cached_path(file).exists()
    text = str(caught.value)
    assert "\n" not in text
    return text.replace("127.0.0.1", "host")


GOOD: dict[str, tuple[Behaviour, ...]] = {
    "whole": (whole,),
    "cut and resumed": (server.cut(HALF),),
    "cut often": (server.cut(70_000),),
    "cut, then ranges are ignored": (server.in_turn(server.cut(HALF), server.without_ranges),),
    "cut, then another range than asked for": (server.in_turn(server.wrong_range), whole),
    "404, then a mirror": (status(404), whole),
    "wrong hash, then a mirror": (server.of(bytes(len(CONTENT))), whole),
    "wrong size, then a mirror": (server.of(CONTENT[:-1]), whole),
    "more than stated, then a mirror": (server.endless, whole),
    "truncated, then a mirror": (server.truncated, whole),
    "busy, then a mirror": (status(503), whole),
    "no HTTP, then a mirror": (server.no_http, whole),
    "three addresses": (status(404), status(500), whole),
    "compressed": (server.compressed,),
}


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize("size", [len(CONTENT), 0], ids=["known size", "unknown size"])
def test_the_file_arrives(name: str, size: int, hub: Hub) -> None:
    file = hub.file(*GOOD[name], size=size)
    path = download(file)
    assert path.read_bytes() == CONTENT
    assert path.name == "net.bin"
    assert [each.name for each in path.parent.iterdir()] == ["net.bin"]


BAD: dict[str, tuple[Behaviour, str]] = {
    "404": (status(404), "has no such file (404 Not Found). Set STEM_MIRROR to the address of"),
    "403": (status(403), "denies access (403 Forbidden). Set STEM_MIRROR to"),
    "503": (
        status(503),
        "is temporarily unavailable (503 Service Unavailable). Run it again later",
    ),
    "400": (status(400), "refuses it (400 Bad Request). Set STEM_MIRROR to"),
    "418": (status(499), "refuses it (499 unknown)"),
    "wrong size": (server.of(CONTENT[:-1]), "has a file of 299,999 bytes instead of 300,000. Set"),
    "announced too small": (server.announced(1000), "has a file of 1,000 bytes instead of 300,000"),
    "announced too large": (
        server.announced(300_001),
        "a file of 300,001 bytes instead of 300,000",
    ),
    "truncated": (server.truncated, "breaks the connection. Run it again to go on after 0.1 MB"),
    "ranges ignored, cut": (server.cut_without_ranges, "Run it again to go on after 0.1 MB"),
    "no HTTP": (server.no_http, "breaks the connection. Check the network, then run it again"),
    "to a file": (to("file:///etc/passwd"), "redirects to file:, which is not a web address. Set"),
    "to ftp": (to("ftp://127.0.0.1/x"), "redirects to ftp:, which is not a web address. Set"),
    "in a loop": (to("/0/net.bin"), "redirects in a loop. Set STEM_MIRROR to"),
}


@pytest.mark.parametrize(
    ("behaviour", "sentence"),
    [
        (whole, "has a file of 300,000 bytes instead of 1,000 at most. Set STEM_MIRROR"),
        (server.endless, "sends more than 1,000 bytes. Set STEM_MIRROR"),
    ],
)
def test_a_file_of_unknown_size_has_a_limit(behaviour: Behaviour, sentence: str, hub: Hub) -> None:
    with pytest.raises(StemError) as caught:
        download(replace(hub.file(behaviour), size=0, largest=1000))
    assert sentence in str(caught.value)


@pytest.mark.parametrize("name", BAD)
def test_a_failure_is_one_sentence(name: str, hub: Hub) -> None:
    behaviour, sentence = BAD[name]
    file = hub.file(behaviour)
    text = refused(file)
    assert text.startswith(f"net.bin cannot be downloaded: host:{hub.server_address[1]} ")
    assert sentence in text


@pytest.mark.parametrize(
    ("behaviour", "sentence"),
    [
        (server.of(bytes(len(CONTENT))), f"(SHA-256 886715e4051e... instead of {SHA256[:12]}...)"),
        (server.endless, "sends more than 300,000 bytes. Set STEM_MIRROR"),
        (server.wrong_range, "ignored the requested byte range. Set STEM_MIRROR"),
    ],
    ids=["wrong hash", "more than stated", "another range"],
)
def test_another_file_is_refused_and_removed(
    behaviour: Behaviour, sentence: str, hub: Hub, cache: Path
) -> None:
    """By hand: ``head -c 300000 /dev/zero | sha256sum``."""
    assert sentence in refused(hub.file(behaviour), ChecksumError)
    assert [path for path in cache.rglob("*") if path.is_file() and path.stat().st_size] == []


@pytest.mark.parametrize("behaviour", [server.silent, server.trickling, server.stalled])
def test_a_server_that_is_silent_or_slow(
    behaviour: Behaviour, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "TIMEOUT", 0.4)
    assert "sends less than 16,384 bytes in 0.4 seconds. " in refused(hub.file(behaviour))
    file = hub.file(behaviour, whole)
    assert download(file).read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("host", "sentence"),
    [
        ("127.0.0.1:1", "host:1 refuses the connection. Check the network, then run it again"),
        ("nowhere.invalid", "nowhere.invalid was not found. Check the network, then run it again"),
    ],
)
def test_no_network(host: str, sentence: str) -> None:
    """RFC 2606 reserves the domain ``invalid``, so that it never exists."""
    assert sentence in refused(RemoteFile(f"http://{host}/net.bin", SHA256, len(CONTENT)))


def test_all_addresses_are_named(hub: Hub) -> None:
    file = RemoteFile("http://127.0.0.1:1/net.bin", SHA256, 9, (hub.add("/x", status(404)),))
    text = refused(file)
    assert "host:1 refuses the connection; host:" in text
    assert text.endswith("has no such file (404 Not Found). " + transport.ELSEWHERE)


def test_a_redirect_to_another_host(hub: Hub) -> None:
    there = hub.add("/there", whole).replace("127.0.0.1", "localhost")
    assert download(hub.file(to(there))).read_bytes() == CONTENT


def test_only_the_missing_bytes_are_sent(hub: Hub) -> None:
    """A block that has not arrived when the connection breaks is sent again."""
    download(hub.file(server.cut(100_000)))
    kept = 100_000 // BLOCK * BLOCK
    assert hub.gets() == ["", f"bytes={kept}-", f"bytes={2 * kept}-", f"bytes={3 * kept}-"]
    assert hub.sent == len(CONTENT) + 3 * (100_000 - kept)


def test_a_later_run_goes_on(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAUSES", ())
    file = hub.file(server.cut(HALF))
    assert "Run it again to go on after 0.1 MB" in refused(file)
    hub.file(whole)
    assert download(file).read_bytes() == CONTENT
    assert hub.gets() == ["", f"bytes={HALF // BLOCK * BLOCK}-"]


def test_a_mirror_goes_on_where_the_other_stopped(hub: Hub) -> None:
    assert download(hub.file(server.truncated, whole)).read_bytes() == CONTENT
    assert hub.gets()[-1] == f"bytes={HALF // BLOCK * BLOCK}-"


@pytest.mark.parametrize(
    "begun", [b"other", bytes(len(CONTENT)), bytes(len(CONTENT) + 1)], ids=["short", "full", "long"]
)
def test_a_wrong_beginning_is_dropped(begun: bytes, hub: Hub) -> None:
    """A mirror sent other bytes before, or the disk lost some."""
    file = hub.file(whole)
    path = cached_path(file)
    path.parent.mkdir(parents=True)
    path.with_name(".net.bin.part").write_bytes(begun)
    assert download(file).read_bytes() == CONTENT


@pytest.mark.parametrize("size", [len(CONTENT), 0])
def test_a_part_that_only_lacks_its_name(size: int, hub: Hub) -> None:
    """The process was killed before it renamed the file."""
    file = hub.file(whole, size=size)
    path = cached_path(file)
    path.parent.mkdir(parents=True)
    path.with_name(".net.bin.part").write_bytes(CONTENT)
    assert download(file).read_bytes() == CONTENT
    assert hub.sent == (0 if size else len(CONTENT))


def test_a_file_in_the_cache_is_checked_and_not_fetched_again(hub: Hub) -> None:
    file = hub.file(whole)
    path = download(file)
    assert download(file) == path
    assert hub.sent == len(CONTENT)
    path.write_bytes(bytes(len(CONTENT)))
    assert download(file).read_bytes() == CONTENT
    assert hub.sent == 2 * len(CONTENT)


def test_discard_removes_the_file_and_its_folder(hub: Hub, cache: Path) -> None:
    file = hub.file(whole)
    path = download(file)
    discard(file)
    discard(file)
    assert not path.parent.exists()
    assert [each.name for each in cache.rglob("*.*")] == [f"{SHA256}.lock"]


def test_progress(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server goes on after the first half was reported."""
    reports = []

    def halves(request: server.Handler) -> None:
        server.stalled(request)
        request.send(CONTENT[HALF:])

    def report(done: int, total: int | None) -> None:
        reports.append((done, total))
        if done:
            hub.released.set()

    assert download(hub.file(halves), on_progress=report).read_bytes() == CONTENT
    assert reports == sorted(reports)
    assert {total for _, total in reports} == {len(CONTENT)}
    assert reports[-1][0] >= 2 * BLOCK


@pytest.mark.parametrize("variable", ["STEM_OFFLINE", "HF_HUB_OFFLINE"])
def test_offline(variable: str, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    file = hub.file(whole)
    monkeypatch.setenv(variable, "1")
    text = refused(file)
    assert f"net.bin is not in the cache, and {variable}=1 forbids downloads. Unset" in text
    assert text.endswith(f"copy the file to {cached_path(file)}")
    assert hub.requests == []
    cached_path(file).parent.mkdir(parents=True)
    cached_path(file).write_bytes(CONTENT)
    assert download(file).read_bytes() == CONTENT
    monkeypatch.setenv(variable, "0")
    discard(file)
    assert download(file).read_bytes() == CONTENT


@pytest.mark.parametrize("path", [f"/lab/{SHA256}/net.bin", "/lab/net.bin"])
def test_a_mirror_of_the_user_comes_first(
    path: str, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add(path, whole)
    monkeypatch.setenv("STEM_MIRROR", f"{hub.url}/lab/")
    assert download(hub.file(status(404))).read_bytes() == CONTENT
    assert "/0/net.bin" not in [path for _, path, _ in hub.requests]


def test_a_mirror_without_the_file(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEM_MIRROR", f"{hub.url}/lab")
    assert download(hub.file(whole)).read_bytes() == CONTENT


@pytest.mark.parametrize("text", ["/mnt/weights", "ftp://host/x", "https://", "http://[x"])
def test_a_mirror_that_is_no_address(text: str, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEM_MIRROR", text)
    expected = (
        f"STEM_MIRROR is {text!r}. Set it to an http or https address, e.g. STEM_MIRROR=https"
    )
    assert refused(hub.file(whole), UsageError).startswith(expected)


def test_the_password_of_a_mirror_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEM_MIRROR", "http://me:secret@127.0.0.1:1/x")
    file = RemoteFile("http://127.0.0.1:1/net.bin", SHA256, 9)
    assert addresses(file)[0].startswith("http://me:secret@")
    assert "secret" not in refused(file)


def test_a_proxy(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy gets the whole address (RFC 9112, section 3.2.2); NO_PROXY exempts hosts."""
    monkeypatch.setenv("HTTP_PROXY", hub.url)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    hub.add("http://nowhere.invalid/net.bin", whole)
    file = RemoteFile("http://nowhere.invalid/net.bin", SHA256, len(CONTENT))
    assert download(file).read_bytes() == CONTENT
    discard(file)
    monkeypatch.setenv("NO_PROXY", "nowhere.invalid")
    assert "nowhere.invalid was not found" in refused(file)
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    assert "nowhere.invalid is not reached through the proxy. Check HTTP_PROXY," in refused(file)


def test_a_full_disk(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    file = hub.file(whole)
    with file_limit(100_000):
        text = refused(file, OutputError)
    assert "Free some space, or set STEM_CACHE to a folder on another disk" in text
    assert download(file).read_bytes() == CONTENT
    assert hub.gets()[-1] == f"bytes={100_000}-"


def test_a_disk_that_is_too_small(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=len(CONTENT) - 1))
    assert "net.bin needs 0 MB, and " in refused(hub.file(whole), OutputError)
    assert hub.requests == []


def test_a_cache_that_is_a_file(cache: Path, hub: Hub) -> None:
    cache.write_text("")
    text = refused(hub.file(whole), OutputError)
    assert text.startswith(f"Cannot write {cache}")
    assert text.endswith("Set STEM_CACHE to a writable folder")


@pytest.mark.parametrize(
    ("name", "stored"),
    [("a%5Cb.th", "a_b.th"), ("%2E%2E.x%3F", "_...x_"), ("nul.pth", "_nul.pth"), ("a b", "a_b")],
)
def test_names_in_the_cache_are_safe_everywhere(name: str, stored: str) -> None:
    assert cached_path(RemoteFile(f"http://host/{name}", SHA256)).name == stored


@pytest.mark.parametrize("target", ["http://host/x", "file:///x", "//", "https:/"])
def test_redirects_from_https(target: str) -> None:
    if target == "https:/":
        transport.check_redirect("https://host/x", target)
    else:
        with pytest.raises(transport.AddressError, match=r"^redirects to "):
            transport.check_redirect("https://host/x", target)
