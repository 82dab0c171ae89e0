"""Songs on a cluster. Truth: a cluster of a few lines in the place of Ray, and small cases by hand.

The actors are real ones, with the engine that writes text files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from ray.exceptions import RayError

from model_zoo.errors import ClusterError, OutputError, StemError
from stemcli.audio.writer import leftovers
from stemcli.batch.executor import TaskResult, WrittenStem, publish
from stemcli.batch.journal import Journal
from stemcli.batch.library import LibrarySong
from stemcli.batch.plan import SongTask
from stemcli.batch.ray_executor import RayExecutor, RemoteError, open_cluster
from stemcli.batch.ray_pool import AWAITED, ROOMS
from stemcli.batch.ray_worker import ActorInfo, Message, SongRead, StemsWritten
from stemcli.batch.records import Content
from stemcli.batch.report import (
    BatchReport,
    WorkerJoined,
    WorkerLost,
    WorkerRefused,
    WorkersAwaited,
)
from stemcli.batch.resume import DONE
from stemcli.batch.run import separate_songs
from stemcli.engine.events import Event, Progress, TrackFinished, TrackStarted
from stemcli.engine.options import Options
from tests.stemcli.batch.fake import SECONDS, make_songs
from tests.stemcli.batch.fake_ray import GOOD, FakeRay, Stream


class Notes:
    """The steps of one song, and which of its stems had their names then."""

    def __init__(self, task: SongTask) -> None:
        self.task = task
        self.steps: list[str] = []
        self.contents: list[Content] = []
        self.stems: list[tuple[WrittenStem, ...]] = []

    def on_start(self) -> None:
        self.steps.append("start")

    def on_read(self, content: Content) -> None:
        self.steps.append("read")
        self.contents.append(content)

    def on_written(self, stems: Any) -> bool:
        self.steps.append("written")
        self.stems.append(tuple(stems))
        assert not any(path.exists() for path in self.task.outputs.values())
        return False


class Cluster:
    """Runs songs of the current folder on the nodes of a fake cluster."""

    def __init__(self, patch: pytest.MonkeyPatch, folder: Path) -> None:
        patch.chdir(folder)
        self.ray = FakeRay(patch)
        self.ray.nodes_there = {"a": GOOD}
        self.events: list[Event] = []
        self.notes: dict[str, Notes] = {}
        self.listener: Callable[[Event], object] = self.events.append
        self.executor = RayExecutor(Options(output="out"), self._tell, 1)

    def tasks(self, *names: str, content: str = "good") -> list[SongTask]:
        songs = make_songs(Path(), *names, content=content)
        return [SongTask(LibrarySong(song), self.executor.plan(song)) for song in songs]

    def run(self, tasks: list[SongTask]) -> dict[str, TaskResult]:
        """The results by the names of the songs."""
        with self.executor:
            return {result.task.name: result for result in self.results(tasks)}

    def results(self, tasks: list[SongTask]) -> Iterator[TaskResult]:
        run = self.executor.run(tasks, replace=False, callbacks=self._note)
        with closing(run) as results:
            yield from results

    def told(self, *kinds: type[Event]) -> list[Event]:
        return [event for event in self.events if isinstance(event, kinds)]

    def _tell(self, event: Event) -> None:
        self.listener(event)

    def _note(self, task: SongTask) -> Notes:
        self.notes[task.name] = Notes(task)
        return self.notes[task.name]

    def then(self, *happenings: Callable[[], object]) -> None:
        self.ray.plan += happenings

    def hold(self) -> None:
        """Actors that are started from now on say nothing of their songs."""
        self.ray.hold_new = True

    def release(self) -> None:
        self.ray.hold_new = False
        for actor in self.ray.actors:
            actor.is_held = False

    def kill(self, number: int) -> None:
        """An actor dies; the next one on its node does not say anything either."""
        self.ray.actors[number].error = RayError("it died")


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Cluster:
    return Cluster(monkeypatch, tmp_path)


def parts() -> list[Path]:
    return [path for path in Path("out").rglob("*.part*") if path.is_file()]


def test_steps_are_noted_by_the_names_of_this_machine(cluster: Cluster) -> None:
    (task,) = cluster.tasks("a.mp3")
    result = cluster.run([task])["a.mp3"]
    assert (result.seconds, result.wall_seconds, result.skipped) == (SECONDS, 2.0, False)
    assert cluster.executor.network_seconds == 1.0
    notes = cluster.notes["a.mp3"]
    assert notes.steps == ["start", "read", "written"]
    assert notes.contents == [Content.of(Path("a.mp3"))]
    (stems,) = notes.stems
    assert [made.path for made in stems] == [
        Path("out/a/vocals.wav"),
        Path("out/a/instrumental.wav"),
    ]
    assert all(made.temporary.parent == Path("out/a") for made in stems)
    assert [made.path.read_text() for made in stems] == [
        "vocals of a.mp3",
        "instrumental of a.mp3",
    ]
    assert all(made.content.is_in(made.path) for made in stems)
    assert parts() == []
    kinds = [type(event) for event in cluster.events]
    assert kinds == [WorkerJoined, TrackStarted, Progress, TrackFinished]
    assert cluster.events[-1] == TrackFinished(
        "a.mp3",
        {"vocals": "out/a/vocals.wav", "instrumental": "out/a/instrumental.wav"},
        SECONDS,
        2.0,
    )


def test_a_failure_keeps_the_traceback_of_the_actor(cluster: Cluster) -> None:
    results = cluster.run(cluster.tasks("a.mp3", content="bad") + cluster.tasks("b.mp3"))
    error = results["a.mp3"].error
    assert isinstance(error, StemError)
    assert str(error) == "a.mp3 holds no sound that can be read"
    assert isinstance(error.__cause__, RemoteError)
    assert "DecodeError" in str(error.__cause__)
    assert results["b.mp3"].error is None


def test_a_song_that_is_gone_is_the_fault_of_no_worker(cluster: Cluster) -> None:
    (task,) = cluster.tasks("a.mp3")
    Path("a.mp3").unlink()
    with pytest.raises(StemError, match=r"a\.mp3 no longer exists"):
        raise cluster.run([task])["a.mp3"].error or AssertionError
    assert cluster.told(WorkerRefused) == []


def test_stems_that_are_there_are_skipped(cluster: Cluster) -> None:
    tasks = cluster.tasks("a.mp3")
    make_songs(Path("out"), "a/vocals.wav", "a/instrumental.wav", content="mine")
    cluster.executor._options = Options(output="out", existing="skip")
    assert cluster.run(tasks)["a.mp3"].skipped
    assert cluster.told(TrackFinished) == []
    assert Path("out/a/vocals.wav").read_text() == "mine"


def test_what_cannot_be_noted_leaves_no_stem(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(notes: Notes, stems: Any) -> bool:
        raise OutputError("the journal cannot be written")

    monkeypatch.setattr(Notes, "on_written", refuse)
    error = cluster.run(cluster.tasks("a.mp3"))["a.mp3"].error
    assert str(error) == "the journal cannot be written"
    assert [path for path in Path("out").rglob("*") if path.is_file()] == []


def test_all_stems_get_their_names_or_none(tmp_path: Path) -> None:
    stems = []
    for name in ("vocals", "drums"):
        temporary = tmp_path / f".{name}.part.wav"
        temporary.write_text(name)
        stems.append(WrittenStem(temporary, tmp_path / f"{name}.wav", Content.of(temporary)))
    (tmp_path / "drums.wav").mkdir()
    with pytest.raises(OutputError, match=r"drums\.wav"):
        publish(stems, None)
    assert [path.name for path in tmp_path.iterdir()] == ["drums.wav"]


def test_large_songs_begin_first_and_of_equals_the_one_that_came_first(cluster: Cluster) -> None:
    names = ["1.mp3", "5.mp3", "3.mp3", "5 too.mp3"]
    tasks = [cluster.tasks(name, content="x" * int(name[0]))[0] for name in names]
    cluster.run(tasks)
    assert cluster.ray.actors[0].songs == ["5.mp3", "5 too.mp3", "3.mp3", "1.mp3"]


def test_songs_are_spread_before_anybody_holds_two(cluster: Cluster) -> None:
    cluster.ray.nodes_there = {"a": GOOD, "b": GOOD}
    cluster.hold()
    tasks = cluster.tasks(*(f"{number}.mp3" for number in range(7)))
    held: list[list[str]] = []
    cluster.then(lambda: held.extend(list(actor.songs) for actor in cluster.ray.actors))
    cluster.then(cluster.release)
    assert all(result.error is None for result in cluster.run(tasks).values())
    assert held == [["0.mp3", "2.mp3"], ["1.mp3", "3.mp3"]]


def test_an_actor_never_holds_more_songs_than_it_has_room_for(cluster: Cluster) -> None:
    cluster.ray.nodes_there = {"a": GOOD, "b": GOOD}
    most = 0

    def count(song: Path) -> None:
        nonlocal most
        for actor in cluster.executor._pool.actors:
            streams = cluster.executor._streams.values()
            most = max(most, sum(holder is actor for _, holder in streams))

    cluster.ray.before = count
    results = cluster.run(cluster.tasks(*(f"{number}.mp3" for number in range(40))))
    assert (len(results), most) == (40, ROOMS)


def test_a_node_that_comes_late_gets_the_songs_that_wait(cluster: Cluster) -> None:
    cluster.hold()

    def come() -> None:
        cluster.ray.hold_new = False
        cluster.ray.nodes_there["b"] = GOOD

    cluster.then(come, cluster.release)
    results = cluster.run(cluster.tasks(*(f"{number}.mp3" for number in range(6))))
    assert len(results) == 6
    first, late = cluster.ray.actors
    assert first.songs == ["0.mp3", "1.mp3"]
    assert late.songs == ["2.mp3", "3.mp3", "4.mp3", "5.mp3"]


def test_a_second_run_uses_the_same_actors(cluster: Cluster) -> None:
    with cluster.executor:
        for name in ("a.mp3", "b.mp3"):
            assert [result.error for result in cluster.results(cluster.tasks(name))] == [None]
    assert [actor.songs for actor in cluster.ray.actors] == [["a.mp3", "b.mp3"]]


def test_the_songs_of_a_node_that_is_gone_are_given_to_another(cluster: Cluster) -> None:
    cluster.hold()

    def move() -> None:
        cluster.ray.hold_new = False
        make_songs(Path("out/a"), ".vocals.0123abcd.part.wav")
        cluster.ray.nodes_there = {"b": GOOD}

    left: list[Path] = []
    cluster.ray.before = lambda song: left.extend(Path("out").rglob(".vocals.0123abcd.*"))
    cluster.then(move)
    results = cluster.run(cluster.tasks("a.mp3", "b.mp3"))
    assert left == []
    assert [result.error for result in results.values()] == [None, None]
    workers = cluster.told(WorkerJoined, WorkerLost)
    assert workers == [
        WorkerJoined("a (ip)", "cpu", "fp32"),
        WorkerLost("a (ip)", "its machine is gone"),
        WorkerJoined("b (ip)", "cpu", "fp32"),
    ]
    assert cluster.notes["a.mp3"].steps == ["start", "start", "read", "written"]
    assert parts() == []


def test_a_worker_that_died_is_replaced_on_its_node(cluster: Cluster) -> None:
    cluster.hold()

    def die() -> None:
        cluster.ray.hold_new = False
        cluster.kill(0)

    cluster.then(die)
    results = cluster.run(cluster.tasks("a.mp3", "b.mp3"))
    assert [result.error for result in results.values()] == [None, None]
    assert cluster.told(WorkerJoined, WorkerLost) == [
        WorkerJoined("a (ip)", "cpu", "fp32"),
        WorkerLost("a (ip)", "it died"),
        WorkerJoined("a (ip)", "cpu", "fp32"),
    ]
    assert len(cluster.ray.actors) == 2
    assert cluster.ray.actors[0] in cluster.ray.killed


def test_a_stream_without_a_result_is_that_of_a_lost_worker(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    say: list[Iterator[Message]] = [iter([SongRead(Content(1, 2, "3"))])]
    first = Stream.__init__

    def begin(stream: Stream, actor: Any, task: SongTask, messages: Iterator[Message]) -> None:
        first(stream, actor, task, say.pop() if say else messages)

    monkeypatch.setattr(Stream, "__init__", begin)
    assert cluster.run(cluster.tasks("a.mp3"))["a.mp3"].error is None
    assert cluster.told(WorkerLost) == [WorkerLost("a (ip)", "it has ended")]


def test_a_song_that_kills_two_workers_while_alone_is_failed(cluster: Cluster) -> None:
    """Nobody knows which of two songs was the reason, until each is tried alone."""
    killed: list[list[str]] = []

    def kill_by(actor: Any) -> None:
        """Every actor that holds the song dies of it; the others work."""
        if "killer.mp3" in actor.songs:
            killed.append(list(actor.songs))
            actor.error = RayError("out of memory")
        else:
            actor.is_held = False

    cluster.hold()
    for _ in range(4):
        cluster.then(lambda: [kill_by(actor) for actor in cluster.ray.actors[-1:]])
    tasks = cluster.tasks("killer.mp3", content="good ") + cluster.tasks("b.mp3", "c.mp3")
    results = cluster.run(tasks)
    assert killed[0] == ["killer.mp3", "b.mp3"]
    assert killed[1:] == [["killer.mp3"]] * 2
    message = str(results["killer.mp3"].error)
    assert message.startswith("2 workers died while separating killer.mp3 (out of memory). If they")
    assert "use a smaller --segment or --batch-size" in message
    assert [results[name].error for name in ("b.mp3", "c.mp3")] == [None, None]


def test_a_song_that_is_tried_alone_has_its_worker_for_itself(cluster: Cluster) -> None:
    cluster.hold()

    def die() -> None:
        cluster.kill(0)

    def look() -> None:
        assert cluster.ray.actors[1].songs == ["a.mp3"]
        cluster.release()

    cluster.then(die, look)
    results = cluster.run(cluster.tasks("a.mp3", "b.mp3", "c.mp3"))
    assert len(results) == 3
    assert cluster.ray.actors[1].songs == ["a.mp3", "b.mp3", "c.mp3"]


def test_nodes_that_go_are_the_fault_of_no_song(cluster: Cluster) -> None:
    cluster.hold()
    for node in "bcd":
        cluster.then(lambda node=node: setattr(cluster.ray, "nodes_there", {node: GOOD}))
    cluster.then(cluster.release)
    assert cluster.run(cluster.tasks("a.mp3"))["a.mp3"].error is None
    assert len(cluster.told(WorkerLost)) == 3


def test_that_nobody_works_is_told_each_time_it_happens(cluster: Cluster) -> None:
    cluster.ray.nodes_there = {}
    cluster.hold()
    wait: list[Callable[[], object]] = [lambda: None] * (2 * AWAITED)
    cluster.then(*wait, lambda: cluster.ray.nodes_there.update(a=GOOD))
    cluster.then(cluster.ray.nodes_there.clear, *wait)

    def come() -> None:
        cluster.ray.hold_new = False
        cluster.ray.nodes_there["b"] = GOOD

    cluster.then(come)
    assert cluster.run(cluster.tasks("a.mp3"))["a.mp3"].error is None
    assert cluster.told(WorkersAwaited) == [WorkersAwaited(0)] * 2


def test_a_cluster_that_does_not_answer_is_the_end(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> Any:
        raise RayError("no answer")

    cluster.hold()
    cluster.then(lambda: monkeypatch.setattr(cluster.ray, "nodes", fail))
    cluster.then(*[lambda: None] * AWAITED)
    with pytest.raises(ClusterError, match=r"no longer answers \(no answer\)"):
        cluster.run(cluster.tasks("a.mp3"))


@pytest.mark.parametrize(
    ("info", "reason"),
    [
        (ActorInfo("cpu", "fp32", "0.0.0"), "it has stem 0.0.0. Run there: pip install"),
        (
            RayError("x\nModuleNotFoundError: No module named 'stemcli'"),
            "No module named 'stemcli'. Run there: pip install 'stemcli",
        ),
    ],
)
def test_a_node_that_cannot_work_is_refused_once(info: Any, reason: str, cluster: Cluster) -> None:
    cluster.ray.nodes_there = {"a": GOOD, "b": info}
    cluster.hold()
    cluster.then(*[lambda: None] * 5, lambda: cluster.ray.nodes_there.pop("a"))
    with pytest.raises(ClusterError, match="No machine of the cluster can do the work: "):
        cluster.run(cluster.tasks("a.mp3"))
    refused = cluster.told(WorkerRefused)
    assert [event.worker for event in refused if isinstance(event, WorkerRefused)] == ["b (ip)"]
    assert isinstance(refused[0], WorkerRefused)
    assert reason in refused[0].reason


def blind(*files: str) -> Callable[[Path], bool]:
    """Whether a path is there, for an actor that does not see some."""
    return lambda path: path.name not in files and path.exists()


def test_a_worker_that_does_not_see_a_song_that_is_there_is_refused(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stemcli.batch.ray_worker.is_taken", blind("a.mp3", "b.mp3"))
    with pytest.raises(ClusterError, match=r"can do the work: it does not see a\.mp3: mount that"):
        cluster.run(cluster.tasks("a.mp3", "b.mp3"))
    assert len(cluster.told(WorkerRefused)) == 1
    assert cluster.ray.actors[0].stop.calls == 1
    assert cluster.ray.actors[0] in cluster.ray.killed


def test_the_songs_of_a_refused_worker_are_given_to_another(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first actor does not see the first song; both are done by the other."""
    cluster.hold()

    def come() -> None:
        monkeypatch.setattr("stemcli.batch.ray_worker.is_taken", blind("a.mp3"))
        cluster.ray.actors[0].is_held = False

    refused = cluster.executor._refuse

    def refuse(*arguments: Any) -> None:
        monkeypatch.setattr("stemcli.batch.ray_worker.is_taken", blind())
        cluster.ray.hold_new = False
        cluster.ray.nodes_there["b"] = GOOD
        refused(*arguments)

    monkeypatch.setattr(cluster.executor, "_refuse", refuse)
    cluster.then(come)
    results = cluster.run(cluster.tasks("a.mp3", "b.mp3"))
    assert [result.error for result in results.values()] == [None, None]
    assert cluster.ray.actors[1].songs == ["a.mp3", "b.mp3"]


def test_a_worker_whose_stems_are_not_seen_here_is_refused(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its disk is its own: what it writes is not there."""
    task = cluster.tasks("a.mp3")[0]
    path = Path("out/a/vocals.wav").absolute()
    made = WrittenStem(path.with_name(".vocals.0123abcd.part.wav"), path, Content(1, 2, "3"))
    messages = [SongRead(Content(1, 2, "3")), StemsWritten((made,), 9.0, 2.0, False, 1.0)]
    monkeypatch.setattr(
        "tests.stemcli.batch.fake_ray.Actor.say", lambda *_: iter(messages), raising=True
    )
    with pytest.raises(ClusterError, match="what it writes to out/a is not there on this machine"):
        cluster.run([task])
    assert "written" not in cluster.notes["a.mp3"].steps


@pytest.mark.parametrize("kind", [TrackStarted, TrackFinished])
def test_an_interrupt_stops_the_workers_and_removes_what_is_half_written(
    cluster: Cluster, kind: type[Event]
) -> None:
    def interrupt(event: Event) -> None:
        if isinstance(event, kind):
            make_songs(Path("out"), "b/.vocals.0123abcd.part.wav")
            raise KeyboardInterrupt

    cluster.listener = interrupt
    with pytest.raises(KeyboardInterrupt):
        cluster.run(cluster.tasks("a.mp3", "b.mp3", "c.mp3"))
    (actor,) = cluster.ray.actors
    assert actor.stop.calls == 1
    assert cluster.ray.killed == [actor]
    assert parts() == []


def test_who_stops_listening_stops_the_workers(cluster: Cluster) -> None:
    with cluster.executor:
        run = cluster.executor.run(
            cluster.tasks("a.mp3", "b.mp3", "c.mp3"), replace=False, callbacks=lambda task: None
        )
        assert next(run).error is None
        run.close()
        assert len(cluster.ray.killed) == 1


def test_at_the_end_all_actors_are_ended(cluster: Cluster) -> None:
    cluster.ray.nodes_there = {"a": GOOD, "b": GOOD}
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


def test_a_run_with_a_journal_and_the_next(cluster: Cluster) -> None:
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
def test_no_stem_has_its_name_without_an_entry(
    cluster: Cluster, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The driver dies right after an entry; after the last, stems only have to be renamed."""
    make_songs(Path(), "a.mp3")
    write = getattr(Journal, moment)

    def die(journal: Journal, *values: Any) -> None:
        write(journal, *values)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Journal, moment, die)
        patch.setattr("stemcli.batch.ray_executor._clean", lambda task: None)
        with pytest.raises(KeyboardInterrupt):
            batch(cluster, "a.mp3")
    assert [path for path in Path("out").rglob("[!.]*.wav") if path.is_file()] == []
    events = len(cluster.events)
    batch(cluster, "a.mp3")
    again = any(isinstance(event, TrackStarted) for event in cluster.events[events:])
    assert again == (moment != "ready")
    assert Path("out/a/vocals.wav").read_text() == "vocals of a.mp3"
    assert parts() == leftovers(Path("out/a/vocals.wav")) == []
