"""Objectives on waveforms: separation, and reconstruction through a vector quantizer."""

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
"""RMS below which mixtures are not amplified further: -80 dB full scale."""


def loudness(mixture: Wave) -> Float[Tensor, "batch 1 1"]:
    """Return the RMS of every mixture, at least :data:`QUIETEST_RMS`."""
    return mixture.square().mean((1, 2), keepdim=True).sqrt().clamp_min(QUIETEST_RMS)


class SeparationObjective(Objective):
    """Trains a network to estimate every stem of a mixture.

    Clips keep their level in the network's input. Losses compare waveforms scaled so that the
    mixture has an RMS of 1, so that quiet clips count as much as loud ones. With several stems
    (multi-task learning) each loss is a weighted mean over the stems. The score is the global SDR
    of every stem.

    Raises:
        UnknownNameError: there is no such loss.
        ConfigError: a loss argument or a stem does not exist.
    """

    known = LOSSES
    roles: ClassVar[tuple[Role, ...]] = ("stems",)
    measure: ClassVar[Measure] = Measure("SDR", "dB", DEFINITION)

    def __init__(self, recipe: Recipe, separator: Separator) -> None:
        super().__init__(recipe, separator)
        self.shares = _shares(separator.stems, recipe.objective.stems)

    def make_example(self, separator: Separator, batch: Batch) -> TrainingExample:
        """Build an example with the mixtures as input and the stems as target."""
        channels, level = batch.mixture.shape[1], loudness(batch.mixture).unsqueeze(1)

        def decode(output: Tensor) -> Stems:
            return unfolded(output.float(), channels) / level

        inputs = folded(batch.mixture, separator.channels)
        return TrainingExample(inputs, self.target(batch) / level, decode)

    def target(self, batch: Batch) -> Stems:
        """Return the target of a batch."""
        return batch.stems

    def __call__(self, pair: Pair) -> dict[str, Tensor]:
        """Compute all losses by name, unweighted; with several stems also ``NAME/STEM``."""
        named: dict[str, Tensor] = {}
        for name, loss in self.losses.items():
            named |= self._of_stems(name, partial(_of_stem, loss, pair))
        return named

    def score(
        self, model: Separator, track: ValidationAudio, precision: Precision, level: float = 1.0
    ) -> dict[str, float]:
        """Compute the global SDR of every stem that is not silent."""
        true = self.reference_audio(track).stems
        return sdr_of_stems(model, track.mixture, true, precision, level)

    def reference_audio(self, track: ValidationAudio) -> ValidationAudio:
        """Return the song with its true stems."""
        return track

    def _of_stems(self, name: str, of_stem: partial[Tensor]) -> dict[str, Tensor]:
        parts = {stem: of_stem(index) for index, stem in enumerate(self.shares)}
        mean = torch.stack([self.shares[stem] * part for stem, part in parts.items()]).sum()
        if len(parts) == 1:
            return {name: mean}
        return {name: mean, **{f"{name}/{stem}": part for stem, part in parts.items()}}


def _of_stem(loss: Loss, pair: Pair, index: int) -> Tensor:
    estimate, true = pair
    return loss(estimate[:, index : index + 1], true[:, index : index + 1])


def _shares(stems: tuple[str, ...], weights: Mapping[str, float]) -> dict[str, float]:
    """Return the normalized weights of all stems."""
    mistakes = [f"there is no stem {name!r}" for name in weights if name not in stems]
    full = {stem: weights.get(stem, 1.0) for stem in stems}
    if not mistakes and not any(full.values()):
        mistakes = ["at least one stem must have a weight above 0"]
    if mistakes:
        raise ConfigError("objective.stems", [*mistakes, f"the network has {', '.join(stems)}"])
    return {stem: weight / sum(full.values()) for stem, weight in full.items()}


class CodesObjective(SeparationObjective):
    """Trains a vector-quantizing network to reconstruct the mixture.

    Losses compare waveforms; the quantizer's own losses are penalties of the network (van den Oord
    et al. 2017, arXiv 1711.00937). The score is the signal-to-noise ratio of the decoded waveform.
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
        """Report networks of other roles, and quantizers whose losses have no weight."""
        idle = [
            f"losses.{name}" for name in separator.auxiliary_loss_names if not weights.get(name)
        ]
        found = super().problems(separator, weights)
        if idle and not found:
            changes = " ".join(f"--set {name}=1" for name in idle)
            found.append(
                f"objective codes needs weights above 0 for {' and '.join(idle)}, without which"
                f" codes are not trained. Try: {changes}"
            )
        return found

    def target(self, batch: Batch) -> Stems:
        """Return the mixtures as the only stem."""
        return batch.mixture.unsqueeze(1)

    def reference_audio(self, track: ValidationAudio) -> ValidationAudio:
        """Return the song with its mixture as the only stem."""
        return replace(track, stems=track.mixture[None])
