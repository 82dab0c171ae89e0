"""ffmpeg as a child process: it ends with us and on request, cannot stall, and its log is short.

Checked by the state of the process in the system.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from model_zoo.errors import DecodeError, FfmpegMissingError, OutputError
from stemcli.audio import ffmpeg_process
from stemcli.audio.ffmpeg_binary import read_log
from stemcli.audio.ffmpeg_process import FfmpegProcess, decoding_pool
from stemcli.audio.formats import OutputFormat
from stemcli.audio.reader import open_audio
from stemcli.audio.writer import open_writer
from tests.audio_files import tones, write_audio
from tests.fake_ffmpeg import hanging, in_front, is_running, put

ROOT = Path(__file__).parents[3]
TIMEOUT = 20.0
"""Timeout in seconds that is ample even on a busy machine."""


def wait_until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < end, "timed out"
        time.sleep(0.02)


@pytest.fixture
def song(tmp_path: Path) -> Path:
    return write_audio(tmp_path / "song.m4a", tones(5000))


@pytest.fixture
def pid_file(tmp_path: Path, song: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put an ffmpeg that hangs in front on PATH; the file has its process id."""
    path = hanging(tmp_path / "bin")
    monkeypatch.setenv("PATH", in_front(tmp_path / "bin"))
    return path


STARTS_ONE = """
import os, signal
from stemcli.audio.ffmpeg_process import FfmpegProcess
process = FfmpegProcess(["sleep", "600"], feeds={feeds})
print(process._process.pid, flush=True)
{end}
"""


@pytest.mark.parametrize("feeds", [True, False])
@pytest.mark.parametrize(
    "end", ["os.kill(os.getpid(), signal.SIGKILL)", "os._exit(1)", "os.abort()"]
)
def test_ffmpeg_does_not_outlive_its_parent(end: str, feeds: bool) -> None:
    """Even a child that neither reads nor writes, and so would not notice a closed pipe."""
    done = subprocess.run(
        [sys.executable, "-c", STARTS_ONE.format(end=end, feeds=feeds)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    child = int(done.stdout)
    wait_until(lambda: not is_running(child))


def test_an_unreferenced_process_ends() -> None:
    process = FfmpegProcess(["sleep", "600"])
    child = process._process.pid
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # the pipes are not closed explicitly
        del process
        wait_until(lambda: not is_running(child))
        subprocess._cleanup()  # type: ignore[attr-defined]


def test_a_stalled_decoder_fails_its_song(
    song: Path, pid_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ffmpeg_process, "STALL_TIMEOUT_S", 0.5)
    with pytest.raises(
        DecodeError, match=r"song\.m4a cannot be read: no data arrived for 0\.5 sec"
    ):
        open_audio(song)
    assert not is_running(int(pid_file.read_text()))


def test_a_slow_decoder_does_not_count_as_stalled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit is half a second without data; a byte comes every 0.2 s, for a second."""
    monkeypatch.setattr(ffmpeg_process, "STALL_TIMEOUT_S", 0.5)
    program = put(tmp_path / "bin", "for i in 1 2 3 4 5; do printf x; sleep 0.2; done")
    with FfmpegProcess([str(program)]) as process:
        assert [process.read(9) for _ in range(6)] == [*5 * [b"x"], b""]
        assert not process.stalled


def test_time_without_a_reader_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ffmpeg_process, "STALL_TIMEOUT_S", 0.3)
    with FfmpegProcess(["cat", "/dev/zero"]) as process:
        time.sleep(1)
        assert process.read(9) == bytes(9)


def test_time_while_we_are_stopped_does_not_count(tmp_path: Path) -> None:
    """After Ctrl-Z or suspend, the limit has passed and then the bytes are there."""
    program = put(tmp_path / "bin", "sleep 1; printf x; sleep 600")
    reads = (
        "from stemcli.audio import ffmpeg_process as f; f.STALL_TIMEOUT_S = 2\n"
        f"p = f.FfmpegProcess([{str(program)!r}]); print(1, flush=True); print(p.read(9))"
    )
    command = [sys.executable, "-c", reads]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "1\n"
        process.send_signal(signal.SIGSTOP)
        time.sleep(3)
        process.send_signal(signal.SIGCONT)
        assert process.stdout.read() == "b'x'\n"


def test_a_stalled_encoder_fails_its_song(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ffmpeg_process, "STALL_TIMEOUT_S", 0.5)
    put(tmp_path / "bin", 'case "$*" in *-encoders*) echo " A aac";; *) exec sleep 600;; esac')
    monkeypatch.setenv("PATH", in_front(tmp_path / "bin"))
    with (
        pytest.raises(
            OutputError, match=r"Cannot write to .*stem\.m4a \(nothing could be written for 0\.5"
        ),
        open_writer(tmp_path / "stem.m4a", 44100, 2, OutputFormat("m4a")) as writer,
    ):
        writer.write(tones(200_000))


def test_an_interrupt_ends_the_wait_at_once(song: Path, pid_file: Path) -> None:
    ended = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        opening = pool.submit(open_audio, song, ended=ended)
        wait_until(pid_file.exists)
        ended.set()
        with pytest.raises(KeyboardInterrupt):
            opening.result(TIMEOUT)
    assert not is_running(int(pid_file.read_text()))


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_an_exception_in_the_main_thread_ends_the_wait(
    song: Path, pid_file: Path, kind: type[BaseException]
) -> None:
    """Otherwise the pool would wait for its threads, and these for ffmpeg."""

    def interrupted() -> None:
        with decoding_pool(1) as pool:
            pool.submit(open_audio, song)
            wait_until(lambda: pid_file.exists() and pid_file.read_text())
            raise kind

    with pytest.raises(kind):
        interrupted()
    assert not is_running(int(pid_file.read_text()))
    with FfmpegProcess(["echo", "again"]) as process:
        assert process.read(9) == b"again\n"


def test_an_interrupt_also_ends_an_ffmpeg_that_starts_late(song: Path, pid_file: Path) -> None:
    """The interrupt comes between the request and the start of ffmpeg."""
    may_start = threading.Event()

    def open_late() -> None:
        may_start.wait()
        open_audio(song)

    def interrupted() -> None:
        with decoding_pool(1) as pool:
            pool.submit(open_late)
            threading.Timer(0.5, may_start.set).start()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not is_running(int(pid_file.read_text()))


def test_a_signal_during_submit_ends_the_wait(
    song: Path, pid_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pool does not know the thread that it was just starting, and does not wait for it."""
    started: list[threading.Thread] = []
    start = threading.Thread.start

    def interrupted_start(thread: threading.Thread) -> None:
        start(thread)
        if thread.name.startswith("ThreadPoolExecutor"):
            started.append(thread)
            wait_until(lambda: pid_file.exists() and pid_file.read_text())
            raise SystemExit

    def interrupted() -> None:
        with decoding_pool(1) as pool:
            monkeypatch.setattr(threading.Thread, "start", interrupted_start)
            pool.submit(open_audio, song)

    with pytest.raises(SystemExit):
        interrupted()
    started[0].join(TIMEOUT)
    assert not started[0].is_alive()
    assert not is_running(int(pid_file.read_text()))


def test_writing_after_an_interrupt_raises_keyboard_interrupt() -> None:
    ended = threading.Event()
    with FfmpegProcess(["sleep", "600"], feeds=True, ended=ended) as process:
        ended.set()
        wait_until(lambda: process._process.poll() is not None)
        with pytest.raises(KeyboardInterrupt):
            process.write(bytes(1 << 20))


def test_a_process_that_cannot_be_watched_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    started = []

    def start(*args: Any, **options: Any) -> subprocess.Popen[bytes]:
        started.append(popen(*args, **options))
        return started[-1]

    def fail(*_: object) -> None:
        raise OSError(1, "Operation not permitted")

    popen = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", start)
    monkeypatch.setattr(ffmpeg_process, "_appends", fail)
    with pytest.raises(FfmpegMissingError, match="not permitted"):
        FfmpegProcess(["sleep", "600"])
    assert started[0].returncode == -signal.SIGKILL


def test_the_log_is_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It grows by about 100 kB every 10 ms, so it may exceed the limit between two checks."""
    monkeypatch.setattr(ffmpeg_process, "MOST_LOG", 100_000)
    line = "echo first >&2; while :; do head -c 100000 /dev/zero >&2; sleep 0.01; done"
    program = put(tmp_path / "bin", line)
    sizes = []
    with FfmpegProcess([str(program)]) as process:
        wait_until(lambda: os.fstat(process.log.fileno()).st_size > 1_000_000)
        wait_until(lambda: os.fstat(process.log.fileno()).st_size <= 100_000 + 1_000_000)
        for _ in range(20):
            sizes.append(os.fstat(process.log.fileno()).st_size)
            time.sleep(0.05)
        assert read_log(process.log).startswith("first\n")
    assert max(sizes) < 10_000_000


def test_a_missing_program_is_reported() -> None:
    """The output folder is not blamed, although the error is also an OSError."""
    with pytest.raises(FfmpegMissingError, match=r"^/nowhere/ffmpeg cannot be started: No"):
        FfmpegProcess(["/nowhere/ffmpeg"])


def test_ffmpeg_does_not_receive_ctrl_c_of_the_terminal() -> None:
    """Ctrl-C goes to the process group, and the song would then seem damaged."""
    with FfmpegProcess(["sleep", "600"]) as process:
        assert os.getpgid(process._process.pid) != os.getpgid(0)
    assert process._process.returncode == -signal.SIGKILL


@pytest.mark.skipif(not hasattr(os, "pread"), reason="Windows has no pread")
def test_reading_a_log_does_not_move_where_the_process_writes(tmp_path: Path) -> None:
    """By hand: a child writes where the file stands (POSIX, dup); its lines follow one another."""
    with (tmp_path / "log").open("w+b", buffering=0) as log:
        log.write(b"first\n")
        before = os.lseek(log.fileno(), 0, os.SEEK_CUR)
        assert read_log(log) == "first\n"
        assert os.lseek(log.fileno(), 0, os.SEEK_CUR) == before
        os.lseek(log.fileno(), 3, os.SEEK_SET)
        assert read_log(log) == "first\n"
        assert os.lseek(log.fileno(), 0, os.SEEK_CUR) == 3
