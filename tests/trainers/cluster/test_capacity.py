"""How many workers. Truth: machines as Ray describes them, counted by hand."""

from __future__ import annotations

from typing import Any

import pytest

from model_zoo.errors import ClusterError, DeviceError, UsageError
from stemcli.cluster.nodes import NodeResources, find_machines
from trainers.cluster.capacity import (
    WorkerGroupPlan,
    WorkerResources,
    plan_workers,
    wait_for_capacity,
)
from trainers.cluster.job import WorkerCount

NONSENSE = ("", "-1", "two", "2.5", "2:", ":8", "1:2:3", "2-8", "²")
ONE, TWO = WorkerCount(1, 1), WorkerCount(2, 2)


def machine(
    name: str, cores: int, gpus: int = 0, used: int = 0, used_gpus: int = 0
) -> NodeResources:
    return NodeResources(name, f"{name} (ip)", cores, gpus, cores - used, gpus - used_gpus)


@pytest.mark.parametrize(
    ("text", "least", "most"),
    [("1", 1, 1), ("12", 12, 12), ("2:8", 2, 8), ("3:3", 3, 3), (" 2 : 8 ", 2, 8)],
)
def test_counts(text: str, least: int, most: int) -> None:
    count = WorkerCount.parse(text)
    assert (count.least, count.most, count.is_elastic) == (least, most, least < most)
    assert WorkerCount.parse(str(count)) == count


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("0", "asks for no worker. Type --workers 1 or more"),
        ("0:4", "asks for no worker"),
        ("8:2", "begins with the larger number. Type --workers 2:8"),
        ("2:0", "allows no worker. Type --workers 2"),
        *((text, "is no number of workers. Type a number") for text in NONSENSE),
    ],
)
def test_nonsense_is_one_sentence(text: str, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        WorkerCount.parse(text)


def test_what_ray_says_of_machines() -> None:
    nodes: list[dict[str, Any]] = [
        {
            "NodeID": name,
            "NodeManagerHostname": name,
            "NodeManagerAddress": "ip",
            "Alive": name != "dead",
            "Resources": {"CPU": 4.0, "GPU": 2.0, "memory": 1e9},
        }
        for name in ("new", "full", "dead", "half")
    ]
    free = {"full": {"memory": 1e9}, "half": {"CPU": 2.5, "GPU": 2.0}}
    assert find_machines(nodes, free) == (
        machine("full", 4, 2, used=4, used_gpus=2),
        machine("half", 4, 2, used=2),
        machine("new", 4, 2),
    )


@pytest.mark.parametrize(
    ("machines", "device", "count", "expected", "share", "room"),
    [
        # One for each GPU, else one for each machine.
        ([machine("a", 8, 4), machine("b", 8, 2)], "auto", None, 6, WorkerResources(1, 1), 6),
        ([machine("a", 8, 4), machine("b", 8)], "auto", None, 4, WorkerResources(1, 1), 4),
        ([machine("a", 8), machine("b", 8)], "auto", None, 2, WorkerResources(8, 0), 2),
        ([machine("a", 8, 4), machine("b", 8)], "cpu", None, 2, WorkerResources(8, 0), 2),
        ([machine("head", 0), machine("b", 8)], "auto", None, 1, WorkerResources(8, 0), 1),
        ([], "auto", None, 1, WorkerResources(1, 0), 0),
        # The most cores that leave room for the least count.
        ([machine("a", 8)], "auto", TWO, 2, WorkerResources(4, 0), 2),
        ([machine("a", 8)], "auto", WorkerCount(3, 3), 3, WorkerResources(2, 0), 4),
        ([machine("a", 8), machine("b", 3)], "auto", TWO, 2, WorkerResources(4, 0), 2),
        (
            [machine("a", 8), machine("b", 3)],
            "auto",
            WorkerCount(3, 3),
            3,
            WorkerResources(3, 0),
            3,
        ),
        ([machine("a", 1)], "auto", TWO, 2, WorkerResources(1, 0), 1),
        ([machine("a", 8)], "auto", WorkerCount(2, 8), 2, WorkerResources(4, 0), 2),
        # What others use is not there; GPUs in use do not make it a cluster without.
        ([machine("a", 8, used=4)], "auto", TWO, 2, WorkerResources(2, 0), 2),
        ([machine("a", 8, 4, used_gpus=3)], "auto", None, 1, WorkerResources(1, 1), 1),
        ([machine("a", 8, 4, used_gpus=4)], "auto", None, 1, WorkerResources(1, 1), 0),
        ([machine("a", 2, 4)], "auto", None, 2, WorkerResources(1, 1), 2),
        ([machine("a", 2)], "cuda", None, 1, WorkerResources(1, 1), 0),
    ],
)
def test_plans(
    machines: list[NodeResources],
    device: str,
    count: WorkerCount | None,
    expected: int,
    share: WorkerResources,
    room: int,
) -> None:
    plan = plan_workers(machines, device, count)
    assert (plan.count.least, plan.share, plan.room) == (expected, share, room)
    assert plan.is_possible == (room >= expected)


def test_workers_are_only_where_there_may_be_room() -> None:
    machines = [machine("a", 8, 4, used=8), machine("b", 8), machine("head", 0)]
    assert [found.node for found in plan_workers(machines, "auto").candidates] == ["a"]
    assert [found.node for found in plan_workers(machines, "cpu", ONE).candidates] == ["a", "b"]


def test_what_ray_is_told() -> None:
    assert WorkerResources(4, 0).resources == {"CPU": 4}
    assert WorkerResources(1, 1).resources == {"CPU": 1, "GPU": 1}


class Clock:
    """Goes on only while somebody waits; machines come as it says."""

    def __init__(self, *machines: tuple[float, NodeResources]) -> None:
        self.now, self._machines = 0.0, machines

    def pause(self, seconds: float) -> None:
        self.now += seconds

    def look(self) -> list[NodeResources]:
        return [machine for since, machine in self._machines if since <= self.now]

    def wait(
        self, count: WorkerCount | None, device: str = "auto", wait: float = 30
    ) -> WorkerGroupPlan:
        self.told: list[WorkerGroupPlan] = []
        return wait_for_capacity(
            device,
            count,
            wait,
            self.told.append,
            look=self.look,
            pause=self.pause,
            clock=lambda: self.now,
        )


def test_machines_that_come_are_awaited() -> None:
    clock = Clock((0, machine("a", 1)), (5, machine("b", 1)))
    plan = clock.wait(TWO)
    assert (clock.now, plan.room) == (5, 2)
    assert [told.room for told in clock.told] == [1] * 5


def test_nobody_waits_for_what_is_there() -> None:
    clock = Clock((0, machine("a", 1)))
    clock.wait(ONE, wait=0)
    assert (clock.now, clock.told) == (0, [])


ADVICE = "start more machines, or type --wait SECONDS for an autoscaler to do so"


@pytest.mark.parametrize(
    ("machines", "count", "sentence"),
    [
        (
            [machine("a", 1)],
            TWO,
            "The cluster has room for 1 worker of the 2 that --workers 2 asks for (hosts: a (ip) "
            f"with 1 core). Type --workers 1, {ADVICE}",
        ),
        (
            [machine("a", 2, used=1), machine("b", 2)],
            WorkerCount(4, 6),
            "The cluster has room for 3 workers of the 4 that --workers 4:6 asks for (hosts: a (ip)"
            " with 2 cores, 1 in use; b (ip) with 2 cores). Type --workers 3, end what else runs "
            f"there, {ADVICE}",
        ),
        (
            [machine("a", 2, 1, used_gpus=1)],
            None,
            "The cluster has room for no worker (hosts: a (ip) with 1 GPU, 1 in use). End what else"
            f" runs there, {ADVICE}",
        ),
        (
            [],
            None,
            "The cluster has room for no worker (hosts: none). Start more machines, or type --wait "
            "SECONDS for an autoscaler to do so",
        ),
    ],
)
def test_too_little_room_is_one_sentence(
    machines: list[NodeResources], count: WorkerCount | None, sentence: str
) -> None:
    clock = Clock(*((0, found) for found in machines))
    with pytest.raises(ClusterError) as caught:
        clock.wait(count, wait=2.5)
    assert (str(caught.value), clock.now) == (sentence, 2.5)


def test_many_hosts_are_not_all_named() -> None:
    clock = Clock(*((0, machine(f"m{number}", 1)) for number in range(12)))
    with pytest.raises(ClusterError, match=r"m7 \(ip\) with 1 core; and 4 more\)"):
        clock.wait(WorkerCount(13, 13), wait=0)


def test_gpus_that_no_machine_has() -> None:
    with pytest.raises(DeviceError, match=r"The cluster has no GPU\. Type --device auto"):
        Clock((0, machine("a", 1))).wait(None, "cuda", wait=1)
