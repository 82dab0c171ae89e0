"""The recipe of a training run, with its model, objective and adversary."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

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
    """Discriminators that the network is trained against.

    Attributes:
        discriminators: presets (``ensemble``, ``msrkit``) or single ones (``multi_period``,
            ``multi_scale``, ``multi_resolution``, ``multi_frequency``); empty for none.
        options: arguments of single ones, e.g. ``{multi_frequency: {hidden_channels: 4}}``.
        loss: adversarial loss, ``lsgan`` or ``hinge``.
        start_step: first step with discriminators; the network trains alone before.
        optimizer: optimizer of the discriminators.
    """

    former_names: ClassVar[Mapping[str, str]] = {
        "kind": "loss",
        "start": "start_step",
        "optimiser": "optimizer",
    }

    discriminators: tuple[str, ...] = ()
    options: dict[str, dict[str, Any]] = field(default_factory=dict)
    loss: Literal["lsgan", "hinge"] = "lsgan"
    start_step: int = 0
    optimizer: OptimizerRecipe = field(
        default_factory=lambda: OptimizerRecipe(lr=2e-4, betas=(0.8, 0.99))
    )

    def mistakes(self) -> list[str]:
        """List invalid values."""
        return broken(
            {
                "start_step must be 0 or more": self.start_step < 0,
                "optimizer.name must be adamw: spectral norms leave no matrix for muon": (
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
    """Training objective.

    Attributes:
        name: ``separation`` predicts every stem of a mixture; ``denoising`` pretrains by predicting
            the noise added to the network's input; ``phase`` predicts the angles of a spectrum;
            ``codes`` reconstructs the input through a vector quantizer. The last three train on
            mixtures alone.
        stems: weight of each stem of a multi-stem network, for ``separation``; default 1.
        sigma: standard deviation of the noise of ``denoising``.
        gamma: share of the input's power that ``denoising`` keeps; the rest is noise.
    """

    name: Literal["separation", "denoising", "phase", "codes"] = "separation"
    stems: dict[str, float] = field(default_factory=dict)
    sigma: float = SIGMA
    gamma: float = GAMMA

    @property
    def needs_stems(self) -> bool:
        """Whether the objective needs the stems of each mixture."""
        return self.name == "separation"

    @property
    def gives_waves(self) -> bool:
        """Whether the objective compares waveforms, which discriminators need."""
        return self.name in ("separation", "codes")

    def mistakes(self) -> list[str]:
        """List values that are invalid or without effect."""
        noise = (self.sigma, self.gamma) != (SIGMA, GAMMA)
        return broken(
            {
                "weights of stems must be 0 or more": any(w < 0 for w in self.stems.values()),
                f"objective {self.name} has no stem weights; only separation has": (
                    bool(self.stems) and not self.needs_stems
                ),
                "sigma must be above 0": self.sigma <= 0,
                "gamma must be above 0 and below 1": not 0 < self.gamma < 1,
                f"objective {self.name} has no sigma and gamma; only denoising has": (
                    noise and self.name != "denoising"
                ),
            }
        )


ADVERSARIAL = ("feature_matching", "generator")
"""Losses that need discriminators."""


@dataclass(frozen=True)
class ModelRecipe(Config):
    """Network to train.

    Attributes:
        architecture: name in the registry.
        options: arguments of the architecture; omitted ones have their defaults.
        residual: name of the stem that is left when all stems are subtracted from the mixture.
    """

    architecture: str = "melroformer"
    options: dict[str, Any] = field(default_factory=dict)
    residual: str = "instrumental"


@dataclass(frozen=True)
class Recipe(Config):
    """Complete settings of a training run.

    Attributes:
        name: name of the recipe.
        seed: random seed.
        model: network to train.
        data: training data and augmentation.
        objective: training objective.
        losses: loss weights by name, of losses of the objective (:mod:`trainers.losses`), the
            network's own penalties and, with discriminators, ``generator`` and
            ``feature_matching``.
        loss_options: arguments of losses, by name, e.g. ``{masked: {quantile: 0.9}}``.
        adversary: the discriminators.
        optimizer: optimizer of the network.
        schedule: learning rate and stages over the run.
        loop: batch size, precision and checkpoints.
        validation: validation during the run.
        log: logging.
    """

    former_names: ClassVar[Mapping[str, str]] = {
        "optimiser": "optimizer",
    }

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
        """List contradictions between values."""
        odd = [*_not_finite(self.to_dict())]
        negative = [name for name, weight in self.losses.items() if weight < 0]
        adversarial = [name for name in ADVERSARIAL if self.losses.get(name, 0) > 0]
        unused = [name for name in self.loss_options if name not in self.losses]
        return broken(
            {
                f"{', '.join(odd)} must be finite": bool(odd),
                "seed must be 0 or more": self.seed < 0,
                f"losses.{', losses.'.join(negative)} must be 0 or more": bool(negative),
                "losses must name at least one loss with a weight above 0": (
                    not any(self.losses.values())
                ),
                f"losses.{', losses.'.join(adversarial)} need adversary.discriminators": (
                    bool(adversarial) and not self.adversary.discriminators
                ),
                "adversary.discriminators need a weight above 0 for losses.generator or"
                " losses.feature_matching": (
                    bool(self.adversary.discriminators) and not adversarial
                ),
                f"objective {self.objective.name} has no waveforms for discriminators:"
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
        """Weights of all losses that need no adversary, without those of weight 0."""
        weights = self.losses.items()
        return {name: w for name, w in weights if w > 0 and name not in ADVERSARIAL}


def _not_finite(values: Mapping[str, Any]) -> Iterator[str]:
    """Yield the keys of NaN and infinite numbers: YAML accepts ``.nan`` and ``.inf``."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from (f"{key}.{below}" for below in _not_finite(value))
        elif isinstance(value, float) and not math.isfinite(value):
            yield str(key)
        elif isinstance(value, (list, tuple)):
            items = {str(index): item for index, item in enumerate(value)}
            yield from (f"{key}.{below}" for below in _not_finite(items))
