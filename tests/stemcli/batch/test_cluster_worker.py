"""A worker without a cluster: its talk about songs. Truth: the protocol, step by step."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from stemcli.batch import cluster_worker
from stemcli.batch.cluster_worker import SeparationActor
from stemcli.batch.library import LibrarySong
from stemcli.batch.plan import SongTask
from stemcli.batch.talk import Begun, Complete, Ended, Failed, GivenBack, Said, Stopped, Unseen
from stemcli.engine.events import Progress, TrackFinished, TrackStarted
from stemcli.engine.models import LoadedModel
from stemcli.engine.options import Options
from tests.stemcli.batch.fake import SECONDS, FakeSession, make_songs
from tests.stemcli.engine.stubs import Flipped, Scaling, noise
from tests.stemcli.engine.test_level import write

LEAVE = SeparationActor._end_when_forgotten


@pytest.fixture(autouse=True)
def _nobody_ends_the_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that is forgotten ends its process, which here is that of the tests."""
    monkeypatch.setattr(SeparationActor, "_end_when_forgotten", lambda self: None)


class Bench:
    """A worker with the engine that writes text files, and songs for it."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.before: Callable[[Path], object] = lambda song: None

        def open_fake(options: Options, listener: Any, *, jobs: int, load: Any) -> FakeSession:
            return FakeSession(options, listener, jobs, before=self._meet)

        patch.setattr("stemcli.engine.session.Session", open_fake)
        self.worker = SeparationActor(Options(output=str(folder / "out")), {})

    def _meet(self, song: Path) -> None:
        self.before(song)

    def task(self, name: str = "a.mp3", content: str = "good") -> SongTask:
        (song,) = make_songs(self.folder / "in", name, content=content)
        return SongTask(LibrarySong(song, Path("x")), {})

    def talk(self, number: int, task: SongTask, in_steps: bool = True) -> Iterator[Said]:
        return self.worker.separate(number, task, replace=False, in_steps=in_steps)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(tmp_path, monkeypatch)


def stems(bench: Bench) -> list[str]:
    return sorted(path.name for path in bench.folder.glob("out/**/*") if path.is_file())


def test_every_step_waits_until_it_was_noted_down(bench: Bench) -> None:
    talk = bench.talk(1, bench.task())
    assert isinstance(next(talk), Begun)
    assert stems(bench) == []
    bench.worker.go(1)
    assert isinstance(next(talk), TrackStarted)
    assert isinstance(next(talk), Progress)
    complete = next(talk)
    assert isinstance(complete, Complete)
    temporary = [re.fullmatch(r"\.(\w+)\.\w{8}\.part\.wav", name) for name in stems(bench)]
    assert [name and name[1] for name in temporary] == ["instrumental", "vocals"]
    assert all(made.content.is_in(made.temporary) for made in complete.stems)
    bench.worker.go(1)
    assert isinstance(next(talk), TrackFinished)
    ended = next(talk)
    assert isinstance(ended, Ended)
    assert (ended.seconds, ended.network_seconds) == (SECONDS, 1.0)
    assert stems(bench) == ["instrumental.wav", "vocals.wav"]
    assert list(talk) == []


def test_without_a_journal_nothing_waits(bench: Bench) -> None:
    said = [*bench.talk(1, bench.task(), in_steps=False)]
    assert isinstance(said[-1], Ended)
    assert not any(isinstance(each, Begun | Complete) for each in said)


def test_a_song_that_cannot_be_read_is_a_sentence_with_its_trace(bench: Bench) -> None:
    said = [*bench.talk(1, bench.task(content="bad"), in_steps=False)]
    assert isinstance(said[-1], Failed)
    assert said[-1].message == "a.mp3 holds no sound that can be read"
    assert "DecodeError" in said[-1].trace


def test_a_song_that_is_not_there_is_said_to_be_unseen(bench: Bench) -> None:
    task = SongTask(LibrarySong(bench.folder / "in/none.mp3"), {})
    assert [*bench.talk(1, task)] == [Unseen()]


def test_a_song_is_given_back_until_its_network_begins(bench: Bench) -> None:
    talk = bench.talk(1, bench.task())
    next(talk)
    bench.worker.call_back(1)
    assert [*talk] == [GivenBack()]
    assert stems(bench) == []


def test_a_song_that_was_given_back_may_come_again(bench: Bench) -> None:
    """The first thread may still be busy opening it; the second waits for its end."""
    opened, go_on = threading.Event(), threading.Event()

    def before(song: Path) -> None:
        opened.set()
        go_on.wait()

    bench.before = before
    task = bench.task()
    first = bench.talk(1, task, in_steps=False)
    collected: list[Said] = []
    hearing = threading.Thread(target=lambda: collected.extend(first))
    hearing.start()
    opened.wait()
    bench.worker.call_back(1)
    hearing.join()
    assert collected == [GivenBack()]
    second = bench.talk(2, task, in_steps=False)
    go_on.set()
    assert isinstance([*second][-1], Ended)


def test_a_song_that_began_is_kept(bench: Bench) -> None:
    talk = bench.talk(1, bench.task())
    next(talk)
    bench.worker.go(1)
    assert isinstance(next(talk), TrackStarted)
    bench.worker.call_back(1)
    bench.worker.go(1)
    assert isinstance([*talk][-1], Ended)


def test_when_it_is_stopped_songs_leave_nothing_behind(bench: Bench) -> None:
    talk = bench.talk(1, bench.task())
    next(talk)
    bench.worker.stop()
    assert [*talk] == [Stopped()]
    assert stems(bench) == []


def test_it_runs_the_network_for_phases_as_well(tmp_path: Path) -> None:
    """By hand: -0.1 of the song, with the real engine."""
    models = {"net": LoadedModel("net", Scaling()), "phase": LoadedModel("phase", Flipped())}
    options = Options(("net",), "phase", output=str(tmp_path / "out"), device="cpu")
    song = write(tmp_path / "in/song.wav", noise(500))
    worker = SeparationActor(options, models)
    assert worker.introduce().device == "cpu"
    task = SongTask(LibrarySong(song), {"vocals": tmp_path / "out/song/vocals.wav"})
    assert isinstance([*worker.separate(1, task, replace=False, in_steps=False)][-1], Ended)
    stem, _ = soundfile.read(tmp_path / "out/song/vocals.wav", dtype="float32")
    np.testing.assert_allclose(stem, -0.1 * noise(500), atol=1e-6)


def test_it_ends_when_nobody_speaks_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = threading.Event()
    monkeypatch.setattr(SeparationActor, "_end_when_forgotten", LEAVE)
    monkeypatch.setattr(cluster_worker, "LEASE", -1.0)
    monkeypatch.setattr("os._exit", lambda code: ended.set())
    bench = Bench(tmp_path, monkeypatch)
    assert ended.wait(5)
    assert [*bench.talk(1, bench.task())][-1] == Stopped()
