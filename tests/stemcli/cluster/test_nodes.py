"""Worker slots on nodes as Ray describes them, counted by hand."""

from __future__ import annotations

from typing import Any

import pytest

from model_zoo.errors import DeviceError
from stemcli.cluster.nodes import Node, check_device, find_slots


def node(name: str, alive: bool = True, **resources: float) -> Node:
    return {
        "NodeID": name,
        "NodeManagerHostname": name,
        "NodeManagerAddress": "10.0.0.1",
        "Alive": alive,
        "Resources": resources,
    }


@pytest.mark.parametrize(
    ("resources", "device", "jobs", "expected"),
    [
        ({"CPU": 8.0}, "auto", 1, [(8, 0)]),
        ({"CPU": 8.0}, "auto", 3, [(2, 0)] * 3),
        ({"CPU": 2.0}, "auto", 5, [(1, 0)] * 2),  # every worker needs a core
        ({"CPU": 16.0, "GPU": 4.0}, "auto", 1, [(4, 1)] * 4),
        ({"CPU": 16.0, "GPU": 4.0}, "cpu", 2, [(8, 0)] * 2),
        ({"CPU": 16.0}, "cuda", 1, []),
        ({"CPU": 0.0}, "auto", 1, []),  # a head node without workers
        ({}, "auto", 1, []),
    ],
)
def test_slots_of_one_node(
    resources: dict[str, float], device: str, jobs: int, expected: list[tuple[int, int]]
) -> None:
    slots = find_slots([node("a", **resources)], device, jobs)
    assert [(slot.cores, slot.gpus) for slot in slots] == expected
    assert len({*slots}) == len(slots)


def test_dead_nodes_have_no_slots() -> None:
    nodes = [node("a", CPU=2), node("b", alive=False, CPU=2), node("c", CPU=4)]
    assert [slot.node for slot in find_slots(nodes, "auto", 1)] == ["a", "c"]


def test_workers_on_one_node_have_different_names() -> None:
    names = [slot.name for slot in find_slots([node("a", CPU=2)], "auto", 2)]
    assert names == ["a (10.0.0.1)", "a (10.0.0.1) #2"]


@pytest.mark.parametrize("device", ["cuda:1", "mps"])
def test_a_local_device_is_refused(device: str) -> None:
    with pytest.raises(DeviceError, match="names a device of this machine"):
        check_device(device)


@pytest.mark.parametrize("device", ["auto", "cpu", "cuda"])
def test_device_types_are_accepted(device: Any) -> None:
    check_device(device)
