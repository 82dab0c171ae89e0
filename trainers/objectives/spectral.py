"""Objectives on the core of a network: denoising pretraining and phase prediction.

Decoder denoising pretraining (Asiedu et al. 2022, arXiv 2205.11423): the network learns what music
looks like from songs alone, whose stems need not be known, and is fine-tuned to separate them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

import torch
from einops import rearrange
from jaxtyping import Complex
from torch import Tensor, nn

from model_zoo import registry
from model_zoo.axes import Wave
from model_zoo.introspection import build_on_meta
from model_zoo.separator import Role, Separator, SpectralSeparator
from stemcli.engine.device import Precision
from stemcli.printable import counted
from trainers.config import Recipe
from trainers.data.multitrack import ValidationAudio, is_audible
from trainers.losses import NOISE_LOSSES, PHASE_LOSSES
from trainers.metrics.sdr import global_sdr
from trainers.objectives.base import (
    Batch,
    Measure,
    Objective,
    TrainingExample,
    folded,
    sdr_of_stems,
    segments,
)

InputSpectra = Complex[Tensor, "item channel_in freq frame"]
"""Spectra of items as a network receives them; it may receive every channel as its own item."""


class CoreView(nn.Module):
    """The core of a network as a module of its own; all tensors are those of the network.

    Args:
        separator: the network, which may be sharded.
    """

    def __init__(self, separator: Separator) -> None:
        super().__init__()
        self.separator = separator

    def forward(self, features: Tensor) -> Tensor:
        """Run the core on ``features``."""
        return self.separator.forward_core(features)


class CoreObjective(Objective):
    """Base of objectives that compare the output of a core, not waveforms."""

    @staticmethod
    def trained_module(separator: Separator) -> nn.Module:
        """Return the core."""
        return CoreView(separator)


@torch.no_grad()
def core_inputs(separator: Separator, mixture: Wave) -> tuple[InputSpectra, Tensor]:
    """Return the spectra of mixtures, and the features of the core."""
    assert isinstance(separator, SpectralSeparator), "objectives refuse others"
    spectrum = separator.fourier.analyze(folded(mixture, separator.channels))
    return spectrum, separator.fourier.features(spectrum)


NOISE = "noise"
"""Name of the score."""

VALIDATION_SEED = 0
"""Seed of the noise that validation songs are scored with, always the same."""


class DenoisingObjective(CoreObjective):
    """Trains a network to estimate the noise in its features.

    The input of the core is ``sqrt(gamma) * features + sqrt(1 - gamma) * noise``.

    The noise is normal with standard deviation sigma, drawn from torch's generator of the device,
    which checkpoints store. The score is the signal-to-noise ratio of the estimated noise; an
    estimate of zeros has 0 dB.
    """

    known = NOISE_LOSSES
    roles: ClassVar[tuple[Role, ...]] = ("stems",)
    measure: ClassVar[Measure] = Measure(
        "SNR",
        "dB",
        "10 log10 of energy of the noise over energy of the error of its estimate, mean over songs",
    )

    def __init__(self, recipe: Recipe, separator: Separator) -> None:
        super().__init__(recipe, separator)
        self.sigma, self.gamma = recipe.objective.sigma, recipe.objective.gamma

    @classmethod
    def problems(cls, separator: Separator, weights: Mapping[Any, Any]) -> list[str]:
        """Report networks whose core has an output of another shape than its input.

        Networks with codes do not fit either: a code per frame cannot describe its noise, and the
        codebook would not be trained by any loss.
        """
        del weights
        if _can(separator):
            return []
        able = [name for name in registry.ARCHITECTURES if _can(_smallest(name))]
        return [
            "objective denoising needs a network for stems whose core has an output of the same"
            f" shape as its input, which {registry.name_of(separator)} with"
            f" {counted(len(separator.stems), 'stem')} is not."
            f" Networks that fit, with one stem: {', '.join(able)}"
        ]

    def make_example(self, separator: Separator, batch: Batch) -> TrainingExample:
        """Build an example with noisy features as input and the noise as target."""
        _, features = core_inputs(separator, batch.mixture)
        noise = self.sigma * torch.randn_like(features)
        return TrainingExample(self.add_noise(features, noise), noise, Tensor.float)

    def add_noise(self, features: Tensor, noise: Tensor) -> Tensor:
        """Add noise to features."""
        return math.sqrt(self.gamma) * features + math.sqrt(1 - self.gamma) * noise

    def scored(self, separator: Separator) -> tuple[str, ...]:
        """Return the name of the only score."""
        return (NOISE,)

    @torch.inference_mode()
    def score(
        self, model: Separator, track: ValidationAudio, precision: Precision, level: float = 1.0
    ) -> dict[str, float]:
        """Compute the signal-to-noise ratio of the estimated noise, the same noise every time."""
        if not is_audible(track.mixture[None]).item():
            return {}
        draws, found, true = torch.Generator().manual_seed(VALIDATION_SEED), [], []
        for part in segments(model, track.mixture / level):
            _, features = core_inputs(model, part)
            noise = self.sigma * torch.randn(features.shape, generator=draws)
            with precision.autocast(part.device):
                made = model.forward_core(self.add_noise(features, noise.to(part.device)))
            found.append(rearrange(made.float().cpu(), "b ... t -> b (... t)"))
            true.append(rearrange(noise, "b ... t -> b (... t)"))
        return {NOISE: global_sdr(torch.cat(found, -1), torch.cat(true, -1)).item()}

    def reference_audio(self, track: ValidationAudio) -> None:
        """Return None: the output of the network is not audio yet."""


def _can(separator: Separator) -> bool:
    is_of_role = separator.role in DenoisingObjective.roles
    return is_of_role and isinstance(separator, SpectralSeparator) and separator.keeps_shape


def _smallest(name: str) -> Separator:
    return build_on_meta(name, registry.architecture(name).small_options)


class PhaseObjective(CoreObjective):
    """Trains a network to estimate phases: angles over pi, for the bins that its core receives.

    The target of the losses is the true spectrum of these bins: its angles are the target, weighted
    by its magnitudes. The score is the signal-to-noise ratio of the waveform with the mixture's
    magnitudes and the estimated phases.
    """

    known = PHASE_LOSSES
    roles: ClassVar[tuple[Role, ...]] = ("phase",)
    measure: ClassVar[Measure] = Measure(
        "SNR",
        "dB",
        "10 log10 of energy of the song over energy of the error of the song with the predicted"
        " phase, mean over songs",
    )

    def make_example(self, separator: Separator, batch: Batch) -> TrainingExample:
        """Build an example with features as input and the spectra of the mixtures as target."""
        spectrum, features = core_inputs(separator, batch.mixture)
        return TrainingExample(features, spectrum[:, :, : features.shape[2]], Tensor.float)

    def score(
        self, model: Separator, track: ValidationAudio, precision: Precision, level: float = 1.0
    ) -> dict[str, float]:
        """Compute the signal-to-noise ratio of the waveform with the predicted phase."""
        return sdr_of_stems(
            model, track.mixture, self.reference_audio(track).stems, precision, level
        )

    def reference_audio(self, track: ValidationAudio) -> ValidationAudio:
        """Return the song with its mixture as the only stem."""
        return replace(track, stems=track.mixture[None])
