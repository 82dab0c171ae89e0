"""Malicious discriminators in files and recipes."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

from tests.hostile.models import TRAIN, recipe, safetensors
from tests.hostile.table import Row
from tests.model_zoo.small import small_network

FILE = "discriminator.safetensors"
PERCEPTUAL = f"""
model:
  architecture: melrnn
  options: {json.dumps(small_network().config.to_dict())}
losses: {{perceptual: 1}}
loss_options: {{perceptual: {{discriminator: {FILE}}}}}
data: {{clip_seconds: 0.5}}
"""


def perceptual(folder: Path, **changes: Any) -> None:
    """A recipe with a perceptual loss whose discriminator file has a single number."""
    recipe(folder, PERCEPTUAL)
    spec = {"names": ["multi_frequency"], "sample_rate": 16_000} | changes
    tensor = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
    header = {"__metadata__": {"ensemble": json.dumps(spec)}, "x": tensor}
    safetensors(folder / FILE, json.dumps(header).encode(), 4)


def frequency(**options: Any) -> dict[str, Any]:
    return {"options": {"multi_frequency": options}}


SPECS: dict[str, dict[str, Any]] = {
    "of 100,000 channels": frequency(hidden_channels=100_000),
    "of 10^13 channels": frequency(hidden_channels=10**13),
    "with 900 windows": frequency(window_sizes=[2048] * 900),
    "with a window of 10^13": frequency(window_sizes=[10**13]),
    "with a window of -1": frequency(window_sizes=[-1]),
    "for 10^9 audio channels": {"nch": 10**9},
    "of another size": frequency(hidden_channels=16),
    "with a period of 0": {
        "names": ["multi_period"],
        "options": {"multi_period": {"periods": [0]}},
    },
    "at a rate of 10^13": {"sample_rate": 10**13},
    "named 10,000 times": {"names": ["multi_frequency"] * 10_000},
    "named by a megabyte": {"names": ["x" * 10**6]},
}
FAST = ("of 10^13 channels", "with a window of -1", "of another size", "named by a megabyte")
DISCRIMINATORS = [
    Row(
        f"discriminators {kind}",
        partial(perceptual, **changes),
        TRAIN,
        "discriminator",
        slow=kind not in FAST,
    )
    for kind, changes in SPECS.items()
] + [
    Row(
        f"a recipe against discriminators {kind}",
        partial(recipe, text=PERCEPTUAL.partition("losses")[0] + adversary),
        TRAIN,
        says,
        2,
    )
    for kind, adversary, says in (
        (
            "of 100,000 channels",
            "adversary: {discriminators: [multi_frequency], "
            "options: {multi_frequency: {hidden_channels: 100000}}}",
            "adversary.options: .* too large",
        ),
        (
            "with a window of 10^13",
            "adversary: {discriminators: [multi_frequency], "
            "options: {multi_frequency: {window_sizes: [10000000000000]}}}",
            "adversary.options",
        ),
    )
]
