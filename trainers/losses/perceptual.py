"""Perceptual loss: distance of features of trained discriminators."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from model_zoo.axes import Stems
from model_zoo.config import broken
from model_zoo.discriminators.base import Discriminator
from model_zoo.discriminators.spectral import Spectrum
from model_zoo.errors import ConfigError
from model_zoo.weights import DISCRIMINATOR, load_discriminator
from trainers.losses.adversarial import LEVEL, stems_as_waves
from trainers.losses.base import Loss, LossOptions, require_more_than

FAINTEST = 1e-5
"""Mean feature magnitude below which features are not scaled up further."""


@dataclass(frozen=True)
class Perceptual(LossOptions):
    """Options of the perceptual loss.

    Attributes:
        discriminator: a ``discriminator.safetensors`` written by an adversarial run.
    """

    discriminator: str = ""

    def mistakes(self) -> list[str]:
        """List invalid values."""
        missing = f"discriminator must name the {DISCRIMINATOR} of a run"
        return broken({missing: not self.discriminator})

    def make(self, sample_rate: int) -> Loss:
        """Create a :class:`FeatureDistance`.

        Raises:
            CheckpointError: the file is missing, damaged or not a discriminator.
            ConfigError: the discriminators were trained at another sample rate.
        """
        ensemble, spec = load_discriminator(Path(self.discriminator).expanduser())
        if spec.sample_rate != sample_rate:
            raise ConfigError(
                type(self).__name__,
                [
                    f"{self.discriminator} was trained at {spec.sample_rate} Hz, but the network "
                    f"has {sample_rate} Hz: use one that was trained at {sample_rate} Hz"
                ],
            )
        return FeatureDistance(ensemble, spec.nch)


class FeatureDistance(nn.Module):
    """L1 distance of features, relative to their level, averaged over all hidden layers.

    The distance of a layer is divided by the mean magnitude of the reference's features over the
    batch, as in EnCodec (Défossez et al. 2022, arXiv 2210.13438, section 3.4): otherwise layers
    with large activations, which are arbitrary, would dominate. The discriminators are frozen; only
    the estimate receives a gradient.

    Args:
        ensemble: trained discriminators.
        channels: channels per input of the discriminators; with 1, each channel is a separate
            input.
    """

    def __init__(self, ensemble: Discriminator, channels: int) -> None:
        super().__init__()
        self.ensemble = ensemble.eval().requires_grad_(False)
        self.channels = channels
        windows = [part.window.numel() for part in ensemble.modules() if isinstance(part, Spectrum)]
        self.half_window = max(windows, default=0) // 2

    def forward(self, estimate: Stems, reference: Stems) -> Float[Tensor, ""]:
        """Compute the distance.

        Raises:
            ConfigError: the waveforms have another number of channels than the discriminators.
            TooShortError: the waveforms are not longer than half of the longest window.
        """
        require_more_than(self.half_window, estimate)
        self.to(estimate.device)
        with torch.no_grad():
            targets = [*self._features(reference)]
        distances = [
            (target - output).abs().mean() / target.abs().mean().clamp_min(FAINTEST)
            for target, output in zip(targets, self._features(estimate), strict=True)
        ]
        return torch.stack(distances).mean()

    def _features(self, stems: Stems) -> Iterator[Tensor]:
        for layers in self.ensemble(self._inputs(stems)).features:
            yield from layers

    def _inputs(self, stems: Stems) -> Float[Tensor, "item channel_in time"]:
        """Fold stems, and channels if inputs have one channel, into the batch."""
        if self.channels == 1:
            return stems_as_waves(stems)
        if stems.shape[2] != self.channels:
            raise ConfigError(
                "loss_options.perceptual",
                [
                    f"the discriminators have {self.channels} channels, but the clips have "
                    f"{stems.shape[2]}: use discriminators trained with as many"
                ],
            )
        return LEVEL * rearrange(stems, "b s c t -> (b s) c t")
