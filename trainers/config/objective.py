"""What one step learns."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from model_zoo.config import Config, broken

SIGMA, GAMMA = 0.4, 0.95


@dataclass(frozen=True)
class ObjectiveRecipe(Config):
    """What one step learns.

    Attributes:
        name: ``separation``: every stem of a mixture; ``denoising``: the noise that is laid over
            what the network sees, as a pretraining; ``phase``: the angles of a spectrum;
            ``codes``: the same sound again, out of a vector quantiser. The last three learn from
            mixtures alone.
        stems: weight of each stem of a network with several, for ``separation``; what is left out
            has 1.
        sigma: standard deviation of the noise of ``denoising``.
        gamma: share of the features' power in what ``denoising`` shows; the rest is noise.
    """

    name: Literal["separation", "denoising", "phase", "codes"] = "separation"
    stems: dict[str, float] = field(default_factory=dict)
    sigma: float = SIGMA
    gamma: float = GAMMA

    @property
    def needs_stems(self) -> bool:
        """Whether the stems of a mixture have to be known."""
        return self.name == "separation"

    @property
    def gives_waves(self) -> bool:
        """Whether waves are compared, so that discriminators can judge them."""
        return self.name in ("separation", "codes")

    def mistakes(self) -> list[str]:
        """Values that cannot be used, and those that would change nothing."""
        noise = (self.sigma, self.gamma) != (SIGMA, GAMMA)
        return broken(
            {
                "weights of stems must be 0 or more": any(w < 0 for w in self.stems.values()),
                f"stems are weighed by objective separation, not by {self.name}": (
                    bool(self.stems) and not self.needs_stems
                ),
                "sigma must be above 0": self.sigma <= 0,
                "gamma must be above 0 and below 1": not 0 < self.gamma < 1,
                f"sigma and gamma belong to objective denoising, not to {self.name}": (
                    noise and self.name != "denoising"
                ),
            }
        )
