"""Actors and the songs they hold: nodes that come, go or refuse. Truth: small cases by hand.

The actors are real ones, with the engine that writes text files, behind a fake Ray.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ray.exceptions import RayError

from model_zoo.errors import ClusterError
from stemcli.batch.executor import WrittenStem
from stemcli.batch.plan import SongTask
from stemcli.batch.ray_pool import AWAITED, ROOMS
from stemcli.batch.ray_worker import ActorInfo, Message, SongRead, StemsWritten
from stemcli.batch.records import Content
from stemcli.batch.report import (
    WorkerJoined,
    WorkerLost,
    WorkerRefused,
    WorkersAwaited,
)
from tests.stemcli.batch.fake import make_songs
from tests.stemcli.batch.fake_cluster import Cluster, parts
from tests.stemcli.batch.fake_ray import GOOD, Stream


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
