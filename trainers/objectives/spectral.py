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
from model_zoo.separator import Role, Separator, SpectralSeparator
from stemcli.engine.device import Precision
from stemcli.printable import counted
from trainers.config import Recipe
from trainers.data.multitrack import ValidationAudio, is_heard
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

Heard = Complex[Tensor, "item channel_heard freq frame"]
"""Spectra of items as a network hears them: it may hear every channel on its own."""


class CoreView(nn.Module):
    """Features to the numbers of a core; every tensor is that of the network.

    Args:
        separator: the network, of which each process may hold a part.
    """

    def __init__(self, separator: Separator) -> None:
        super().__init__()
        self.separator = separator

    def forward(self, features: Tensor) -> Tensor:
        """What the core makes of ``features``."""
        return self.separator.forward_core(features)


class CoreObjective(Objective):
    """Base of objectives that compare what a core gives, without waves."""

    @staticmethod
    def trained_module(separator: Separator) -> nn.Module:
        """The core."""
        return CoreView(separator)


@torch.no_grad()
def seen(separator: Separator, mixture: Wave) -> tuple[Heard, Tensor]:
    """The spectra of mixtures, and what a core sees of them."""
    assert isinstance(separator, SpectralSeparator), "objectives refuse others"
    spectrum = separator.fourier.analyze(folded(mixture, separator.channels))
    return spectrum, separator.fourier.features(spectrum)


NOISE = "noise"
"""Name of the score."""

JUDGED = 0
"""Seed of the noise that songs are judged by, always the same."""


class DenoisingObjective(CoreObjective):
    """The noise in ``sqrt(gamma) * features + sqrt(1 - gamma) * noise``.

    The noise is normal, of standard deviation sigma, and drawn from torch's generator of the
    device, which checkpoints keep. The score is the signal to noise ratio of the estimated noise;
    an answer of zeros has 0 dB.
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
        """Networks whose core gives another shape than it takes have no place for a noise.

        Neither have those that answer with codes: one for each frame says nothing of its noise,
        and the code book would learn from no loss.
        """
        del weights
        if _can(separator):
            return []
        able = [name for name in registry.ARCHITECTURES if _can(_smallest(name))]
        return [
            "objective denoising needs a network that gives stems and whose core gives a number for"
            f" each that it takes, and {registry.name_of(separator)} with"
            f" {counted(len(separator.stems), 'stem')} is none."
            f" Those that do, with one stem: {', '.join(able)}"
        ]

    def make_example(self, separator: Separator, batch: Batch) -> TrainingExample:
        """Features with noise; wanted is the noise."""
        _, features = seen(separator, batch.mixture)
        noise = self.sigma * torch.randn_like(features)
        return TrainingExample(self.laid(features, noise), noise, Tensor.float)

    def laid(self, features: Tensor, noise: Tensor) -> Tensor:
        """Noise over features."""
        return math.sqrt(self.gamma) * features + math.sqrt(1 - self.gamma) * noise

    def scored(self, separator: Separator) -> tuple[str, ...]:
        """The noise."""
        return (NOISE,)

    @torch.inference_mode()
    def score(
        self, model: Separator, track: ValidationAudio, precision: Precision, level: float = 1.0
    ) -> dict[str, float]:
        """Signal to noise ratio of the estimate of one and the same noise over the whole song."""
        if not is_heard(track.mixture[None]).item():
            return {}
        draws, found, true = torch.Generator().manual_seed(JUDGED), [], []
        for part in segments(model, track.mixture / level):
            _, features = seen(model, part)
            noise = self.sigma * torch.randn(features.shape, generator=draws)
            with precision.autocast(part.device):
                made = model.forward_core(self.laid(features, noise.to(part.device)))
            found.append(rearrange(made.float().cpu(), "b ... t -> b (... t)"))
            true.append(rearrange(noise, "b ... t -> b (... t)"))
        return {NOISE: global_sdr(torch.cat(found, -1), torch.cat(true, -1)).item()}

    def reference_audio(self, track: ValidationAudio) -> None:
        """Nothing: what the network makes of songs is no sound yet."""


def _can(separator: Separator) -> bool:
    is_of_role = separator.role in DenoisingObjective.roles
    return is_of_role and isinstance(separator, SpectralSeparator) and separator.keeps_shape


def _smallest(name: str) -> Separator:
    with torch.device("meta"), torch.random.fork_rng(devices=[]):
        return registry.build(name, registry.architecture(name).small_options)


class PhaseObjective(CoreObjective):
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

    def make_example(self, separator: Separator, batch: Batch) -> TrainingExample:
        """What the network sees of the mixtures; wanted are their spectra."""
        spectrum, features = seen(separator, batch.mixture)
        return TrainingExample(features, spectrum[:, :, : features.shape[2]], Tensor.float)

    def score(
        self, model: Separator, track: ValidationAudio, precision: Precision, level: float = 1.0
    ) -> dict[str, float]:
        """Signal to noise ratio of the wave with the predicted phase."""
        return sdr_of_stems(
            model, track.mixture, self.reference_audio(track).stems, precision, level
        )

    def reference_audio(self, track: ValidationAudio) -> ValidationAudio:
        """The song with its mixture as the only stem."""
        return replace(track, stems=track.mixture[None])
