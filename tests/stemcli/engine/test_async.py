"""Async variants of the Python interface: results, events, cancellation and imports."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

import stemcli
from stemcli.engine.calls import Call, run_in_thread
from stemcli.engine.device_pool import DevicePool
from stemcli.engine.events import Event, Progress, TrackStarted
from tests.stemcli.engine.sessions import RATE, files, make_session, song
from tests.stemcli.engine.stubs import noise

IMPORTS = """
import asyncio, sys, threading
import stemcli

main = threading.get_ident()
imported_in = []


class Watcher:
    def find_spec(self, name, path, target=None):
        if name in ("torch", "numpy", "soundfile"):
            imported_in.append((name, threading.get_ident() == main))


sys.meta_path.insert(0, Watcher())


async def run():
    assert "torch" not in sys.modules and "numpy" not in sys.modules
    try:
        await stemcli.separate_async("gone.wav", device="cpu")
    except stemcli.DecodeError as error:
        print(error)


stemcli.separate_async, stemcli.DecodeError
assert "torch" not in sys.modules and "numpy" not in sys.modules
asyncio.run(run())
assert {name for name, _ in imported_in} >= {"torch", "numpy"}
assert not any(is_main for _, is_main in imported_in), imported_in
"""


def test_torch_is_imported_in_a_thread(tmp_path: Path) -> None:
    """The event loop runs while torch is imported, which takes seconds."""
    command = [sys.executable, "-c", IMPORTS]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("There is no file gone.wav")


def test_async_songs_are_those_of_the_sync_call(tmp_path: Path) -> None:
    """Events come in the thread of the event loop, all before the result."""
    path = song(tmp_path / "song.wav")
    seen: list[tuple[str, int]] = []

    def on_event(event: Event) -> None:
        seen.append((event.to_dict()["event"], threading.get_ident()))

    expected = make_session(tmp_path / "sync").separate_file(path)

    async def run() -> tuple[Any, Any, list[str]]:
        session = make_session(tmp_path / "async", on_event=on_event)
        files = session.separate_file_async(path)
        result, stems = await asyncio.gather(files, session.separate_array_async(noise(RATE), RATE))
        return result, stems, [name for name, _ in seen]

    result, stems, names = asyncio.run(run())
    for stem, made in result.outputs.items():
        assert made.read_bytes() == expected.outputs[stem].read_bytes()
        assert np.array_equal(stems[stem], soundfile.read(made, dtype="float32")[0])
    assert names[0] == "model_loaded"
    assert names.count("track_finished") == 1  # the array's progress may come before or after it
    assert {thread for _, thread in seen} == {threading.get_ident()}


def test_the_event_loop_runs_meanwhile_and_a_cancelled_song_leaves_no_files(
    tmp_path: Path,
) -> None:
    """The other song of the session goes on, and so does the session."""
    long, short = song(tmp_path / "long.wav", 60.0), song(tmp_path / "short.wav")
    begun: list[asyncio.Event] = []

    def on_event(event: Event) -> None:
        if isinstance(event, Progress) and event.track == "long.wav":
            begun[0].set()

    async def run() -> None:
        begun.append(asyncio.Event())
        session = make_session(tmp_path / "out", on_event=on_event)
        task = asyncio.create_task(session.separate_file_async(long))
        await begun[0].wait()
        other = asyncio.create_task(session.separate_file_async(short))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert [name for name in files(tmp_path / "out") if name.startswith("long")] == []
        assert (await other).frames == RATE

    asyncio.run(run())
    assert [name for name in files(tmp_path / "out") if "." in name] == [
        "short/band.wav",
        "short/vocals.wav",
    ]


def test_an_event_handler_that_raises_ends_the_await(tmp_path: Path) -> None:
    path = song(tmp_path / "song.wav", 20.0)

    def on_event(event: Event) -> None:
        if isinstance(event, TrackStarted):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        asyncio.run(make_session(tmp_path / "out", on_event=on_event).separate_file_async(path))
    assert files(tmp_path / "out") == []


def test_an_error_and_an_interrupted_session_end_the_await(tmp_path: Path) -> None:
    with pytest.raises(stemcli.DecodeError, match="There is no file"):
        asyncio.run(make_session(tmp_path / "out").separate_file_async(tmp_path / "gone.wav"))
    session = make_session(tmp_path / "out")
    session.interrupt()
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(session.separate_file_async(song(tmp_path / "song.wav")))
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(session.separate_array_async(noise(RATE), RATE))


def test_work_that_waits_for_a_thread_is_cancelled_at_once() -> None:
    from concurrent.futures import ThreadPoolExecutor

    free = threading.Event()

    async def run() -> None:
        with ThreadPoolExecutor(1) as threads:
            first = asyncio.create_task(run_in_thread(threads, lambda call: free.wait(30), None))
            second = asyncio.create_task(run_in_thread(threads, lambda call: 1 / 0, None))
            await asyncio.sleep(0)
            second.cancel()
            with pytest.raises(asyncio.CancelledError):
                await second
            free.set()
            assert await first

    asyncio.run(run())


def test_a_song_that_waits_for_a_device_can_be_interrupted() -> None:
    pool, call = DevicePool([object()]), Call(lambda event: None)  # type: ignore[list-item]
    held = threading.Event()
    busy = threading.Thread(target=lambda: pool.run(lambda net: held.wait(30)))
    busy.start()
    call.interrupted.set()
    with pytest.raises(KeyboardInterrupt):
        pool.run(lambda net: None, call.check)
    held.set()
    busy.join()
