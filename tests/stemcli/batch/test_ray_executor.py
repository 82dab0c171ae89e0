"""Separation on a cluster, over a fake of Ray. Expected values are worked by hand.

The actors are real and run the fake engine.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from model_zoo.errors import OutputError, StemError
from stemcli.audio.writer import leftovers
from stemcli.batch.executor import WrittenStem, publish
from stemcli.batch.journal import Journal
from stemcli.batch.library import LibrarySong
from stemcli.batch.plan import SongTask
from stemcli.batch.ray_executor import RemoteError, open_cluster
from stemcli.batch.records import Content
from stemcli.batch.report import (
    BatchReport,
    WorkerJoined,
    WorkerRefused,
)
from stemcli.batch.resume import DONE
from stemcli.batch.run import separate_songs
from stemcli.engine.events import Event, Progress, TrackFinished, TrackStarted
from stemcli.engine.options import Options
from stemcli.engine.planned import PlannedFiles
from tests.stemcli.batch.fake import SECONDS, make_songs
from tests.stemcli.batch.fake_cluster import Cluster, StepLog, partial_files
from tests.stemcli.batch.fake_ray import GOOD


def test_steps_are_reported_with_local_paths(cluster: Cluster) -> None:
    (task,) = cluster.tasks("a.mp3")
    result = cluster.run([task])["a.mp3"]
    assert (result.seconds, result.wall_seconds, result.skipped) == (SECONDS, 2.0, False)
    assert cluster.executor.network_seconds == 1.0
    log = cluster.logs["a.mp3"]
    assert log.steps == ["start", "read", "written"]
    assert log.contents == [Content.of(Path("a.mp3"))]
    (stems,) = log.stems
    assert [stem.path for stem in stems] == [
        Path("out/a/vocals.wav"),
        Path("out/a/instrumental.wav"),
    ]
    assert all(stem.temporary.parent == Path("out/a") for stem in stems)
    assert [stem.path.read_text() for stem in stems] == [
        "vocals of a.mp3",
        "instrumental of a.mp3",
    ]
    assert all(stem.content.is_in(stem.path) for stem in stems)
    assert partial_files() == []
    kinds = [type(event) for event in cluster.events]
    assert kinds == [WorkerJoined, TrackStarted, Progress, TrackFinished]
    assert cluster.events[-1] == TrackFinished(
        "a.mp3",
        {"vocals": "out/a/vocals.wav", "instrumental": "out/a/instrumental.wav"},
        SECONDS,
        2.0,
    )


def test_stems_get_the_planned_names_not_those_that_an_actor_would_choose(
    cluster: Cluster,
) -> None:
    """An actor may read other tags, e.g. because its machine has no ffmpeg."""
    (task,) = cluster.tasks("a.mp3")
    outputs = {stem: Path(f"out/Artist/{stem}.wav") for stem in task.planned.stems}
    assert cluster.run([SongTask(task.song, PlannedFiles(outputs))])["a.mp3"].error is None
    assert {*Path("out/Artist").iterdir()} == {*outputs.values()}
    assert not Path("out/a").exists()


def test_a_failure_keeps_the_traceback_of_the_actor(cluster: Cluster) -> None:
    results = cluster.run(cluster.tasks("a.mp3", content="bad") + cluster.tasks("b.mp3"))
    error = results["a.mp3"].error
    assert isinstance(error, StemError)
    assert str(error) == "a.mp3 holds no sound that can be read"
    assert isinstance(error.__cause__, RemoteError)
    assert "DecodeError" in str(error.__cause__)
    assert results["b.mp3"].error is None


def test_a_missing_song_does_not_blame_the_worker(cluster: Cluster) -> None:
    (task,) = cluster.tasks("a.mp3")
    Path("a.mp3").unlink()
    with pytest.raises(StemError, match=r"a\.mp3 no longer exists"):
        raise cluster.run([task])["a.mp3"].error or AssertionError
    assert cluster.events_of(WorkerRefused) == []


def test_existing_stems_are_skipped(cluster: Cluster) -> None:
    tasks = cluster.tasks("a.mp3")
    make_songs(Path("out"), "a/vocals.wav", "a/instrumental.wav", content="mine")
    cluster.executor._options = Options(output="out", existing="skip")
    assert cluster.run(tasks)["a.mp3"].skipped
    assert cluster.events_of(TrackFinished) == []
    assert Path("out/a/vocals.wav").read_text() == "mine"


def test_a_failing_journal_leaves_no_stem(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(log: StepLog, stems: Any) -> bool:
        raise OutputError("the journal cannot be written")

    monkeypatch.setattr(StepLog, "on_written", refuse)
    error = cluster.run(cluster.tasks("a.mp3"))["a.mp3"].error
    assert str(error) == "the journal cannot be written"
    assert [path for path in Path("out").rglob("*") if path.is_file()] == []


def test_either_all_stems_are_published_or_none(tmp_path: Path) -> None:
    stems = []
    for name in ("vocals", "drums"):
        temporary = tmp_path / f".{name}.part.wav"
        temporary.write_text(name)
        stems.append(WrittenStem(temporary, tmp_path / f"{name}.wav", Content.of(temporary)))
    (tmp_path / "drums.wav").mkdir()
    with pytest.raises(OutputError, match=r"drums\.wav"):
        publish(stems, None)
    assert [path.name for path in tmp_path.iterdir()] == ["drums.wav"]


def test_larger_songs_start_first_and_ties_keep_their_order(cluster: Cluster) -> None:
    names = ["1.mp3", "5.mp3", "3.mp3", "5 too.mp3"]
    tasks = [cluster.tasks(name, content="x" * int(name[0]))[0] for name in names]
    cluster.run(tasks)
    assert cluster.ray.actors[0].songs == ["5.mp3", "5 too.mp3", "3.mp3", "1.mp3"]


@pytest.mark.parametrize("kind", [TrackStarted, TrackFinished])
def test_an_interrupt_stops_the_workers_and_removes_partial_files(
    cluster: Cluster, kind: type[Event]
) -> None:
    def interrupt(event: Event) -> None:
        if isinstance(event, kind):
            make_songs(Path("out"), "b/.vocals.0123abcd.part.wav")
            raise KeyboardInterrupt

    cluster.on_event = interrupt
    with pytest.raises(KeyboardInterrupt):
        cluster.run(cluster.tasks("a.mp3", "b.mp3", "c.mp3"))
    (actor,) = cluster.ray.actors
    assert actor.stop.calls == 1
    assert cluster.ray.killed == [actor]
    assert partial_files() == []


def test_closing_the_run_stops_the_workers(cluster: Cluster) -> None:
    with cluster.executor:
        run = cluster.executor.run(
            cluster.tasks("a.mp3", "b.mp3", "c.mp3"), replace=False, callbacks=lambda task: None
        )
        assert next(run).error is None
        run.close()
        assert len(cluster.ray.killed) == 1


def test_all_actors_are_killed_at_the_end(cluster: Cluster) -> None:
    cluster.ray.live_nodes = {"a": GOOD, "b": GOOD}
    cluster.run(cluster.tasks("a.mp3"))
    assert {actor.node for actor in cluster.ray.killed} == {"a", "b"}


def batch(cluster: Cluster, *names: str) -> BatchReport:
    songs = [LibrarySong(Path(name)) for name in names]
    with Journal(Path("out")) as journal:
        return separate_songs(
            songs,
            Options(output="out"),
            journal=journal,
            on_event=cluster.events.append,
            open_executor=open_cluster,
        )


def test_a_second_run_skips_what_the_journal_has(cluster: Cluster) -> None:
    make_songs(Path(), "a.mp3", "b.mp3")
    make_songs(Path(), "bad.mp3", content="bad")
    report = batch(cluster, "a.mp3", "bad.mp3", "b.mp3")
    assert [track.outcome for track in report.tracks] == ["done", "failed", "done"]
    assert report.network_seconds == 1.0
    assert "DecodeError" in report.tracks[1].trace
    with Journal(Path("out")) as journal:
        entry = journal.find("a.mp3")
    assert entry
    assert (entry.state, entry.attempts, entry.finished) == ("done", 1, 1)
    assert entry.content == Content.of(Path("a.mp3"))
    report = batch(cluster, "a.mp3", "bad.mp3", "b.mp3")
    assert [track.message for track in report.tracks][::2] == [DONE, DONE]


@pytest.mark.parametrize("moment", ["begin", "read", "ready"])
def test_no_stem_is_published_without_a_journal_entry(
    cluster: Cluster, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The driver dies right after a journal entry; after the last, stems only need renaming."""
    make_songs(Path(), "a.mp3")
    write = getattr(Journal, moment)

    def write_and_die(journal: Journal, *values: Any) -> None:
        write(journal, *values)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Journal, moment, write_and_die)
        patch.setattr("stemcli.batch.ray_executor._clean", lambda task: None)
        with pytest.raises(KeyboardInterrupt):
            batch(cluster, "a.mp3")
    assert [path for path in Path("out").rglob("[!.]*.wav") if path.is_file()] == []
    events = len(cluster.events)
    batch(cluster, "a.mp3")
    redone = any(isinstance(event, TrackStarted) for event in cluster.events[events:])
    assert redone == (moment != "ready")
    assert Path("out/a/vocals.wav").read_text() == "vocals of a.mp3"
    assert partial_files() == leftovers(Path("out/a/vocals.wav")) == []
