"""Resources of trials, and how many run at once."""

from __future__ import annotations

from typing import Any

import pytest

from model_zoo.errors import ClusterError, DeviceError
from trainers.cluster.tune_trial import TrialResources, find_resources


def node(cores: int, gpus: int = 0, alive: bool = True) -> dict[str, Any]:
    return {
        "Alive": alive,
        "NodeID": f"{cores}-{gpus}",
        "NodeManagerHostname": "a",
        "NodeManagerAddress": "b",
        "Resources": {"CPU": float(cores), **({"GPU": float(gpus)} if gpus else {})},
    }


@pytest.mark.parametrize(
    ("nodes", "device", "jobs", "trials", "expected"),
    [
        ([node(2)], "auto", 0, 4, TrialResources(2, 1, 0)),
        ([node(1)], "auto", 0, 4, TrialResources(1, 1, 0)),
        ([node(16)], "auto", 0, 40, TrialResources(4, 4, 0)),
        ([node(16)], "auto", 0, 1, TrialResources(1, 16, 0)),
        ([node(16)], "auto", 3, 40, TrialResources(3, 5, 0)),
        ([node(2)], "auto", 8, 40, TrialResources(2, 1, 0)),
        ([node(16, 4)], "auto", 0, 40, TrialResources(4, 4, 1)),
        ([node(16, 4)], "auto", 0, 2, TrialResources(2, 4, 1)),
        ([node(16, 4)], "cpu", 0, 40, TrialResources(4, 4, 0)),
        ([node(8, 1), node(16, 2)], "cuda", 0, 40, TrialResources(3, 8, 1)),
        ([node(8, 1), node(64)], "auto", 0, 40, TrialResources(1, 8, 1)),
        ([node(4), node(4)], "auto", 0, 2, TrialResources(2, 4, 0)),
        ([node(4), node(4, alive=False)], "auto", 0, 9, TrialResources(2, 2, 0)),
        ([node(8)], "mps", 0, 4, TrialResources(1, 8, 0)),
    ],
)
def test_resources_of_trials(
    nodes: list[dict[str, Any]], device: str, jobs: int, trials: int, expected: TrialResources
) -> None:
    assert find_resources(nodes, device, jobs, trials) == expected


@pytest.mark.parametrize(
    ("nodes", "jobs", "trials", "expected"),
    [
        ([node(2)], 0, 4, TrialResources(1, 1, 0, 2)),
        ([node(16)], 0, 40, TrialResources(2, 4, 0, 2)),
        ([node(16, 5)], 0, 40, TrialResources(2, 3, 1, 2)),
        ([node(4), node(4)], 0, 1, TrialResources(1, 4, 0, 2)),
    ],
)
def test_resources_of_trials_with_two_workers(
    nodes: list[dict[str, Any]], jobs: int, trials: int, expected: TrialResources
) -> None:
    assert find_resources(nodes, "auto", jobs, trials, workers=2) == expected


def test_a_trial_with_too_many_workers() -> None:
    with pytest.raises(ClusterError, match="room for 2 workers, and a trial has 3"):
        find_resources([node(2)], "auto", 0, 4, workers=3)


def test_missing_gpus() -> None:
    with pytest.raises(DeviceError, match="Ray finds no GPU"):
        find_resources([node(4)], "cuda", 0, 4)
