"""Events while a run has no workers, with fake nodes and a fake clock."""

from __future__ import annotations

import pytest

from stemcli.cluster.nodes import NodeResources
from trainers.cluster.capacity import (
    CapacityWatcher,
    WorkerGroupPlan,
    WorkerResources,
    total_capacity,
)
from trainers.cluster.job import WorkerCount, WorkerGroupAwaited, WorkerGroupStarting

CORE, GPU = WorkerResources(cores=2, gpus=0), WorkerResources(cores=1, gpus=1)


def node(cores: int, gpus: int = 0, free: int = 0) -> NodeResources:
    return NodeResources("node", "host", cores, gpus, free, 0)


class Scenario:
    """A watcher with nodes and a clock that the test controls."""

    def __init__(self, *nodes: NodeResources, least: int = 2) -> None:
        self.nodes, self.now = list(nodes), 0.0
        plan = WorkerGroupPlan(WorkerCount(least, 4), CORE, least, ())
        self.watcher = CapacityWatcher(plan, lambda: self.nodes, lambda: self.now)

    def after(self, seconds: float) -> list[object]:
        self.now += seconds
        return [*self.watcher.check()]


@pytest.mark.parametrize(
    ("per_worker", "expected"), [(CORE, 2 + 0 + 3), (GPU, 0 + 0 + 4)], ids=["cores", "GPUs"]
)
def test_capacity_includes_what_is_in_use(per_worker: WorkerResources, expected: int) -> None:
    """The run's own workers may still hold these resources."""
    assert total_capacity(per_worker, [node(4), node(1), node(7, gpus=4, free=7)]) == expected


def test_missing_nodes_are_reported_every_minute() -> None:
    scenario = Scenario(node(2))
    assert scenario.after(1) == []
    assert scenario.after(5) == [WorkerGroupAwaited(1, 2)]
    assert scenario.after(5) == []
    assert scenario.after(60) == [WorkerGroupAwaited(1, 2)]


def test_another_number_of_nodes_is_reported_at_once() -> None:
    scenario = Scenario(node(2), least=3)
    assert scenario.after(5) == [WorkerGroupAwaited(1, 3)]
    scenario.nodes.append(node(2))
    assert scenario.after(5) == [WorkerGroupAwaited(2, 3)]


def test_workers_that_start_slowly_are_reported() -> None:
    scenario = Scenario(node(4))
    assert scenario.after(59) == []
    assert scenario.after(6) == [WorkerGroupStarting(65)]
    assert scenario.after(50) == []
    assert scenario.after(60) == [WorkerGroupStarting(175)]


def test_a_restart_resets_the_time() -> None:
    scenario = Scenario(node(4))
    scenario.after(55)
    scenario.watcher.restart()
    assert scenario.after(10) == []
    assert scenario.after(55) == [WorkerGroupStarting(65)]
