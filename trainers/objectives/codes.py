"""Codes: give the same sound again, out of a vector quantiser."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

from model_zoo.axes import Stems
from model_zoo.separator import Role, Separator
from trainers.data.validation import ValidationTrack
from trainers.objectives.batch import Batch
from trainers.objectives.contract import Measure
from trainers.objectives.separation import Separation


class Codes(Separation):
    """The mixture itself is what the network shall give.

    Losses compare waves; those that a quantiser finds in itself are the network's penalties (van
    den Oord et al. 2017, arXiv 1711.00937). The score is the signal to noise ratio of the decoded
    wave.
    """

    roles: ClassVar[tuple[Role, ...]] = ("codes",)
    measure: ClassVar[Measure] = Measure(
        "SNR",
        "dB",
        "10 log10 of energy of the song over energy of the error of the song that is decoded from"
        " its codes, mean over songs",
    )

    @classmethod
    def refusals(cls, separator: Separator, weights: Mapping[Any, Any]) -> list[str]:
        """Networks of other roles, and quantisers whose codes or frames would learn nothing."""
        idle = [f"losses.{name}" for name in separator.penalty_names if not weights.get(name)]
        found = super().refusals(separator, weights)
        if idle and not found:
            changes = " ".join(f"--set {name}=1" for name in idle)
            found.append(
                f"objective codes needs a weight above 0 of {' and '.join(idle)}: codes and what"
                f" they stand for find each other by it. Type: {changes}"
            )
        return found

    def wanted(self, batch: Batch) -> Stems:
        """The mixtures, as the only stem."""
        return batch.mixture.unsqueeze(1)

    def heard(self, track: ValidationTrack) -> ValidationTrack:
        """The song with its mixture as the only stem."""
        return replace(track, stems=track.mixture[None])
