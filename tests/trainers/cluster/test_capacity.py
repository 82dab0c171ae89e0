"""Size of the worker group, for nodes as Ray describes them."""

from __future__ import annotations

from typing import Any

import pytest

from model_zoo.errors import ClusterError, DeviceError, UsageError
from stemcli.cluster.nodes import NodeResources, node_resources
from trainers.cluster.capacity import (
    WorkerGroupPlan,
    WorkerResources,
    plan_workers,
    wait_for_capacity,
)
from trainers.cluster.job import WorkerCount

INVALID_COUNTS = ("", "-1", "two", "2.5", "2:", ":8", "1:2:3", "2-8", "²")
ONE, TWO = WorkerCount(1, 1), WorkerCount(2, 2)


def node(name: str, cores: int, gpus: int = 0, used: int = 0, used_gpus: int = 0) -> NodeResources:
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
    ("text", "message"),
    [
        ("0", "asks for no worker. Use --workers 1 or more"),
        ("0:4", "asks for no worker"),
        ("8:2", "begins with the larger number. Try: --workers 2:8"),
        ("2:0", "allows no worker. Try: --workers 2"),
        *((text, "is not a number of workers. Use a number") for text in INVALID_COUNTS),
    ],
)
def test_invalid_counts_are_one_message(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        WorkerCount.parse(text)


def test_resources_of_nodes_as_ray_lists_them() -> None:
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
    assert node_resources(nodes, free) == (
        node("full", 4, 2, used=4, used_gpus=2),
        node("half", 4, 2, used=2),
        node("new", 4, 2),
    )


@pytest.mark.parametrize(
    ("nodes", "device", "count", "expected", "per_worker", "room"),
    [
        # One worker for each GPU, or else one for each node.
        ([node("a", 8, 4), node("b", 8, 2)], "auto", None, 6, WorkerResources(1, 1), 6),
        ([node("a", 8, 4), node("b", 8)], "auto", None, 4, WorkerResources(1, 1), 4),
        ([node("a", 8), node("b", 8)], "auto", None, 2, WorkerResources(8, 0), 2),
        ([node("a", 8, 4), node("b", 8)], "cpu", None, 2, WorkerResources(8, 0), 2),
        ([node("head", 0), node("b", 8)], "auto", None, 1, WorkerResources(8, 0), 1),
        ([], "auto", None, 1, WorkerResources(1, 0), 0),
        # As many cores per worker as possible for the least count.
        ([node("a", 8)], "auto", TWO, 2, WorkerResources(4, 0), 2),
        ([node("a", 8)], "auto", WorkerCount(3, 3), 3, WorkerResources(2, 0), 4),
        ([node("a", 8), node("b", 3)], "auto", TWO, 2, WorkerResources(4, 0), 2),
        (
            [node("a", 8), node("b", 3)],
            "auto",
            WorkerCount(3, 3),
            3,
            WorkerResources(3, 0),
            3,
        ),
        ([node("a", 1)], "auto", TWO, 2, WorkerResources(1, 0), 1),
        ([node("a", 8)], "auto", WorkerCount(2, 8), 2, WorkerResources(4, 0), 2),
        # Resources in use are not available; a cluster whose GPUs are in use still has GPUs.
        ([node("a", 8, used=4)], "auto", TWO, 2, WorkerResources(2, 0), 2),
        ([node("a", 8, 4, used_gpus=3)], "auto", None, 1, WorkerResources(1, 1), 1),
        ([node("a", 8, 4, used_gpus=4)], "auto", None, 1, WorkerResources(1, 1), 0),
        ([node("a", 2, 4)], "auto", None, 2, WorkerResources(1, 1), 2),
        ([node("a", 2)], "cuda", None, 1, WorkerResources(1, 1), 0),
    ],
)
def test_worker_group_plans(
    nodes: list[NodeResources],
    device: str,
    count: WorkerCount | None,
    expected: int,
    per_worker: WorkerResources,
    room: int,
) -> None:
    plan = plan_workers(nodes, device, count)
    assert (plan.count.least, plan.per_worker, plan.room) == (expected, per_worker, room)
    assert plan.is_possible == (room >= expected)


def test_candidates_are_the_nodes_with_capacity() -> None:
    nodes = [node("a", 8, 4, used=8), node("b", 8), node("head", 0)]
    assert [found.node for found in plan_workers(nodes, "auto").candidates] == ["a"]
    assert [found.node for found in plan_workers(nodes, "cpu", ONE).candidates] == ["a", "b"]


def test_resources_of_a_worker_for_ray() -> None:
    assert WorkerResources(4, 0).resources == {"CPU": 4}
    assert WorkerResources(1, 1).resources == {"CPU": 1, "GPU": 1}


class Clock:
    """A clock that only advances in ``sleep``; nodes join at given times."""

    def __init__(self, *nodes: tuple[float, NodeResources]) -> None:
        self.now, self._nodes = 0.0, nodes

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def find_nodes(self) -> list[NodeResources]:
        return [found for since, found in self._nodes if since <= self.now]

    def wait(
        self, count: WorkerCount | None, device: str = "auto", wait: float = 30
    ) -> WorkerGroupPlan:
        self.reported: list[WorkerGroupPlan] = []
        return wait_for_capacity(
            device,
            count,
            wait,
            self.reported.append,
            find_nodes=self.find_nodes,
            sleep=self.sleep,
            clock=lambda: self.now,
        )


def test_waiting_for_nodes_to_join() -> None:
    clock = Clock((0, node("a", 1)), (5, node("b", 1)))
    plan = clock.wait(TWO)
    assert (clock.now, plan.room) == (5, 2)
    assert [found.room for found in clock.reported] == [1] * 5


def test_no_waiting_if_there_is_capacity() -> None:
    clock = Clock((0, node("a", 1)))
    clock.wait(ONE, wait=0)
    assert (clock.now, clock.reported) == (0, [])


ADVICE = "start more machines, or use --wait SECONDS for an autoscaler to do so"


@pytest.mark.parametrize(
    ("nodes", "count", "message"),
    [
        (
            [node("a", 1)],
            TWO,
            "The cluster has room for 1 worker of the 2 that --workers 2 asks for (hosts: a (ip) "
            f"with 1 core). Use --workers 1, {ADVICE}",
        ),
        (
            [node("a", 2, used=1), node("b", 2)],
            WorkerCount(4, 6),
            "The cluster has room for 3 workers of the 4 that --workers 4:6 asks for (hosts: a (ip)"
            " with 2 cores, 1 in use; b (ip) with 2 cores). Use --workers 3, end what else runs "
            f"there, {ADVICE}",
        ),
        (
            [node("a", 2, 1, used_gpus=1)],
            None,
            "The cluster has room for no worker (hosts: a (ip) with 1 GPU, 1 in use). End what else"
            f" runs there, {ADVICE}",
        ),
        (
            [],
            None,
            "The cluster has room for no worker (hosts: none). Start more machines, or use --wait "
            "SECONDS for an autoscaler to do so",
        ),
    ],
)
def test_missing_capacity_is_one_message(
    nodes: list[NodeResources], count: WorkerCount | None, message: str
) -> None:
    clock = Clock(*((0, found) for found in nodes))
    with pytest.raises(ClusterError) as caught:
        clock.wait(count, wait=2.5)
    assert (str(caught.value), clock.now) == (message, 2.5)


def test_many_hosts_are_not_all_named() -> None:
    clock = Clock(*((0, node(f"m{number}", 1)) for number in range(12)))
    with pytest.raises(ClusterError, match=r"m7 \(ip\) with 1 core; and 4 more\)"):
        clock.wait(WorkerCount(13, 13), wait=0)


def test_gpus_that_no_node_has() -> None:
    with pytest.raises(DeviceError, match=r"The cluster has no GPU\. Try: --device auto"):
        Clock((0, node("a", 1))).wait(None, "cuda", wait=1)
