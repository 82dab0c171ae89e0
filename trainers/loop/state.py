"""The state of a run that survives a restart: weights, averages, progress and schedule."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from shlex import quote

import numpy as np
import torch
from torch import Tensor, nn

from model_zoo import registry, weights
from model_zoo.catalogue import resolve
from model_zoo.catalogue.resolve import resolve_weights
from model_zoo.discriminators.ensemble import DiscriminatorEnsemble, EnsembleSpec
from model_zoo.errors import ConfigError, NoModelError
from model_zoo.separator import Separator
from stemcli.engine.runner import is_out_of_memory
from trainers.config import Recipe, ScheduleRecipe
from trainers.loop.execution import Strategy
from trainers.loop.optimizer import NetworkOptimizer
from trainers.objectives import OBJECTIVES


class EMA:
    """Averaged copy of a network.

    The decay rises from 0.1 with the number of updates (``(1 + n) / (10 + n)``, at most ``decay``),
    so that the first weights, which know nothing, are forgotten soon. Buffers, which are statistics
    already, are copied.

    Args:
        model: what is averaged; the average starts as a copy of it.
        decay: share of the old average in the new one, once many updates were made.
    """

    def __init__(self, model: Separator, decay: float) -> None:
        self.model = copy.deepcopy(model)
        self.model.eval().requires_grad_(False)
        self.decay = decay
        self.updates = 0
        weights = {name for name, _ in model.named_parameters()}
        self._buffers = [name for name in model.state_dict() if name not in weights]

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Move the average towards the current weights."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        pairs = zip(self.model.parameters(), model.parameters(), strict=True)
        for average, current in pairs:
            average.lerp_(current, 1 - decay)
        for name in self._buffers:
            self.model.get_buffer(name).copy_(model.get_buffer(name))
        self.updates += 1


def load_pretrained(model: Separator, name: str) -> None:
    """Copy trained weights into ``optimizer``.

    Where the two have another number of stems, tensors that follow it begin anew.

    Args:
        model: the network of the recipe.
        name: a model of the zoo, the folder of a run, or a ``.safetensors`` file that this program
            wrote.

    Raises:
        UnknownNameError: no model has this name.
        NoModelError: there is no such file or run, or the recipe describes another network; the
            sentence says which options would have to change.
        CheckpointError: the file is damaged.
        ChecksumError: the file is not the one that the model's card describes.
    """
    origin = resolve.load(resolve_weights(name))
    found, wanted = registry.name_of(origin), registry.name_of(model)
    if found != wanted:
        raise NoModelError(
            f"{name} is a {found} and the recipe trains a {wanted}. "
            f"Choose a recipe for {found} with --recipe"
        )
    changes = [*_changes(origin, model)]
    if changes:
        raise NoModelError(f"{name} does not fit the recipe's network. Try: {' '.join(changes)}")
    tensors = origin.state_dict()
    if len(origin.stems) != len(model.stems):
        tensors = _as_far_as_they_fit(tensors, model.state_dict())
    weights.load_tensors(model, tensors, origin=name)


def _as_far_as_they_fit(
    found: Mapping[str, Tensor], fresh: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Tensors that were found; the fresh ones where these have another shape."""
    return {
        name: found[name] if name in found and found[name].shape == value.shape else value
        for name, value in fresh.items()
    }


def _changes(found: Separator, wanted: Separator) -> Iterator[str]:
    """What to type so that the recipe describes the network that was found."""
    values = wanted.config.to_dict()
    for option, value in found.config.to_dict().items():
        if option not in wanted.weight_independent_options and values[option] != value:
            text = value if isinstance(value, str) else json.dumps(value)
            yield f"--set {quote(f'model.options.{option}={text}')}"


@dataclass
class TrainingProgress:
    """Counters that survive a restart; every worker of a run has the same.

    Attributes:
        step: optimizer steps done; also the place in the data, whose clips are numbered.
        validated_step: steps that were done at the last validation.
        best_sdr: best mean validation score so far, whatever the objective measures.
        best_step: when that was.
        mark: mean score that the last clear gain brought.
        stale: validations since then.
        lr_reductions: how often the schedule ``plateau`` lowered the learning rate.
        waited: validations without a clear gain since the last of those falls.
    """

    step: int = 0
    validated_step: int = 0
    best_sdr: float = float("-inf")
    best_step: int = 0
    mark: float = float("-inf")
    stale: int = 0
    lr_reductions: int = 0
    waited: int = 0

    @property
    def best(self) -> float | None:
        """Best mean validation score so far; None before the first."""
        return self.best_sdr if math.isfinite(self.best_sdr) else None

    def is_due(self, steps: int, every: int) -> bool:
        """Whether a validation is due: after the last of ``steps`` and after each ``every``."""
        at_a_stop = self.step > 0 and (self.step >= steps or self.step % every == 0)
        return at_a_stop and self.validated_step < self.step

    def update(self, score: float, schedule: ScheduleRecipe) -> bool:
        """Take in a validation's mean score; returns whether it is the best of the run.

        Any other score that is better where it is higher does as well.
        """
        self.validated_step = self.step
        is_best = score > self.best_sdr
        if is_best:
            self.best_sdr, self.best_step = score, self.step
        self._count(score, schedule)
        return is_best

    def _count(self, score: float, schedule: ScheduleRecipe) -> None:
        """Averaged weights creep for ever, so that only a clear gain is one."""
        if score > self.mark + schedule.min_delta:
            self.mark, self.stale, self.waited = score, 0, 0
            return
        self.stale += 1
        self.waited += 1
        if schedule.shape == "plateau" and self.waited >= schedule.patience:
            self.lr_reductions, self.waited = self.lr_reductions + 1, 0

    def is_stuck(self, schedule: ScheduleRecipe) -> bool:
        """Whether the run shall end early."""
        return (
            0 < schedule.early_stopping_patience <= self.stale
            or 0 < schedule.max_reductions <= self.lr_reductions
        )

    def why_stuck(self, schedule: ScheduleRecipe) -> str:
        """What a run that ends early says."""
        if 0 < schedule.early_stopping_patience <= self.stale:
            return f"no gain of {schedule.min_delta:g} dB, validations in a row: {self.stale}"
        return (
            f"no gain of {schedule.min_delta:g} dB at one learning rate after the other: "
            f"{self.lr_reductions}"
        )


@dataclass
class TrainState:
    """What learns, and how far it has come.

    Attributes:
        separator: the network that is trained.
        optimizer: the same with its optimizers.
        ema: its averaged weights.
        discriminator: its adversary; None without one.
        discriminator_optimizer: the same with its optimizer.
        progress: step, best score, and the counters of schedules.
    """

    separator: Separator
    optimizer: NetworkOptimizer
    ema: EMA
    discriminator: DiscriminatorEnsemble | None
    discriminator_optimizer: NetworkOptimizer | None
    progress: TrainingProgress

    @classmethod
    def fresh(cls, recipe: Recipe, strategy: Strategy, origin: str = "") -> TrainState:
        """A new run: seeded weights, or those of the model called ``origin``.

        Raises:
            UnknownNameError: there is no such architecture or model.
            ConfigError: options of the network or of the discriminators contradict each other.
            CheckpointError: ``origin`` cannot be used or is another network.
        """
        torch.manual_seed(recipe.seed)
        separator = registry.build(recipe.model.architecture, recipe.model.options)
        if origin:
            load_pretrained(separator, origin)
        average = EMA(separator, recipe.loop.ema_decay)
        for network in (separator, average.model):
            strategy.setup(network)
        ensemble = _ensemble(recipe, separator.sample_rate, strategy)
        judged = recipe.adversary.optimizer
        half = recipe.loop.precision == "fp16"
        view = OBJECTIVES[recipe.objective.name].trained_module(separator)
        return cls(
            separator,
            NetworkOptimizer("network", separator, recipe.optimizer, half=half, view=view),
            average,
            ensemble,
            NetworkOptimizer("discriminators", ensemble, judged, half=half) if ensemble else None,
            TrainingProgress(),
        )

    @property
    def optimizers(self) -> dict[str, NetworkOptimizer]:
        """The networks that learn, by the names of logs and checkpoints."""
        pair = {"model": self.optimizer, "discriminator": self.discriminator_optimizer}
        return {name: learner for name, learner in pair.items() if learner}

    def wrap(self, strategy: Strategy) -> None:
        """Let gradients be means over all workers, each network on its own."""
        for learner in self.optimizers.values():
            learner.module = strategy.wrap(learner.module)


def seed_rank(seed: int, rank: int, step: int) -> None:
    """Let a worker draw other random numbers than its fellows: dropout, noise, samples of a VAE.

    All of them build the same networks, and go on from the generators of the first; those of the
    first itself stay as they are, so that a run of one worker is what it was.

    Args:
        seed: of the recipe.
        rank: number of the worker.
        step: at which the run begins or goes on.
    """
    if rank:
        (word,) = np.random.SeedSequence((seed, rank, step)).generate_state(1, np.uint64)
        torch.manual_seed(int(word))


def ensemble_spec(recipe: Recipe, sample_rate: int) -> EnsembleSpec:
    """The discriminators of a recipe, for single channels.

    Raises:
        ConfigError: there is no such discriminator, or it has no such argument.
    """
    adversary = recipe.adversary
    return EnsembleSpec(adversary.discriminators, adversary.options, 1, sample_rate)


def _ensemble(recipe: Recipe, sample_rate: int, strategy: Strategy) -> DiscriminatorEnsemble | None:
    if not recipe.adversary.discriminators:
        return None
    spec = ensemble_spec(recipe, sample_rate)
    try:
        return spec.build().to(strategy.device)
    except (TypeError, ValueError, ArithmeticError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and is_out_of_memory(error):
            raise
        raise ConfigError("adversary.options", [f"they cannot be used: {error}"]) from error


def lr_factor(step: int, recipe: ScheduleRecipe, falls: int = 0) -> float:
    """Linear warm-up times the shape of the recipe.

    Args:
        step: steps done before.
        recipe: the shape and its numbers.
        falls: how often a plateau was met.
    """
    warm = min(1.0, (step + 1) / recipe.warmup) if recipe.warmup else 1.0
    if recipe.shape == "plateau":
        return warm * max(recipe.min_lr_ratio, recipe.factor**falls)
    return warm * (
        recipe.min_lr_ratio + (1 - recipe.min_lr_ratio) * SHAPES[recipe.shape](step, recipe)
    )


def _constant(step: int, recipe: ScheduleRecipe) -> float:
    return 1.0


def _linear(step: int, recipe: ScheduleRecipe) -> float:
    """1, then a line down to 0 over the last ``decay`` of the steps."""
    tail = recipe.decay * recipe.steps
    return max(0.0, min(1.0, (recipe.steps - step) / tail)) if tail else 1.0


def _cosine(step: int, recipe: ScheduleRecipe) -> float:
    """Half a wave from 1 after the warm-up to 0 at the end.

    Loshchilov and Hutter 2017 (arXiv 1608.03983), equation 5, without restarts.
    """
    share = (step - recipe.warmup) / max(1, recipe.steps - recipe.warmup)
    return (1 + math.cos(math.pi * min(1.0, max(0.0, share)))) / 2


SHAPES: dict[str, Callable[[int, ScheduleRecipe], float]] = {
    "constant": _constant,
    "linear": _linear,
    "cosine": _cosine,
}
"""From 1 to 0, which become the full rate and its floor."""
