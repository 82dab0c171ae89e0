"""The actor pool when nodes join, leave or fail. Expected values are worked by hand.

The actors are real and run the fake engine, behind a fake Ray.
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
from tests.stemcli.batch.fake_cluster import Cluster, partial_files
from tests.stemcli.batch.fake_ray import GOOD, Stream


def test_songs_are_spread_evenly(cluster: Cluster) -> None:
    cluster.ray.live_nodes = {"a": GOOD, "b": GOOD}
    cluster.hold()
    tasks = cluster.tasks(*(f"{number}.mp3" for number in range(7)))
    held: list[list[str]] = []
    cluster.schedule(lambda: held.extend(list(actor.songs) for actor in cluster.ray.actors))
    cluster.schedule(cluster.release)
    assert all(result.error is None for result in cluster.run(tasks).values())
    assert held == [["0.mp3", "2.mp3"], ["1.mp3", "3.mp3"]]


def test_an_actor_never_holds_too_many_songs(cluster: Cluster) -> None:
    cluster.ray.live_nodes = {"a": GOOD, "b": GOOD}
    largest = 0

    def count(song: Path) -> None:
        nonlocal largest
        for actor in cluster.executor._pool.actors:
            streams = cluster.executor._streams.values()
            largest = max(largest, sum(holder is actor for _, holder in streams))

    cluster.ray.before = count
    results = cluster.run(cluster.tasks(*(f"{number}.mp3" for number in range(40))))
    assert (len(results), largest) == (40, ROOMS)


def test_a_late_node_gets_the_waiting_songs(cluster: Cluster) -> None:
    cluster.hold()

    def join() -> None:
        cluster.ray.hold_new = False
        cluster.ray.live_nodes["b"] = GOOD

    cluster.schedule(join, cluster.release)
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


def test_songs_of_a_lost_node_move_to_another(cluster: Cluster) -> None:
    cluster.hold()

    def replace_node() -> None:
        cluster.ray.hold_new = False
        make_songs(Path("out/a"), ".vocals.0123abcd.part.wav")
        cluster.ray.live_nodes = {"b": GOOD}

    leftovers: list[Path] = []
    cluster.ray.before = lambda song: leftovers.extend(Path("out").rglob(".vocals.0123abcd.*"))
    cluster.schedule(replace_node)
    results = cluster.run(cluster.tasks("a.mp3", "b.mp3"))
    assert leftovers == []
    assert [result.error for result in results.values()] == [None, None]
    workers = cluster.events_of(WorkerJoined, WorkerLost)
    assert workers == [
        WorkerJoined("a (ip)", "cpu", "fp32"),
        WorkerLost("a (ip)", "its machine is gone"),
        WorkerJoined("b (ip)", "cpu", "fp32"),
    ]
    assert cluster.logs["a.mp3"].steps == ["start", "start", "read", "written"]
    assert partial_files() == []


def test_a_dead_worker_is_replaced_on_its_node(cluster: Cluster) -> None:
    cluster.hold()

    def die() -> None:
        cluster.ray.hold_new = False
        cluster.kill(0)

    cluster.schedule(die)
    results = cluster.run(cluster.tasks("a.mp3", "b.mp3"))
    assert [result.error for result in results.values()] == [None, None]
    assert cluster.events_of(WorkerJoined, WorkerLost) == [
        WorkerJoined("a (ip)", "cpu", "fp32"),
        WorkerLost("a (ip)", "it died"),
        WorkerJoined("a (ip)", "cpu", "fp32"),
    ]
    assert len(cluster.ray.actors) == 2
    assert cluster.ray.actors[0] in cluster.ray.killed


def test_a_stream_without_a_result_counts_as_a_lost_worker(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    truncated_streams: list[Iterator[Message]] = [iter([SongRead(Content(1, 2, "3"))])]
    original = Stream.__init__

    def begin(stream: Stream, actor: Any, task: SongTask, messages: Iterator[Message]) -> None:
        original(stream, actor, task, truncated_streams.pop() if truncated_streams else messages)

    monkeypatch.setattr(Stream, "__init__", begin)
    assert cluster.run(cluster.tasks("a.mp3"))["a.mp3"].error is None
    assert cluster.events_of(WorkerLost) == [WorkerLost("a (ip)", "it has ended")]


def test_a_song_that_kills_two_workers_alone_fails(cluster: Cluster) -> None:
    """Which of two songs killed a worker is unknown until each is tried alone."""
    killed: list[list[str]] = []

    def kill_if_it_has_the_song(actor: Any) -> None:
        """Every actor with the song dies; the others work."""
        if "killer.mp3" in actor.songs:
            killed.append(list(actor.songs))
            actor.error = RayError("out of memory")
        else:
            actor.is_held = False

    cluster.hold()
    for _ in range(4):
        cluster.schedule(
            lambda: [kill_if_it_has_the_song(actor) for actor in cluster.ray.actors[-1:]]
        )
    tasks = cluster.tasks("killer.mp3", content="good ") + cluster.tasks("b.mp3", "c.mp3")
    results = cluster.run(tasks)
    assert killed[0] == ["killer.mp3", "b.mp3"]
    assert killed[1:] == [["killer.mp3"]] * 2
    message = str(results["killer.mp3"].error)
    assert message.startswith("2 workers died while separating killer.mp3 (out of memory). If they")
    assert "use a smaller segment or batch_size" in message
    assert [results[name].error for name in ("b.mp3", "c.mp3")] == [None, None]


def test_a_song_tried_alone_has_a_worker_to_itself(cluster: Cluster) -> None:
    cluster.hold()

    def die() -> None:
        cluster.kill(0)

    def check_and_release() -> None:
        assert cluster.ray.actors[1].songs == ["a.mp3"]
        cluster.release()

    cluster.schedule(die, check_and_release)
    results = cluster.run(cluster.tasks("a.mp3", "b.mp3", "c.mp3"))
    assert len(results) == 3
    assert cluster.ray.actors[1].songs == ["a.mp3", "b.mp3", "c.mp3"]


def test_lost_nodes_do_not_count_against_the_song(cluster: Cluster) -> None:
    cluster.hold()
    for node in "bcd":
        cluster.schedule(lambda node=node: setattr(cluster.ray, "live_nodes", {node: GOOD}))
    cluster.schedule(cluster.release)
    assert cluster.run(cluster.tasks("a.mp3"))["a.mp3"].error is None
    assert len(cluster.events_of(WorkerLost)) == 3


def test_having_no_workers_is_reported_each_time(cluster: Cluster) -> None:
    cluster.ray.live_nodes = {}
    cluster.hold()
    wait: list[Callable[[], object]] = [lambda: None] * (2 * AWAITED)
    cluster.schedule(*wait, lambda: cluster.ray.live_nodes.update(a=GOOD))
    cluster.schedule(cluster.ray.live_nodes.clear, *wait)

    def join() -> None:
        cluster.ray.hold_new = False
        cluster.ray.live_nodes["b"] = GOOD

    cluster.schedule(join)
    assert cluster.run(cluster.tasks("a.mp3"))["a.mp3"].error is None
    assert cluster.events_of(WorkersAwaited) == [WorkersAwaited(0)] * 2


def test_a_cluster_that_does_not_answer_ends_the_run(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> Any:
        raise RayError("no answer")

    cluster.hold()
    cluster.schedule(lambda: monkeypatch.setattr(cluster.ray, "nodes", fail))
    cluster.schedule(*[lambda: None] * AWAITED)
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
def test_an_unusable_node_is_refused_once(info: Any, reason: str, cluster: Cluster) -> None:
    cluster.ray.live_nodes = {"a": GOOD, "b": info}
    cluster.hold()
    cluster.schedule(*[lambda: None] * 5, lambda: cluster.ray.live_nodes.pop("a"))
    with pytest.raises(ClusterError, match="No machine of the cluster can do the work: "):
        cluster.run(cluster.tasks("a.mp3"))
    refused = cluster.events_of(WorkerRefused)
    assert [event.worker for event in refused if isinstance(event, WorkerRefused)] == ["b (ip)"]
    assert isinstance(refused[0], WorkerRefused)
    assert reason in refused[0].reason


def exists_except(*files: str) -> Callable[[Path], bool]:
    """A check for existence on a machine that lacks some files."""
    return lambda path: path.name not in files and path.exists()


def test_a_worker_that_does_not_see_a_song_is_refused(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stemcli.batch.ray_worker.is_taken", exists_except("a.mp3", "b.mp3"))
    with pytest.raises(ClusterError, match=r"can do the work: it does not see a\.mp3: mount that"):
        cluster.run(cluster.tasks("a.mp3", "b.mp3"))
    assert len(cluster.events_of(WorkerRefused)) == 1
    assert cluster.ray.actors[0].stop.calls == 1
    assert cluster.ray.actors[0] in cluster.ray.killed


def test_songs_of_a_refused_worker_move_to_another(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first actor does not see the first song; the other separates both."""
    cluster.hold()

    def hide_song() -> None:
        monkeypatch.setattr("stemcli.batch.ray_worker.is_taken", exists_except("a.mp3"))
        cluster.ray.actors[0].is_held = False

    original = cluster.executor._refuse

    def refuse(*arguments: Any) -> None:
        monkeypatch.setattr("stemcli.batch.ray_worker.is_taken", exists_except())
        cluster.ray.hold_new = False
        cluster.ray.live_nodes["b"] = GOOD
        original(*arguments)

    monkeypatch.setattr(cluster.executor, "_refuse", refuse)
    cluster.schedule(hide_song)
    results = cluster.run(cluster.tasks("a.mp3", "b.mp3"))
    assert [result.error for result in results.values()] == [None, None]
    assert cluster.ray.actors[1].songs == ["a.mp3", "b.mp3"]


def test_a_worker_that_writes_to_another_disk_is_refused(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stems it writes are not visible on the driver's machine."""
    task = cluster.tasks("a.mp3")[0]
    path = Path("out/a/vocals.wav").absolute()
    stem = WrittenStem(path.with_name(".vocals.0123abcd.part.wav"), path, Content(1, 2, "3"))
    messages = [SongRead(Content(1, 2, "3")), StemsWritten((stem,), 9.0, 2.0, False, 1.0)]
    monkeypatch.setattr(
        "tests.stemcli.batch.fake_ray.Actor.messages", lambda *_: iter(messages), raising=True
    )
    with pytest.raises(ClusterError, match="what it writes to out/a is not there on this machine"):
        cluster.run([task])
    assert "written" not in cluster.logs["a.mp3"].steps
