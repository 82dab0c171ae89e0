"""What discriminators add to an objective.

Least squares (Mao et al. 2017, arXiv 1611.04076) or hinge losses and feature matching as MSRKit
sums them: over all sub-discriminators and layers, without dividing by their number.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from model_zoo.axes import Stems
from trainers.losses.adversarial import (
    Kind,
    discriminator_loss,
    feature_matching,
    generator_loss,
    heard,
)


class Adversary:
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
        scores, _ = discriminator(torch.cat([heard(true), heard(made)]))
        halves = [score.chunk(2) for score in scores]
        real, fake = ([half[side] for half in halves] for side in (0, 1))
        return discriminator_loss(real, fake, self.kind)

    def model_losses(
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
            _, real = discriminator(heard(true))
        scores, features = discriminator(heard(made))
        return {
            "generator": generator_loss(scores, self.kind),
            "feature_matching": feature_matching(real, features),
        }
