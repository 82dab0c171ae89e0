"""Adversarial losses: least squares, hinge and feature matching.

The losses take scores and features of
:class:`~model_zoo.discriminators.base.DiscriminatorOutput`. They are summed over sub-discriminators
and layers, not averaged, so that the weight of each does not depend on their number, as in MSRKit.
They are computed in float32 regardless of the discriminators' precision.

Least squares are from Mao et al. 2017 (arXiv 1611.04076).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Literal

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from model_zoo.axes import Stems

Scores = Sequence[Tensor]
Features = Sequence[Sequence[Tensor]]
Kind = Literal["hinge", "lsgan"]

LEVEL = 0.1
"""RMS of the mixtures that discriminators receive: -20 dB full scale, as in music."""


def stems_as_waves(stems: Stems) -> Float[Tensor, "wave 1 time"]:
    """Turn every channel of every stem into a separate waveform, at the level of music.

    Args:
        stems: stems whose mixture has an RMS of 1.
    """
    return LEVEL * rearrange(stems, "b s c t -> (b s c) 1 t")


def generator_loss(fake: Scores, kind: Kind = "hinge") -> Float[Tensor, ""]:
    """Compute the generator's loss, small if estimates are taken for real.

    Args:
        fake: scores of estimates.
        kind: ``hinge`` demands a score of at least 1 (Lim and Ye 2017, arXiv 1705.02894, with the
            margin on this side too); ``lsgan`` demands exactly 1 (Mao et al. 2017,
            arXiv 1611.04076).
    """
    return _sum(_WANT_REAL[kind](score.float()) for score in fake)


def discriminator_loss(real: Scores, fake: Scores, kind: Kind = "hinge") -> Float[Tensor, ""]:
    """Compute the discriminators' loss, small if they distinguish real audio from estimates.

    Args:
        real: scores of real audio.
        fake: scores of estimates, without a gradient towards the network.
        kind: as in :func:`generator_loss`; estimates should have at most -1, or exactly 0.
    """
    return _sum(_WANT_REAL[kind](score.float()) for score in real) + _sum(
        _WANT_FAKE[kind](score.float()) for score in fake
    )


def feature_matching(real: Features, fake: Features) -> Float[Tensor, ""]:
    """Compute the mean absolute difference of features, summed over all layers.

    From Salimans et al. 2016 (arXiv 1606.03498), as in MelGAN (arXiv 1910.06711, equation 4). The
    features of real audio are targets and receive no gradient.
    """
    pairs = (
        (target, output)
        for targets, outputs in zip(real, fake, strict=True)
        for target, output in zip(targets, outputs, strict=True)
    )
    return _sum((target.detach().float() - output.float()).abs().mean() for target, output in pairs)


_WANT_REAL: dict[str, Callable[[Tensor], Tensor]] = {
    "hinge": lambda score: F.relu(1 - score).mean(),
    "lsgan": lambda score: (score - 1).square().mean(),
}
_WANT_FAKE: dict[str, Callable[[Tensor], Tensor]] = {
    "hinge": lambda score: F.relu(1 + score).mean(),
    "lsgan": lambda score: score.square().mean(),
}


def _sum(parts: Iterable[Tensor]) -> Tensor:
    return torch.stack([*parts]).sum()


class AdversarialLoss:
    """Losses of a network and its discriminators.

    Args:
        kind: ``"lsgan"`` or ``"hinge"``.
    """

    def __init__(self, kind: Kind) -> None:
        self.kind: Kind = kind

    def discriminator_loss(
        self, discriminator: nn.Module, pair: tuple[Stems, Stems]
    ) -> Float[Tensor, ""]:
        """Compute the discriminators' loss on true and estimated stems.

        Both are scored in one pass: two passes before one backward would change the buffers of
        spectral norms in between, which distributed training forbids
        (https://github.com/pytorch/pytorch/issues/175024).

        Args:
            discriminator: the discriminators, wrapped for several workers or not.
            pair: estimated stems, without a gradient towards the network, and true ones.
        """
        estimate, true = pair
        scores, _ = discriminator(torch.cat([stems_as_waves(true), stems_as_waves(estimate)]))
        halves = [score.chunk(2) for score in scores]
        real, fake = ([half[side] for half in halves] for side in (0, 1))
        return discriminator_loss(real, fake, self.kind)

    def generator_losses(
        self, discriminator: nn.Module, pair: tuple[Stems, Stems]
    ) -> dict[str, Float[Tensor, ""]]:
        """Compute ``generator`` and ``feature_matching``, unweighted.

        Args:
            discriminator: the discriminators, unwrapped, frozen and in evaluation mode, so that
                they do not change.
            pair: estimated stems and true ones.
        """
        estimate, true = pair
        with torch.no_grad():
            _, real = discriminator(stems_as_waves(true))
        scores, features = discriminator(stems_as_waves(estimate))
        return {
            "generator": generator_loss(scores, self.kind),
            "feature_matching": feature_matching(real, features),
        }
