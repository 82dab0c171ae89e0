"""SeparationActor without Ray. Expected: its messages about one song, step by step."""

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
from stemcli.engine.planned import PlannedFiles
from tests.stemcli.batch.fake import SECONDS, FakeSession, make_songs
from tests.stemcli.engine.stubs import Flipped, Scaling, noise
from tests.stemcli.engine.test_level import write


class ActorHarness:
    """An actor with the fake engine, and songs for it."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.before: Callable[[Path], object] = lambda song: None
        self.session: FakeSession | None = None

        def open_session(options: Options, on_event: Any, *, jobs: int, load: Any) -> FakeSession:
            self.session = FakeSession(options, on_event, jobs, before=self._before)
            return self.session

        patch.setattr("stemcli.engine.session.Session", open_session)
        self.actor = SeparationActor(Options(output=str(folder / "out")), {})

    def _before(self, song: Path) -> None:
        self.before(song)

    def task(self, name: str = "a.mp3", content: str = "good") -> SongTask:
        (song,) = make_songs(self.folder / "in", name, content=content)
        place = self.folder / "out/x" / song.stem
        stems = {stem: place / f"{stem}.wav" for stem in ("vocals", "instrumental")}
        return SongTask(LibrarySong(song, Path("x")), PlannedFiles(stems))

    def separate(self, task: SongTask) -> Iterator[Message]:
        return self.actor.separate(task, replace=False)

    def stems(self) -> list[str]:
        return sorted(path.name for path in self.folder.glob("out/**/*") if path.is_file())


@pytest.fixture
def harness(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ActorHarness:
    return ActorHarness(tmp_path, monkeypatch)


def test_stems_keep_their_temporary_names(harness: ActorHarness) -> None:
    task = harness.task()
    read, started, progress, written = harness.separate(task)
    assert read == SongRead(Content.of(task.song.path))
    assert isinstance(started, TrackStarted)
    assert isinstance(progress, Progress)
    assert isinstance(written, StemsWritten)
    temporary = [re.fullmatch(r"\.(\w+)\.\w{8}\.part\.wav", name) for name in harness.stems()]
    assert [name and name[1] for name in temporary] == ["instrumental", "vocals"]
    assert all(stem.content.is_in(stem.temporary) for stem in written.stems)
    assert [stem.path.name for stem in written.stems] == ["vocals.wav", "instrumental.wav"]
    assert (written.seconds, written.wall_seconds, written.skipped) == (SECONDS, 2.0, False)
    assert written.network_seconds == 1.0


def test_an_unreadable_song_fails_with_message_and_traceback(harness: ActorHarness) -> None:
    last = [*harness.separate(harness.task(content="bad"))][-1]
    assert isinstance(last, SongFailed)
    assert last.message == "a.mp3 holds no sound that can be read"
    assert "DecodeError" in last.trace


def test_a_missing_song_is_reported_as_not_found(harness: ActorHarness) -> None:
    task = SongTask(LibrarySong(harness.folder / "in/none.mp3"), PlannedFiles({}))
    assert [*harness.separate(task)] == [SongNotFound()]


def test_a_song_can_be_sent_again(harness: ActorHarness) -> None:
    task = harness.task()
    for _ in range(2):
        assert isinstance([*harness.separate(task)][-1], StemsWritten)
    assert harness.actor._streams == {}
    assert harness.actor._threads == set()


def test_progress_is_throttled(harness: ActorHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine reports progress twice per song."""
    for interval, expected in ((60.0, 1), (0.0, 2)):
        monkeypatch.setattr(ray_worker, "INTERVAL", interval)
        messages = [*harness.separate(harness.task())]
        assert sum(isinstance(each, Progress) for each in messages) == expected


def test_a_stopped_actor_leaves_no_files_and_no_result(
    harness: ActorHarness,
) -> None:
    harness.before = lambda song: harness.actor._executor.interrupt()
    (read,) = harness.separate(harness.task())
    assert isinstance(read, SongRead)
    harness.actor.stop()
    assert harness.stems() == []


def test_stems_of_a_song_that_fails_after_writing_are_removed(harness: ActorHarness) -> None:
    assert harness.session is not None
    separate = harness.session.separate_file

    def fail(*args: Any, **kwargs: Any) -> Any:
        separate(*args, **kwargs)
        raise OSError("a defect after the stems were complete")

    harness.session.separate_file = fail  # type: ignore[method-assign]
    assert isinstance([*harness.separate(harness.task())][-1], SongFailed)
    assert harness.stems() == []


def test_the_actor_applies_the_phase_model(tmp_path: Path) -> None:
    """By hand, with the real engine: the stem is -0.1 of the song."""
    models = {"net": LoadedModel("net", Scaling()), "phase": LoadedModel("phase", Flipped())}
    options = Options(("net",), "phase", output=str(tmp_path / "out"), device="cpu")
    song = write(tmp_path / "in/song.wav", noise(500))
    actor = SeparationActor(options, models)
    assert actor.load().device == "cpu"
    task = SongTask(LibrarySong(song), PlannedFiles({"vocals": tmp_path / "out/song/vocals.wav"}))
    written = [*actor.separate(task, replace=False)][-1]
    assert isinstance(written, StemsWritten)
    (vocals,) = (each for each in written.stems if each.path.name == "vocals.wav")
    assert not vocals.path.exists()
    stem, _ = soundfile.read(vocals.temporary, dtype="float32")
    np.testing.assert_allclose(stem, -0.1 * noise(500), atol=1e-6)
