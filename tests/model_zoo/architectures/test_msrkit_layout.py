"""Our networks have the original networks' tensors, by name and in order.

Reference: golden files written from the original classes (tests/golden/README.md); for the order
of the constructor's arguments, the original's documentation.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from model_zoo import registry

GOLDEN = Path(__file__).parents[2] / "golden"
COMMON = {"window_size": 2048, "hop_size": 512, "sample_rate": 48_000}
LAYOUTS = [
    ("melroformer", "128_12_4", {"hidden_channels": 128, "num_layers": 12, "num_heads": 4}),
    (
        "melrnn",
        "128_4_4",
        {"hidden_channels": 128, "num_layers": 4, "num_groups": 4, "time_bidirectional": False},
    ),
    ("melunet", "64_4", {"hidden_channels": 64, "num_layers": 4, "depthwise": False}),
]
ARGUMENTS = {"melroformer": "num_heads", "melrnn": "num_groups", "melunet": "upsampling_factor"}


@pytest.mark.parametrize(("name", "size", "options"), LAYOUTS)
def test_tensor_names_and_shapes(name: str, size: str, options: dict[str, Any]) -> None:
    golden = json.loads((GOLDEN / f"msrkit_{name}_{size}.json").read_text())
    with torch.device("meta"):
        network = registry.build(name, {**COMMON, **options})
    ours = {key: list(tensor.shape) for key, tensor in network.state_dict().items()}
    assert list(ours.items()) == list(golden.items())


@pytest.mark.parametrize(("name", "third"), ARGUMENTS.items())
def test_arguments_come_in_the_original_order(name: str, third: str) -> None:
    fields = dataclasses.fields(registry.architecture(name).Config)
    positional = [field.name for field in fields if not field.kw_only]
    assert positional == ["hidden_channels", "num_layers", third, *COMMON]
