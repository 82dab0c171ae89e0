"""The discriminators that a network may learn against."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from model_zoo.config import Config, broken
from trainers.config.learning import OptimiserRecipe


@dataclass(frozen=True)
class AdversaryRecipe(Config):
    """Who judges what the network makes.

    Attributes:
        discriminators: presets (``ensemble``, ``msrkit``) or single ones (``multi_period``,
            ``multi_scale``, ``multi_resolution``, ``multi_frequency``); none, no adversary.
        options: arguments of single ones, e.g. ``{multi_frequency: {hidden_channels: 4}}``.
        kind: of the two losses, ``lsgan`` or ``hinge``.
        start: steps that the network learns alone.
        optimiser: how the weights of the discriminators move.
    """

    discriminators: tuple[str, ...] = ()
    options: dict[str, dict[str, Any]] = field(default_factory=dict)
    kind: Literal["lsgan", "hinge"] = "lsgan"
    start: int = 0
    optimiser: OptimiserRecipe = field(
        default_factory=lambda: OptimiserRecipe(lr=2e-4, betas=(0.8, 0.99))
    )

    def mistakes(self) -> list[str]:
        """Values that cannot be used."""
        return broken(
            {
                "start must be 0 or more": self.start < 0,
                "optimiser.name must be adamw: spectral norms leave muon nothing to do": (
                    self.optimiser.name != "adamw"
                ),
                "discriminators must not repeat a name": (
                    len({*self.discriminators}) < len(self.discriminators)
                ),
            }
        )
