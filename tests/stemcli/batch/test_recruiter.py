"""Looking after workers. Truth: a cluster of a few lines in the place of Ray."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from model_zoo.errors import ClusterError
from stemcli.batch import recruiter as recruiter_module
from stemcli.batch.cluster_worker import Introduction
from stemcli.batch.recruiter import AWAITED, PooledActor, Recruiter
from stemcli.batch.report import WorkerJoined, WorkerLost, WorkerRefused, WorkersAwaited
from stemcli.batch.roster import Roster
from stemcli.engine.events import Event
from stemcli.version import version


class Method:
    """Of an actor: counts its calls."""

    def __init__(self, answer: Any = None) -> None:
        self.answer, self.calls = answer, 0

    def remote(self, *_: Any) -> Any:
        self.calls += 1
        return self.answer


class Actor:
    def __init__(self, introduction: Any) -> None:
        self.introduce, self.stop = Method(introduction), Method()
        self.still_there, self.call_back = Method(), Method()


class Cluster:
    """Machines by their names, and what their workers say of themselves."""

    def __init__(self) -> None:
        self.machines: dict[str, Any] = {}
        self.ready = True
        self.actors: list[Actor] = []
        self.killed: list[Actor] = []

    def nodes(self) -> list[dict[str, Any]]:
        return [
            {
                "NodeID": name,
                "NodeManagerHostname": name,
                "NodeManagerAddress": "ip",
                "Alive": True,
                "Resources": {"CPU": 1.0},
            }
            for name in self.machines
        ]

    def remote(self, kind: type) -> Any:
        def make(**choices: Any) -> Any:
            return SimpleNamespace(remote=lambda *_: self._hire(choices["scheduling_strategy"]))

        return SimpleNamespace(options=make)

    def wait(self, refs: list[Any], **_: Any) -> tuple[list[Any], list[Any]]:
        return (refs, []) if self.ready else ([], refs)

    def get(self, said: Any) -> Any:
        if isinstance(said, Exception):
            raise said
        return said

    def kill(self, actor: Actor) -> None:
        self.killed.append(actor)

    def _hire(self, machine: str) -> Actor:
        self.actors.append(Actor(self.machines[machine]))
        return self.actors[-1]


GOOD = Introduction("cpu", "fp32", version())


class Office:
    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.cluster = Cluster()
        patch.setattr(recruiter_module, "ray", self.cluster)
        patch.setattr(recruiter_module, "_on", lambda slot: slot.node)
        self.roster, self.told = Roster[PooledActor](), list[Event]()
        self.ends: list[BaseException] = []
        self.recruiter = Recruiter(self.roster, self.told.append, "auto", 1, (), self.ends.append)

    def look(self, times: int = 1) -> None:
        for _ in range(times):
            self.recruiter._look()


@pytest.fixture
def office(monkeypatch: pytest.MonkeyPatch) -> Office:
    return Office(monkeypatch)


def test_machines_come_and_go(office: Office) -> None:
    office.cluster.machines = {"a": GOOD}
    office.look(3)
    assert office.told == [WorkerJoined("a (ip)", "cpu", "fp32")]
    office.cluster.machines = {"b": GOOD}
    office.look(2)
    assert office.told[1:] == [
        WorkerLost("a (ip)", "its machine is gone"),
        WorkerJoined("b (ip)", "cpu", "fp32"),
    ]
    assert [member.slot.node for member in office.roster.workers] == ["b"]


def test_a_worker_that_died_is_replaced_on_its_machine(office: Office) -> None:
    office.cluster.machines = {"a": GOOD}
    office.look(2)
    (member,) = office.roster.workers
    office.recruiter.lose(member, "it died")
    office.recruiter.lose(member, "said by another of its songs")
    office.look(2)
    assert office.told[1:] == [
        WorkerLost("a (ip)", "it died"),
        WorkerJoined("a (ip)", "cpu", "fp32"),
    ]
    assert len(office.cluster.actors) == 2


def test_workers_are_spoken_to_while_they_load_their_models(office: Office) -> None:
    office.cluster.machines, office.cluster.ready = {"a": GOOD}, False
    office.look(5)
    assert office.cluster.actors[0].still_there.calls == 5
    assert office.told == []


@pytest.mark.parametrize(
    ("introduction", "reason"),
    [
        (Introduction("cpu", "fp32", "0.0.0"), "it has stem 0.0.0. Run there: pip install"),
        (
            recruiter_module.RayError("x\nModuleNotFoundError: No module named 'stemcli'"),
            "No module named 'stemcli'. Run there: pip install 'stemcli",
        ),
    ],
)
def test_a_machine_that_cannot_work_is_refused_once(
    introduction: Any, reason: str, office: Office
) -> None:
    office.cluster.machines = {"a": GOOD, "b": introduction}
    office.look(5)
    refused = [event for event in office.told if isinstance(event, WorkerRefused)]
    assert [event.worker for event in refused] == ["b (ip)"]
    assert reason in refused[0].reason
    office.cluster.machines = {"b": introduction}
    with pytest.raises(ClusterError, match="No machine of the cluster can do the work: "):
        office.look()


def test_a_worker_that_is_unable_is_stopped_and_told_of_once(office: Office) -> None:
    office.cluster.machines = {"a": GOOD}
    office.look(2)
    (member,) = office.roster.workers
    for _ in range(3):
        office.recruiter.refuse(member, "it does not see x")
    assert office.told[1:] == [WorkerRefused("a (ip)", "it does not see x")]
    assert member.actor.stop.calls == 1
    assert member.actor in office.cluster.killed


def test_that_nobody_works_is_told_each_time_it_happens(office: Office) -> None:
    office.look(2 * AWAITED)
    assert office.told == [WorkersAwaited(0)]
    office.cluster.machines = {"a": GOOD}
    office.look(2)
    office.cluster.machines = {}
    office.look(AWAITED)
    assert office.told[-1] == WorkersAwaited(0)


def test_songs_are_called_back_for_a_machine_that_comes(office: Office) -> None:
    office.cluster.machines = {"a": GOOD}
    office.look(2)
    hands = [office.roster.take(1) for _ in range(3)]
    hands[0].begun = True
    office.cluster.machines["b"] = GOOD
    office.look(2)
    assert hands[0].worker.actor.call_back.calls == 2


def test_what_ends_the_thread_is_told(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recruiter_module, "INTERVAL", 0.0)
    failing = recruiter_module.RayError("no answer")

    def nodes() -> Any:
        raise failing

    monkeypatch.setattr(office.recruiter, "_find", nodes)
    office.recruiter.start()
    office.recruiter._thread.join(10)
    (end,) = office.ends
    assert isinstance(end, ClusterError)
    assert "does not answer any more (no answer)" in str(end)
