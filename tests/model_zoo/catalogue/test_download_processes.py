"""Downloads by several processes, killed and interrupted ones, and ones without root's powers.

Reference: the bytes that the server on this machine was given, and those that it has sent.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from model_zoo.catalogue.download import cached_path, download
from model_zoo.catalogue.remote_file import RemoteFile
from tests.model_zoo.catalogue import hub as server
from tests.model_zoo.catalogue.hub import CONTENT, HALF, SHA256, Hub, whole

ROOT = Path(__file__).parents[3]

DOWNLOAD = """
import sys
from model_zoo.catalogue.download import download
from model_zoo.catalogue.remote_file import RemoteFile
from model_zoo.errors import StemError
url, sha256, size = sys.argv[1:]
try:
    print(download(RemoteFile(url, sha256, int(size))))
except StemError as error:
    sys.exit(str(error))
except KeyboardInterrupt:
    sys.exit(130)
"""

WITHOUT_ROOT = """
import ctypes, os, sys
if os.geteuid() == 0 and sys.platform == "linux":
    for power in (1, 2):  # CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH in linux/capability.h
        ctypes.CDLL(None).prctl(24, power, 0, 0, 0)  # PR_CAPBSET_DROP in linux/prctl.h
os.execv(sys.executable, [sys.executable, "-c", *sys.argv[1:]])
"""
"""Program that drops root's file permissions and runs another."""


@pytest.fixture
def hub() -> Iterator[Hub]:
    with server.serve() as running:
        yield running


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache for this process and those that it starts."""
    paths = [str(ROOT), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
    monkeypatch.setenv("STEM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def start(file: RemoteFile, *before: str) -> subprocess.Popen[str]:
    """Start a process that downloads."""
    words = [*before, DOWNLOAD, file.url, file.sha256, str(file.size)]
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, "-c", *words], stdout=pipe, stderr=pipe, text=True)


def wait_for_part(file: RemoteFile) -> None:
    """Wait until some of the file has arrived."""
    part = cached_path(file).with_name(".net.bin.part")
    end = time.monotonic() + 60
    while not (part.exists() and part.stat().st_size):
        assert time.monotonic() < end
        time.sleep(0.02)


def halves(request: server.Handler) -> None:
    """Send the second half when the server is released."""
    if request.start:
        whole(request)
    else:
        server.stalled(request)
        request.send(CONTENT[HALF:])


def test_two_processes_at_once(hub: Hub) -> None:
    """The second one waits, and then finds the file."""
    file = hub.file(halves)
    one = start(file)
    wait_for_part(file)
    other = start(file)
    reports: list[int] = []

    def report(done: int, total: int | None) -> None:
        reports.append(done)
        hub.released.set()

    assert download(file, on_progress=report).read_bytes() == CONTENT
    results = [each.communicate(timeout=60) for each in (one, other)]
    assert results == [(f"{cached_path(file)}\n", "")] * 2
    assert hub.sent == len(CONTENT)
    assert 0 < reports[0] <= HALF


def test_a_killed_process_neither_blocks_nor_spoils(hub: Hub) -> None:
    file = hub.file(server.in_turn(server.stalled, whole))
    process = start(file)
    wait_for_part(file)
    process.kill()
    process.communicate(timeout=60)
    assert not cached_path(file).exists()
    assert download(file).read_bytes() == CONTENT
    assert len(hub.gets()) == 2
    assert hub.gets()[1] != ""


@pytest.mark.skipif(os.name == "nt", reason="Windows sends no SIGINT to one process")
def test_after_an_interruption_a_download_goes_on(hub: Hub) -> None:
    file = hub.file(server.in_turn(server.stalled, whole))
    process = start(file)
    wait_for_part(file)
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert time.monotonic() - began < 20
    assert not cached_path(file).exists()
    assert download(file).read_bytes() == CONTENT
    assert hub.gets()[1] != ""


@pytest.mark.skipif(os.name == "nt", reason="Windows has other rights")
@pytest.mark.parametrize("is_there", [False, True], ids=["empty", "with the file"])
def test_a_cache_that_cannot_be_written(is_there: bool, hub: Hub, cache: Path) -> None:
    """A file that is there is used."""
    file = hub.file(whole)
    place = cached_path(file).parent
    place.mkdir(parents=True)
    if is_there:
        cached_path(file).write_bytes(CONTENT)
    for folder in (place, place.parent, cache):
        folder.chmod(0o555)
    process = start(file, WITHOUT_ROOT)
    said, complaint = process.communicate(timeout=60)
    for folder in (cache, place.parent, place):
        folder.chmod(0o755)
    if is_there:
        assert (said, complaint) == (f"{cached_path(file)}\n", "")
    else:
        assert complaint == (
            f"Cannot write {cache}/downloads/{SHA256}.lock (Permission denied). Set STEM_CACHE to"
            " a writable folder\n"
        )
        assert not cached_path(file).exists()
    assert hub.requests == []
