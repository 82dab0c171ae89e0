"""What is said while no crew is together; by hand, with machines and a clock of our own."""

from __future__ import annotations

import pytest

from stemcli.cluster.nodes import NodeResources
from trainers.cluster.capacity import WorkerGroupPlan, WorkerResources
from trainers.cluster.job import WorkerCount, WorkerGroupAwaited, WorkerGroupStarting
from trainers.cluster.launch import CapacityWatcher, places

CORE, GPU = WorkerResources(cores=2, gpus=0), WorkerResources(cores=1, gpus=1)


def machine(cores: int, gpus: int = 0, free: int = 0) -> NodeResources:
    return NodeResources("node", "host", cores, gpus, free, 0)


class Story:
    """Time passes and machines come and go as the test says."""

    def __init__(self, *machines: NodeResources, least: int = 2) -> None:
        self.machines, self.now = list(machines), 0.0
        plan = WorkerGroupPlan(WorkerCount(least, 4), CORE, least, ())
        self.lookout = CapacityWatcher(plan, lambda: self.machines, lambda: self.now)

    def after(self, seconds: float) -> list[object]:
        self.now += seconds
        return [*self.lookout.look()]


@pytest.mark.parametrize(
    ("share", "expected"), [(CORE, 2 + 0 + 3), (GPU, 0 + 0 + 4)], ids=["cores", "GPUs"]
)
def test_places_are_counted_whoever_is_there_now(share: WorkerResources, expected: int) -> None:
    """The crew itself may still hold them."""
    assert places(share, [machine(4), machine(1), machine(7, gpus=4, free=7)]) == expected


def test_missing_machines_are_told_and_told_again_a_minute_later() -> None:
    story = Story(machine(2))
    assert story.after(1) == []
    assert story.after(5) == [WorkerGroupAwaited(1, 2)]
    assert story.after(5) == []
    assert story.after(60) == [WorkerGroupAwaited(1, 2)]


def test_another_number_of_machines_is_told_at_once() -> None:
    story = Story(machine(2), least=3)
    assert story.after(5) == [WorkerGroupAwaited(1, 3)]
    story.machines.append(machine(2))
    assert story.after(5) == [WorkerGroupAwaited(2, 3)]


def test_workers_that_start_slowly_are_told() -> None:
    story = Story(machine(4))
    assert story.after(59) == []
    assert story.after(6) == [WorkerGroupStarting(65)]
    assert story.after(50) == []
    assert story.after(60) == [WorkerGroupStarting(175)]


def test_a_new_crew_has_its_own_time() -> None:
    story = Story(machine(4))
    story.after(55)
    story.lookout.begin()
    assert story.after(10) == []
    assert story.after(55) == [WorkerGroupStarting(65)]
