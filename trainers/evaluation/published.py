"""Figures of others, as they were published, to give one's own a scale."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Literal


@dataclass(frozen=True)
class Published:
    """What one system reached on the test songs of MUSDB18, in dB.

    Attributes:
        name: of the system.
        kind: ``median`` of BSSEval's SDR over windows and songs, or ``mean`` of global SDR over
            songs.
        source: where it was published.
        sdr: by stem.
    """

    name: str
    kind: Literal["median", "mean"]
    source: str
    sdr: Mapping[str, float]


def published() -> list[Published]:
    """All that the program knows of."""
    text = files(__package__).joinpath("published.toml").read_text(encoding="utf-8")
    return [
        Published(entry.pop("name"), entry.pop("kind"), entry.pop("source"), entry)
        for entry in tomllib.loads(text)["figure"]
    ]
