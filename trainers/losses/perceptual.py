"""Distance in what trained discriminators hear."""

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
"""Mean magnitude of features below which they are not made larger."""


@dataclass(frozen=True)
class Perceptual(LossOptions):
    """Who listens.

    Attributes:
        discriminator: a ``discriminator.safetensors`` that a run with an adversary has written.
    """

    discriminator: str = ""

    def mistakes(self) -> list[str]:
        """Values that cannot be used."""
        missing = f"discriminator must name the {DISCRIMINATOR} of a run"
        return broken({missing: not self.discriminator})

    def make(self, sample_rate: int) -> Loss:
        """See :class:`FeatureDistance`.

        Raises:
            CheckpointError: the file is missing, damaged or holds something else.
            ConfigError: its discriminators were trained at another sample rate.
        """
        ensemble, spec = load_discriminator(Path(self.discriminator).expanduser())
        if spec.sample_rate != sample_rate:
            raise ConfigError(
                type(self).__name__,
                [
                    f"{self.discriminator} was trained at {spec.sample_rate} Hz, this network "
                    f"hears {sample_rate} Hz: name one that was trained at {sample_rate} Hz"
                ],
            )
        return FeatureDistance(ensemble, spec.nch)


class FeatureDistance(nn.Module):
    """Mean over all hidden layers of the L1 distance of their features, relative to their level.

    The distance of a layer is divided by the mean magnitude of the reference's features over the
    batch, as in EnCodec (Défossez et al. 2022, arXiv 2210.13438, section 3.4): how large the
    numbers of a layer are is an accident of its weights, and layers that have large ones would
    outweigh the others. The discriminators are frozen; the gradient reaches the estimate alone.

    Args:
        ensemble: trained discriminators.
        channels: that they hear at once; with 1 they hear every channel on its own.
    """

    def __init__(self, ensemble: Discriminator, channels: int) -> None:
        super().__init__()
        self.ensemble = ensemble.eval().requires_grad_(False)
        self.channels = channels
        windows = [part.window.numel() for part in ensemble.modules() if isinstance(part, Spectrum)]
        self.half_window = max(windows, default=0) // 2

    def forward(self, estimate: Stems, reference: Stems) -> Float[Tensor, ""]:
        """The distance.

        Raises:
            ConfigError: the waves have another number of channels than the discriminators hear.
            TooShortError: the waves are not longer than half of the longest window.
        """
        require_more_than(self.half_window, estimate)
        self.to(estimate.device)
        with torch.no_grad():
            wanted = [*self._features(reference)]
        distances = [
            (target - found).abs().mean() / target.abs().mean().clamp_min(FAINTEST)
            for target, found in zip(wanted, self._features(estimate), strict=True)
        ]
        return torch.stack(distances).mean()

    def _features(self, stems: Stems) -> Iterator[Tensor]:
        for layers in self.ensemble(self._heard(stems)).features:
            yield from layers

    def _heard(self, stems: Stems) -> Float[Tensor, "item heard time"]:
        """Stems, and channels where one is heard at a time, as items of a batch."""
        if self.channels == 1:
            return stems_as_waves(stems)
        if stems.shape[2] != self.channels:
            raise ConfigError(
                "loss_options.perceptual",
                [
                    f"the discriminators hear {self.channels} channels at once, the clips have "
                    f"{stems.shape[2]}: name discriminators that were trained on as many"
                ],
            )
        return LEVEL * rearrange(stems, "b s c t -> (b s) c t")
