"""Names of all metrics, and how each is aggregated; without torch, for the help."""

from __future__ import annotations

import math
from dataclasses import dataclass

FRAMEWISE = ("SDR", "ISR", "SIR", "SAR")
"""BSSEval's ratios, with one value per window."""

WHOLE = {"global_sdr": "global SDR", "si_sdr": "SI-SDR"}
"""Metrics with one value per song, by their keys in files."""

MEDIAN = "median over windows, then over songs"
MEAN = "whole songs, mean"


@dataclass(frozen=True)
class Metric:
    """A metric to compare methods by.

    Attributes:
        key: key in files.
        title: full name.
        short: name in tables that state the kind elsewhere.
        how: aggregation over windows and songs.
    """

    key: str
    title: str
    short: str
    how: str


METRICS = (
    *(Metric(name, f"{name} (BSSEval v4)", name, MEDIAN) for name in FRAMEWISE),
    *(Metric(key, title, title, MEAN) for key, title in WHOLE.items()),
)


def decibels(value: float | None) -> str:
    """Format for display: two decimals, or a dash if there is no value."""
    return f"{value:.2f}" if value is not None and math.isfinite(value) else "–"
