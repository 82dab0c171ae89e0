"""Phase: find the angles of a spectrum whose magnitudes are known."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from torch import Tensor

from model_zoo.separator import Role, Separator
from stemcli.engine.precision import Precision
from trainers.data.validation import ValidationTrack
from trainers.losses import PHASE_LOSSES
from trainers.objectives.batch import Batch
from trainers.objectives.contract import Exercise, Measure
from trainers.objectives.core import CoreObjective, seen
from trainers.objectives.hearing import sdr_of_stems


class Phase(CoreObjective):
    """Angles over pi, as a core gives them for the bins that it sees.

    The reference of the losses is the true spectrum of these bins: its angles are wanted, and its
    magnitudes say how much each of them matters. The score is the signal to noise ratio of the
    wave that the network makes of the mixture's magnitudes and its own phases.
    """

    known = PHASE_LOSSES
    roles: ClassVar[tuple[Role, ...]] = ("phase",)
    measure: ClassVar[Measure] = Measure(
        "SNR",
        "dB",
        "10 log10 of energy of the song over energy of the error of the song with the predicted"
        " phase, mean over songs",
    )

    def exercise(self, separator: Separator, batch: Batch) -> Exercise:
        """What the network sees of the mixtures; wanted are their spectra."""
        spectrum, features = seen(separator, batch.mixture)
        return Exercise(features, spectrum[:, :, : features.shape[2]], Tensor.float)

    def score(
        self, model: Separator, track: ValidationTrack, precision: Precision, level: float = 1.0
    ) -> dict[str, float]:
        """Signal to noise ratio of the wave with the predicted phase."""
        return sdr_of_stems(model, track.mixture, self.heard(track).stems, precision, level)

    def heard(self, track: ValidationTrack) -> ValidationTrack:
        """The song with its mixture as the only stem."""
        return replace(track, stems=track.mixture[None])
