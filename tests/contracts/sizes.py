"""What the contract needs to know of each architecture beside its name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Documented:
    """One size of a network whose number of parameters is documented."""

    parameters: int
    arguments: tuple[Any, ...]
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Size:
    """A network small enough to run in milliseconds, and its large relatives."""

    small: Mapping[str, Any]
    documented: tuple[Documented, ...]


SPECTRAL = {"window_size": 256, "hop_size": 64, "sample_rate": 16_000, "num_bands": 12}
PUBLIC = (2048, 512, 48_000)  # window, hop and rate of the public weights

SIZES: dict[str, Size] = {
    "melroformer": Size(
        {"hidden_channels": 16, "num_layers": 1, "num_heads": 2, **SPECTRAL},
        (
            Documented(8_841_856, (128, 12, 4, *PUBLIC)),
            Documented(8_776_064, (128, 12, 4, 2048, 512, 44_100)),
        ),
    ),
    "melrnn": Size(
        {"hidden_channels": 16, "num_layers": 1, "num_groups": 2, **SPECTRAL},
        (
            Documented(6_813_568, (128, 9, 8, *PUBLIC)),
            Documented(6_868_864, (128, 9, 8, *PUBLIC), {"time_bidirectional": False}),
            Documented(5_513_856, (128, 4, 4, *PUBLIC), {"time_bidirectional": False}),
        ),
    ),
    "melunet": Size(
        {"hidden_channels": 6, "num_layers": 2, "upsampling_factor": 2, **SPECTRAL},
        (
            Documented(19_804_600, (32, 4, 2, *PUBLIC)),
            Documented(41_058_840, (32, 4, 2, *PUBLIC), {"depthwise": False}),
            Documented(162_120_568, (64, 4, 2, *PUBLIC), {"depthwise": False}),
        ),
    ),
}
