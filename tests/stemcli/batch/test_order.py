"""Listening to a worker. Truth: the protocol, with a worker that reads from a list."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from model_zoo.errors import StemError
from stemcli.batch import order as order_module
from stemcli.batch.executor import WrittenStem
from stemcli.batch.library import LibrarySong
from stemcli.batch.order import BatchOrder, LostError, UnableError
from stemcli.batch.plan import SongTask
from stemcli.batch.records import Content
from stemcli.batch.talk import Begun, Complete, Ended, Failed, GivenBack, Said, Stopped, Unseen
from stemcli.engine.events import Event, Progress, TrackStarted

CONTENT = Content(1, 2, "3")


class Notes:
    """What was noted down of the steps."""

    def __init__(self) -> None:
        self.contents: list[Content] = []
        self.stems: list[tuple[WrittenStem, ...]] = []

    def begun(self, content: Content) -> None:
        self.contents.append(content)

    def complete(self, stems: Any) -> None:
        self.stems.append(tuple(stems))


class Stage:
    """Orders to a worker whose words are known beforehand, in the current folder."""

    def __init__(self, patch: pytest.MonkeyPatch, folder: Path) -> None:
        patch.chdir(folder)
        patch.setattr(order_module, "ray", SimpleNamespace(wait=self._wait, get=lambda said: said))
        patch.setattr(order_module, "PATIENCE", 0.0)
        Path("a.mp3").touch()
        self.notes, self.events = Notes(), list[Event]()
        self.interrupted = threading.Event()
        self.begun = 0
        self.words: list[Said] = []
        self.went: list[int] = []
        self.task = SongTask(LibrarySong(Path("a.mp3")), {"vocals": Path("out/a/vocals.wav")})

    def order(self, *words: Said) -> BatchOrder:
        self.words = list(words)
        actor = SimpleNamespace(
            go=SimpleNamespace(remote=self.went.append),
            separate=SimpleNamespace(options=lambda **_: SimpleNamespace(remote=self._begin)),
        )
        return BatchOrder(
            actor,
            7,
            self.task,
            steps=self.notes,
            tell=self.events.append,
            is_begun=self._count,
            is_interrupted=self.interrupted,
        )

    def make(self, name: str = ".vocals.0123abcd.part.wav", content: str = "sound") -> WrittenStem:
        """A stem as the worker names it, whose file is there."""
        folder = Path("out/a")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
        path = (folder / "vocals.wav").absolute()
        return WrittenStem(path.with_name(name), path, Content.of(folder / name))

    def _begin(self, number: int, task: SongTask, **_: Any) -> Iterable[Said]:
        assert number == 7
        assert task.song.path.is_absolute()
        return iter(self.words)

    def _wait(self, streams: list[Any], timeout: float) -> tuple[list[Any], list[Any]]:
        return streams, []

    def _count(self) -> None:
        self.begun += 1


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Stage:
    return Stage(monkeypatch, tmp_path)


def test_steps_are_noted_by_the_names_of_this_machine(stage: Stage) -> None:
    made = stage.make()
    started, moved = TrackStarted("a.mp3", 9.0, 44100, 2), Progress("a.mp3", "separating", 1.0, 9.0)
    words = (Begun(CONTENT), started, moved, Complete((made,)), Ended(9.0, 2.0, False, 1.5))
    order = stage.order(*words)
    outcome = order.run(replace=False)
    assert outcome
    assert (outcome.seconds, outcome.wall_seconds, outcome.skipped) == (9.0, 2.0, False)
    assert order.network_seconds == 1.5
    assert stage.notes.contents == [CONTENT]
    folder = Path("out/a")
    expected = WrittenStem(folder / made.temporary.name, folder / "vocals.wav", made.content)
    assert stage.notes.stems == [(expected,)]
    assert stage.went == [7, 7]
    assert stage.events == [started, moved]
    assert stage.begun == 1


def test_a_failure_keeps_the_traceback_of_the_worker(stage: Stage) -> None:
    with pytest.raises(StemError, match="It is damaged") as caught:
        stage.order(Failed("It is damaged.", "line 1 of the worker")).run(replace=False)
    assert str(caught.value.__cause__) == "line 1 of the worker"


def test_a_song_that_was_given_back_has_no_outcome(stage: Stage) -> None:
    assert stage.order(Begun(CONTENT), GivenBack()).run(replace=False) is None


def test_a_worker_that_does_not_see_a_song_that_is_there_is_unable(stage: Stage) -> None:
    with pytest.raises(UnableError, match=r"it does not see a\.mp3: mount"):
        stage.order(Unseen()).run(replace=False)
    Path("a.mp3").unlink()
    with pytest.raises(StemError, match=r"There is no file a\.mp3 any more"):
        stage.order(Unseen()).run(replace=False)


def test_a_worker_whose_stems_are_not_seen_here_is_unable(stage: Stage) -> None:
    made = stage.make()
    made.temporary.unlink()
    with pytest.raises(UnableError, match="what it writes to out/a is not there"):
        stage.order(Complete((made,))).run(replace=False)
    assert stage.went == []


def test_an_interrupt(stage: Stage) -> None:
    stage.interrupted.set()
    with pytest.raises(KeyboardInterrupt):
        stage.order(Begun(CONTENT)).run(replace=False)


def test_a_worker_that_ended_by_itself_is_lost(stage: Stage) -> None:
    with pytest.raises(LostError, match="had not heard from here"):
        stage.order(Stopped()).run(replace=False)


@pytest.mark.parametrize("renamed", [False, True])
def test_what_a_lost_worker_had_only_to_rename_is_renamed(stage: Stage, renamed: bool) -> None:
    made = stage.make()
    order = stage.order(TrackStarted("a.mp3", 9.0, 44100, 2), Complete((made,)), Stopped())
    with pytest.raises(LostError):
        order.run(replace=False)
    if renamed:
        made.temporary.rename(made.path)
    outcome = order.finish()
    assert outcome
    assert outcome.seconds == 9.0
    assert made.path.read_text() == "sound"
    assert not made.temporary.exists()


def test_what_is_not_complete_is_not_finished(stage: Stage) -> None:
    made = stage.make()
    order = stage.order(Begun(CONTENT), Stopped())
    with pytest.raises(LostError):
        order.run(replace=False)
    assert order.finish() is None
    order = stage.order(Complete((made,)), Stopped())
    with pytest.raises(LostError):
        order.run(replace=False)
    made.temporary.write_text("else!")
    assert order.finish() is None
