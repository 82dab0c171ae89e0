"""Losses of a network against discriminators: least squares, hinge and feature matching.

The losses take the scores and features of
:class:`~model_zoo.discriminators.base.DiscriminatorOutput`. Over sub-discriminators and layers they
are summed, not averaged, so that each counts alike whatever the number of the others. They are
computed in float32 whatever the discriminators computed in.

Least squares (Mao et al. 2017, arXiv 1611.04076) or hinge losses and feature matching as MSRKit
sums them: over all sub-discriminators and layers, without dividing by their number.
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
"""Root mean square at which discriminators hear a mixture: -20 dB full scale, as music has."""


def stems_as_waves(stems: Stems) -> Float[Tensor, "wave 1 time"]:
    """Every channel of every stem on its own, at the level of music.

    Args:
        stems: at the level at which their mixture has a root mean square of 1.
    """
    return LEVEL * rearrange(stems, "b s c t -> (b s c) 1 t")


def generator_loss(made: Scores, kind: Kind = "hinge") -> Float[Tensor, ""]:
    """Small when what the network made is taken for real.

    Args:
        made: scores of what the network made.
        kind: ``hinge`` is content with a score of 1 or more (Lim and Ye 2017, arXiv 1705.02894,
            with the margin on this side too); ``lsgan`` wants exactly 1 (Mao et al. 2017,
            arXiv 1611.04076).
    """
    return _sum(_WANT_REAL[kind](score.float()) for score in made)


def discriminator_loss(real: Scores, made: Scores, kind: Kind = "hinge") -> Float[Tensor, ""]:
    """Small when real sound is told from what the network made.

    Args:
        real: scores of real sound.
        made: scores of what the network made, without a gradient towards it.
        kind: as in :func:`generator_loss`; what was made shall have -1 or less, or exactly 0.
    """
    return _sum(_WANT_REAL[kind](score.float()) for score in real) + _sum(
        _WANT_MADE[kind](score.float()) for score in made
    )


def feature_matching(real: Features, made: Features) -> Float[Tensor, ""]:
    """Mean absolute difference of the features, summed over all layers.

    From Salimans et al. 2016 (arXiv 1606.03498), as in MelGAN (arXiv 1910.06711, equation 4). The
    features of real sound are a target: no gradient reaches them.
    """
    pairs = (
        (target, found)
        for targets, outputs in zip(real, made, strict=True)
        for target, found in zip(targets, outputs, strict=True)
    )
    return _sum((target.detach().float() - found.float()).abs().mean() for target, found in pairs)


_WANT_REAL: dict[str, Callable[[Tensor], Tensor]] = {
    "hinge": lambda score: F.relu(1 - score).mean(),
    "lsgan": lambda score: (score - 1).square().mean(),
}
_WANT_MADE: dict[str, Callable[[Tensor], Tensor]] = {
    "hinge": lambda score: F.relu(1 + score).mean(),
    "lsgan": lambda score: score.square().mean(),
}


def _sum(parts: Iterable[Tensor]) -> Tensor:
    return torch.stack([*parts]).sum()


class AdversarialLoss:
    """Losses of a network and of the discriminators that judge it.

    Args:
        kind: of losses, ``"lsgan"`` or ``"hinge"``.
    """

    def __init__(self, kind: Kind) -> None:
        self.kind: Kind = kind

    def discriminator_loss(
        self, discriminator: nn.Module, pair: tuple[Stems, Stems]
    ) -> Float[Tensor, ""]:
        """How badly real stems are told from estimated ones.

        Both are judged in one pass: two passes before one gradient would change the buffers of
        spectral norms in between, which distributed training forbids
        (https://github.com/pytorch/pytorch/issues/175024).

        Args:
            discriminator: wrapped for several workers or not.
            pair: estimated stems, without a gradient towards the network, and true ones.
        """
        made, true = pair
        scores, _ = discriminator(torch.cat([stems_as_waves(true), stems_as_waves(made)]))
        halves = [score.chunk(2) for score in scores]
        real, fake = ([half[side] for half in halves] for side in (0, 1))
        return discriminator_loss(real, fake, self.kind)

    def generator_losses(
        self, discriminator: nn.Module, pair: tuple[Stems, Stems]
    ) -> dict[str, Float[Tensor, ""]]:
        """``generator`` and ``feature_matching``, unweighted.

        Args:
            discriminator: with frozen weights and in evaluation mode, so that nothing of it
                changes; not wrapped.
            pair: estimated stems and true ones.
        """
        made, true = pair
        with torch.no_grad():
            _, real = discriminator(stems_as_waves(true))
        scores, features = discriminator(stems_as_waves(made))
        return {
            "generator": generator_loss(scores, self.kind),
            "feature_matching": feature_matching(real, features),
        }
