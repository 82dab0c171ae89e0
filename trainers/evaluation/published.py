"""Figures of others, as they were published, to give one's own a scale."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
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
        sdr: by stem, as far as it was published.
    """

    name: str
    kind: Literal["median", "mean"]
    source: str
    sdr: Mapping[str, float]

    @property
    def metric(self) -> str:
        """As tables of ours call it."""
        return "SDR" if self.kind == "median" else "global SDR"


def published_title(is_same: bool) -> str:
    """What stands above figures of others.

    Args:
        is_same: whether the songs beside them are those of MUSDB18.
    """
    return "Published for MUSDB18" if is_same else "Published for MUSDB18, which has other songs"


def published_stems(figures: Iterable[Published], measured: Iterable[str]) -> list[str]:
    """Stems that have figures of others and of ours, in the order of the figures."""
    known = dict.fromkeys(stem for figure in figures for stem in figure.sdr)
    return [stem for stem in known if stem in {*measured}]


def published() -> list[Published]:
    """All that the program knows of."""
    text = files(__package__).joinpath("published.toml").read_text(encoding="utf-8")
    return [
        Published(entry.pop("name"), entry.pop("kind"), entry.pop("source"), entry)
        for entry in tomllib.loads(text)["figure"]
    ]
