"""Objectives on waveforms: separation, and codes of a vector quantizer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from model_zoo.axes import Stems, Wave
from model_zoo.catalogue.install import DEFINITION
from model_zoo.errors import ConfigError
from model_zoo.separator import Role, Separator
from stemcli.engine.device import Precision
from trainers.config import Recipe
from trainers.data.multitrack import ValidationAudio
from trainers.losses import LOSSES, Loss
from trainers.objectives.base import (
    Batch,
    Measure,
    Objective,
    Pair,
    TrainingExample,
    folded,
    sdr_of_stems,
    unfolded,
)

QUIETEST_RMS = 1e-4
"""Square root of the mean square below which a mixture is not made louder: -80 dB full scale."""


def loudness(mixture: Wave) -> Float[Tensor, "batch 1 1"]:
    """Root mean square of every mixture, :data:`QUIETEST_RMS` at least."""
    return mixture.square().mean((1, 2), keepdim=True).sqrt().clamp_min(QUIETEST_RMS)


class SeparationObjective(Objective):
    """Every stem of a mixture: named losses between estimated and true stems.

    The network hears clips at the level they have. Waves are compared at the level at which their
    mixture has a root mean square of 1, so that a quiet clip counts as much as a loud one. With
    several stems (multi-task learning) each loss is the mean of those of the stems, each with its
    own weight. The score is the global SDR of every stem.

    Raises:
        UnknownNameError: there is no such loss.
        ConfigError: a loss has other arguments, or there is no such stem.
    """

    known = LOSSES
    roles: ClassVar[tuple[Role, ...]] = ("stems",)
    measure: ClassVar[Measure] = Measure("SDR", "dB", DEFINITION)

    def __init__(self, recipe: Recipe, separator: Separator) -> None:
        super().__init__(recipe, separator)
        self.shares = _shares(separator.stems, recipe.objective.stems)

    def make_example(self, separator: Separator, batch: Batch) -> TrainingExample:
        """The mixtures; wanted are the stems."""
        channels, level = batch.mixture.shape[1], loudness(batch.mixture).unsqueeze(1)

        def read(made: Tensor) -> Stems:
            return unfolded(made.float(), channels) / level

        given = folded(batch.mixture, separator.channels)
        return TrainingExample(given, self.target(batch) / level, read)

    def target(self, batch: Batch) -> Stems:
        """What the network shall make of a batch."""
        return batch.stems

    def __call__(self, pair: Pair) -> dict[str, Tensor]:
        """Every loss by name, unweighted; with several stems ``NAME/STEM`` as well."""
        named: dict[str, Tensor] = {}
        for name, loss in self.losses.items():
            named |= self._of_stems(name, partial(_of_stem, loss, pair))
        return named

    def score(
        self, model: Separator, track: ValidationAudio, precision: Precision, level: float = 1.0
    ) -> dict[str, float]:
        """Global SDR of every stem that is not silent."""
        true = self.reference_audio(track).stems
        return sdr_of_stems(model, track.mixture, true, precision, level)

    def reference_audio(self, track: ValidationAudio) -> ValidationAudio:
        """The song with its true stems."""
        return track

    def _of_stems(self, name: str, of_stem: partial[Tensor]) -> dict[str, Tensor]:
        parts = {stem: of_stem(index) for index, stem in enumerate(self.shares)}
        mean = torch.stack([self.shares[stem] * part for stem, part in parts.items()]).sum()
        if len(parts) == 1:
            return {name: mean}
        return {name: mean, **{f"{name}/{stem}": part for stem, part in parts.items()}}


def _of_stem(loss: Loss, pair: Pair, index: int) -> Tensor:
    made, true = pair
    return loss(made[:, index : index + 1], true[:, index : index + 1])


def _shares(stems: tuple[str, ...], weights: Mapping[str, float]) -> dict[str, float]:
    """Weights of all stems, adding up to 1."""
    mistakes = [f"there is no stem {name!r}" for name in weights if name not in stems]
    full = {stem: weights.get(stem, 1.0) for stem in stems}
    if not mistakes and not any(full.values()):
        mistakes = ["at least one stem must have a weight above 0"]
    if mistakes:
        raise ConfigError("objective.stems", [*mistakes, f"the network has {', '.join(stems)}"])
    return {stem: weight / sum(full.values()) for stem, weight in full.items()}


class CodesObjective(SeparationObjective):
    """The mixture itself is what the network shall give.

    Losses compare waves; those that a quantizer finds in itself are the network's penalties (van
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
    def problems(cls, separator: Separator, weights: Mapping[Any, Any]) -> list[str]:
        """Networks of other roles, and quantizers whose codes or frames would learn nothing."""
        idle = [
            f"losses.{name}" for name in separator.auxiliary_loss_names if not weights.get(name)
        ]
        found = super().problems(separator, weights)
        if idle and not found:
            changes = " ".join(f"--set {name}=1" for name in idle)
            found.append(
                f"objective codes needs a weight above 0 of {' and '.join(idle)}: codes and what"
                f" they stand for find each other by it. Try: {changes}"
            )
        return found

    def target(self, batch: Batch) -> Stems:
        """The mixtures, as the only stem."""
        return batch.mixture.unsqueeze(1)

    def reference_audio(self, track: ValidationAudio) -> ValidationAudio:
        """The song with its mixture as the only stem."""
        return replace(track, stems=track.mixture[None])
