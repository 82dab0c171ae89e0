"""Songs in progress at the same time that would write the same files."""

from __future__ import annotations

import asyncio
import io
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import stemcli
from stemcli.engine.events import Event, TrackStarted
from stemcli.engine.reserved import reserved
from stemcli.engine.session import Session
from tests.stemcli.engine.sessions import files, make_session, song

BUSY = r"song/vocals\.wav is being written by another song"


def pausing(started: threading.Event, go_on: threading.Event) -> Callable[[Event], None]:
    def on_event(event: Event) -> None:
        if isinstance(event, TrackStarted):
            started.set()
            assert go_on.wait(30)

    return on_event


def run_beside(first: Session, second: Session, path: Path, **values: Any) -> stemcli.OutputError:
    """Start a song of ``second`` while one of ``first`` is separated; return its error."""
    started, go_on = threading.Event(), threading.Event()
    first._on_event = pausing(started, go_on)
    thread = threading.Thread(target=lambda: first.separate_file(path))
    thread.start()
    try:
        assert started.wait(30)
        with pytest.raises(stemcli.OutputError, match=BUSY) as caught:
            second.separate_file(path, **values)
    finally:
        go_on.set()
        thread.join()
    return caught.value


@pytest.mark.parametrize("existing", ["refuse", "skip", "overwrite"])
def test_two_sessions_do_not_write_the_same_files(existing: str, tmp_path: Path) -> None:
    """The first song is complete, and its files can be replaced afterwards."""
    path, out = song(tmp_path / "song.wav"), tmp_path / "out"
    first = make_session(out, existing=existing)
    second = make_session(out, existing=existing)
    run_beside(first, second, path)
    assert files(out) == ["song", "song/band.wav", "song/vocals.wav"]
    second.separate_file(path, replace=True)
    assert files(out) == ["song", "song/band.wav", "song/vocals.wav"]


def test_replace_does_not_write_beside_another_song(tmp_path: Path) -> None:
    path, out = song(tmp_path / "song.wav"), tmp_path / "out"
    run_beside(make_session(out), make_session(out), path, replace=True)


def test_two_uploads_of_one_name(tmp_path: Path) -> None:
    """One of them is written, the other refused; nothing is lost without an error."""
    data = song(tmp_path / "song.wav", 5.0).read_bytes()
    session = make_session(tmp_path / "out", jobs=2)

    async def run() -> list[Any]:
        uploads = [io.BytesIO(data), io.BytesIO(data)]
        calls = [session.separate_file_async(upload, name="song.wav") for upload in uploads]
        return await asyncio.gather(*calls, return_exceptions=True)

    results = sorted(asyncio.run(run()), key=lambda one: isinstance(one, Exception))
    assert isinstance(results[0], stemcli.Result)
    assert isinstance(results[1], stemcli.OutputError)


def test_paths_are_free_after_an_error(tmp_path: Path) -> None:
    """Names that some file systems treat as one are one path."""
    path = tmp_path / "a.wav"
    with pytest.raises(ZeroDivisionError), reserved([path]):
        raise ZeroDivisionError
    with reserved([path, tmp_path / "b.wav"]):
        with (
            pytest.raises(stemcli.OutputError, match=r"A\.wav is being"),
            reserved([tmp_path / "c.wav", tmp_path / "A.wav"]),
        ):
            pass
        with reserved([tmp_path / "c.wav"]):
            pass
