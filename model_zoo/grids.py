"""Names of chunk grids, levels and combinations of models; torch-free."""

from __future__ import annotations

from typing import Literal

Grid = Literal["centered", "htdemucs", "hdemucs", "msst"]
"""How a song is cut into chunks and how these are joined: with real context around each, or as the
program of the authors of public weights does."""

Level = Literal["any", "peak", "standard"]
"""What a song as a whole is brought to before it is cut: nothing; a peak of 1; or a mean of 0 and a
standard deviation of 1 of the mean over channels."""

Combination = Literal[
    "mean",
    "median",
    "min",
    "max",
    "mean-spectrum",
    "median-spectrum",
    "min-spectrum",
    "max-spectrum",
]
"""How estimates of several networks are combined: sample by sample, or bin by bin in spectra."""
