"""The recipe: objective, adversary and everything else of one training run."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from model_zoo.config import Config, broken
from trainers.config.data import DataRecipe
from trainers.config.training import (
    LogRecipe,
    LoopRecipe,
    OptimizerRecipe,
    ScheduleRecipe,
    ValidationRecipe,
)


@dataclass(frozen=True)
class AdversaryRecipe(Config):
    """Who judges what the network makes.

    Attributes:
        discriminators: presets (``ensemble``, ``msrkit``) or single ones (``multi_period``,
            ``multi_scale``, ``multi_resolution``, ``multi_frequency``); none, no adversary.
        options: arguments of single ones, e.g. ``{multi_frequency: {hidden_channels: 4}}``.
        loss: of the two losses, ``lsgan`` or ``hinge``.
        start_step: steps that the network learns alone.
        optimizer: how the weights of the discriminators move.
    """

    discriminators: tuple[str, ...] = ()
    options: dict[str, dict[str, Any]] = field(default_factory=dict)
    loss: Literal["lsgan", "hinge"] = "lsgan"
    start_step: int = 0
    optimizer: OptimizerRecipe = field(
        default_factory=lambda: OptimizerRecipe(lr=2e-4, betas=(0.8, 0.99))
    )

    def mistakes(self) -> list[str]:
        """Values that cannot be used."""
        return broken(
            {
                "start_step must be 0 or more": self.start_step < 0,
                "optimizer.name must be adamw: spectral norms leave muon nothing to do": (
                    self.optimizer.name != "adamw"
                ),
                "discriminators must not repeat a name": (
                    len({*self.discriminators}) < len(self.discriminators)
                ),
            }
        )


SIGMA, GAMMA = 0.4, 0.95


@dataclass(frozen=True)
class ObjectiveRecipe(Config):
    """What one step learns.

    Attributes:
        name: ``separation``: every stem of a mixture; ``denoising``: the noise that is laid over
            what the network sees, as a pretraining; ``phase``: the angles of a spectrum;
            ``codes``: the same sound again, out of a vector quantizer. The last three learn from
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


ADVERSARIAL = ("feature_matching", "generator")
"""Losses that only a run with discriminators has."""


@dataclass(frozen=True)
class ModelRecipe(Config):
    """What is trained.

    Attributes:
        architecture: a name of the registry.
        options: arguments of that architecture; what is left out has its default.
        residual: name of the mixture without all stems.
    """

    architecture: str = "melroformer"
    options: dict[str, Any] = field(default_factory=dict)
    residual: str = "instrumental"


@dataclass(frozen=True)
class Recipe(Config):
    """One complete run.

    Attributes:
        name: what the recipe is called.
        seed: start of all random choices.
        model: what is trained.
        data: on what.
        objective: what one step learns.
        losses: weight of each loss, by its name in that table of :mod:`trainers.losses` which the
            objective knows, of the network's own penalties, and of ``generator`` and
            ``feature_matching`` where there are discriminators.
        loss_options: arguments of losses, by name, e.g. ``{masked: {quantile: 0.9}}``.
        adversary: the discriminators.
        optimizer: how weights move.
        schedule: how fast, over the run.
        loop: in which rhythm.
        validation: how the result is judged.
        log: what is written down.
    """

    name: str = ""
    seed: int = 0
    model: ModelRecipe = field(default_factory=ModelRecipe)
    data: DataRecipe = field(default_factory=DataRecipe)
    objective: ObjectiveRecipe = field(default_factory=ObjectiveRecipe)
    losses: dict[str, float] = field(default_factory=dict)
    loss_options: dict[str, dict[str, Any]] = field(default_factory=dict)
    adversary: AdversaryRecipe = field(default_factory=AdversaryRecipe)
    optimizer: OptimizerRecipe = field(default_factory=OptimizerRecipe)
    schedule: ScheduleRecipe = field(default_factory=ScheduleRecipe)
    loop: LoopRecipe = field(default_factory=LoopRecipe)
    validation: ValidationRecipe = field(default_factory=ValidationRecipe)
    log: LogRecipe = field(default_factory=LogRecipe)

    def mistakes(self) -> list[str]:
        """Contradictions between the values."""
        odd = [*_not_finite(self.to_dict())]
        negative = [name for name, weight in self.losses.items() if weight < 0]
        adversarial = [name for name in ADVERSARIAL if self.losses.get(name, 0) > 0]
        unused = [name for name in self.loss_options if name not in self.losses]
        return broken(
            {
                f"{', '.join(odd)} must be finite": bool(odd),
                "seed must be 0 or more": self.seed < 0,
                f"losses.{', losses.'.join(negative)} must be 0 or more": bool(negative),
                "losses must name at least one, with a weight above 0": (
                    not any(self.losses.values())
                ),
                f"losses.{', losses.'.join(adversarial)} need adversary.discriminators": (
                    bool(adversarial) and not self.adversary.discriminators
                ),
                "adversary.discriminators need a weight above 0 of losses.generator or"
                " losses.feature_matching": (
                    bool(self.adversary.discriminators) and not adversarial
                ),
                f"objective {self.objective.name} gives no waves that discriminators could judge:"
                " remove adversary.discriminators": (
                    bool(self.adversary.discriminators) and not self.objective.gives_waves
                ),
                f"adversary.start_step must be below schedule.steps={self.schedule.steps}": (
                    bool(self.adversary.discriminators)
                    and self.adversary.start_step >= self.schedule.steps
                ),
                f"loss_options names losses without a weight: {', '.join(unused)}": bool(unused),
            }
        )

    @property
    def supervised_losses(self) -> dict[str, float]:
        """Weights of all losses but those of an adversary; a weight of 0 leaves one out."""
        weights = self.losses.items()
        return {name: w for name, w in weights if w > 0 and name not in ADVERSARIAL}


def _not_finite(values: Mapping[str, Any]) -> Iterator[str]:
    """Keys of the numbers that are none, or have no end: YAML knows ``.nan`` and ``.inf``."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from (f"{key}.{below}" for below in _not_finite(value))
        elif isinstance(value, float) and not math.isfinite(value):
            yield str(key)
        elif isinstance(value, (list, tuple)):
            items = {str(index): item for index, item in enumerate(value)}
            yield from (f"{key}.{below}" for below in _not_finite(items))
