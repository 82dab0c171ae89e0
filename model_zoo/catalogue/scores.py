"""Published or measured scores of a model, each with its definition."""

from __future__ import annotations

import math
from dataclasses import dataclass

from model_zoo.config import Config


@dataclass(frozen=True)
class CardScore(Config):
    """One measured score and its definition.

    Attributes:
        dataset: data of the measurement.
        stem: name of the stem.
        metric: e.g. ``"SDR"``; in dB unless the definition says otherwise.
        definition: how the metric was computed, in words.
        value: the score.
    """

    dataset: str
    stem: str
    metric: str
    definition: str
    value: float

    def mistakes(self) -> list[str]:
        """Refuse scores that are not finite: cards leave undefined scores out."""
        return [] if math.isfinite(self.value) else [f"{self.metric} of {self.stem} is not finite"]
