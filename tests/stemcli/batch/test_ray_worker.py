"""The actor that separates, without Ray. Truth: the messages about one song, step by step."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from stemcli.batch import ray_worker
from stemcli.batch.library import LibrarySong
from stemcli.batch.plan import SongTask
from stemcli.batch.ray_worker import (
    Message,
    SeparationActor,
    SongFailed,
    SongNotFound,
    SongRead,
    StemsWritten,
)
from stemcli.batch.records import Content
from stemcli.engine.events import Progress, TrackStarted
from stemcli.engine.models import LoadedModel
from stemcli.engine.options import Options
from tests.stemcli.batch.fake import SECONDS, FakeSession, make_songs
from tests.stemcli.engine.stubs import Flipped, Scaling, noise
from tests.stemcli.engine.test_level import write


class Workplace:
    """An actor with the engine that writes text files, and songs for it."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.before: Callable[[Path], object] = lambda song: None
        self.session: FakeSession | None = None

        def open_session(options: Options, listener: Any, *, jobs: int, load: Any) -> FakeSession:
            self.session = FakeSession(options, listener, jobs, before=self._meet)
            return self.session

        patch.setattr("stemcli.engine.session.Session", open_session)
        self.actor = SeparationActor(Options(output=str(folder / "out")), {})

    def _meet(self, song: Path) -> None:
        self.before(song)

    def task(self, name: str = "a.mp3", content: str = "good") -> SongTask:
        (song,) = make_songs(self.folder / "in", name, content=content)
        return SongTask(LibrarySong(song, Path("x")), {})

    def separate(self, task: SongTask) -> Iterator[Message]:
        return self.actor.separate(task, replace=False)

    def stems(self) -> list[str]:
        return sorted(path.name for path in self.folder.glob("out/**/*") if path.is_file())


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workplace:
    return Workplace(tmp_path, monkeypatch)


def test_stems_keep_their_temporary_names(workplace: Workplace) -> None:
    task = workplace.task()
    read, started, progress, written = workplace.separate(task)
    assert read == SongRead(Content.of(task.song.path))
    assert isinstance(started, TrackStarted)
    assert isinstance(progress, Progress)
    assert isinstance(written, StemsWritten)
    temporary = [re.fullmatch(r"\.(\w+)\.\w{8}\.part\.wav", name) for name in workplace.stems()]
    assert [name and name[1] for name in temporary] == ["instrumental", "vocals"]
    assert all(made.content.is_in(made.temporary) for made in written.stems)
    assert [made.path.name for made in written.stems] == ["vocals.wav", "instrumental.wav"]
    assert (written.seconds, written.wall_seconds, written.skipped) == (SECONDS, 2.0, False)
    assert written.network_seconds == 1.0


def test_a_song_that_cannot_be_read_is_a_sentence_with_its_trace(workplace: Workplace) -> None:
    last = [*workplace.separate(workplace.task(content="bad"))][-1]
    assert isinstance(last, SongFailed)
    assert last.message == "a.mp3 holds no sound that can be read"
    assert "DecodeError" in last.trace


def test_a_song_that_is_not_there_is_not_found(workplace: Workplace) -> None:
    task = SongTask(LibrarySong(workplace.folder / "in/none.mp3"), {})
    assert [*workplace.separate(task)] == [SongNotFound()]


def test_a_song_may_come_again(workplace: Workplace) -> None:
    task = workplace.task()
    for _ in range(2):
        assert isinstance([*workplace.separate(task)][-1], StemsWritten)
    assert workplace.actor._streams == {}
    assert workplace.actor._threads == set()


def test_progress_is_told_now_and_then(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine tells it twice for each song."""
    for interval, told in ((60.0, 1), (0.0, 2)):
        monkeypatch.setattr(ray_worker, "INTERVAL", interval)
        said = [*workplace.separate(workplace.task())]
        assert sum(isinstance(each, Progress) for each in said) == told


def test_when_it_is_stopped_songs_leave_nothing_behind_and_have_no_result(
    workplace: Workplace,
) -> None:
    workplace.before = lambda song: workplace.actor._executor.interrupt()
    (read,) = workplace.separate(workplace.task())
    assert isinstance(read, SongRead)
    workplace.actor.stop()
    assert workplace.stems() == []


def test_complete_stems_of_a_song_that_fails_at_last_are_removed(workplace: Workplace) -> None:
    assert workplace.session is not None
    separate = workplace.session.separate_file

    def fail(*arguments: Any, **named: Any) -> Any:
        separate(*arguments, **named)
        raise OSError("a defect after the stems were complete")

    workplace.session.separate_file = fail  # type: ignore[method-assign]
    assert isinstance([*workplace.separate(workplace.task())][-1], SongFailed)
    assert workplace.stems() == []


def test_it_runs_the_network_for_phases_as_well(tmp_path: Path) -> None:
    """By hand: -0.1 of the song, with the real engine."""
    models = {"net": LoadedModel("net", Scaling()), "phase": LoadedModel("phase", Flipped())}
    options = Options(("net",), "phase", output=str(tmp_path / "out"), device="cpu")
    song = write(tmp_path / "in/song.wav", noise(500))
    actor = SeparationActor(options, models)
    assert actor.load().device == "cpu"
    task = SongTask(LibrarySong(song), {"vocals": tmp_path / "out/song/vocals.wav"})
    written = [*actor.separate(task, replace=False)][-1]
    assert isinstance(written, StemsWritten)
    (made,) = (each for each in written.stems if each.path.name == "vocals.wav")
    assert not made.path.exists()
    stem, _ = soundfile.read(made.temporary, dtype="float32")
    np.testing.assert_allclose(stem, -0.1 * noise(500), atol=1e-6)
