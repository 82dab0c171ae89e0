"""State of a training run that checkpoints hold: networks, moving average, counters, schedule."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from model_zoo import registry, weights
from model_zoo.catalogue import resolve
from model_zoo.catalogue.resolve import resolve_weights
from model_zoo.discriminators.ensemble import DiscriminatorEnsemble, EnsembleSpec
from model_zoo.errors import ConfigError, NoModelError
from model_zoo.separator import Separator
from model_zoo.shell import quoted
from stemcli.engine.runner import is_out_of_memory
from trainers.config import Recipe, ScheduleRecipe
from trainers.loop.execution import Strategy
from trainers.loop.optimizer import NetworkOptimizer
from trainers.objectives import OBJECTIVES


class EMA:
    """Exponential moving average of a network's weights.

    The decay rises from 0.1 with the number of updates (``(1 + n) / (10 + n)``, at most ``decay``),
    so that untrained weights are soon forgotten. Buffers are copied: they are running statistics
    already.

    Args:
        model: the network; its average starts as a copy.
        decay: share of the old average in the new one, after many updates.
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
    """Copy pretrained weights into ``model``.

    If the number of stems differs, tensors whose shape depends on it keep their fresh values.

    Args:
        model: the network of the recipe.
        name: a model of the zoo, the folder of a run, or a ``.safetensors`` file that this program
            wrote.

    Raises:
        UnknownNameError: no model has this name.
        NoModelError: there is no such file or run, or the recipe describes another network; the
            message says which options differ.
        CheckpointError: the file is damaged.
        ChecksumError: the file is not the one that the model's card describes.
    """
    origin = resolve.load(resolve_weights(name))
    pretrained, trained = registry.name_of(origin), registry.name_of(model)
    if pretrained != trained:
        raise NoModelError(
            f"The architecture of {name} is {pretrained}, but the recipe trains {trained}. Choose"
            f" a recipe for {pretrained} with --recipe"
        )
    changes = [*_option_changes(origin, model)]
    if changes:
        raise NoModelError(f"{name} does not fit the recipe's network. Try: {' '.join(changes)}")
    tensors = origin.state_dict()
    if len(origin.stems) != len(model.stems):
        tensors = _with_fitting(model.state_dict(), tensors)
    weights.load_tensors(model, tensors, origin=name)


def _with_fitting(
    fresh: Mapping[str, Tensor], pretrained: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Replace fresh tensors by pretrained ones of the same name and shape."""
    return {
        name: new if (new := pretrained.get(name)) is not None and new.shape == old.shape else old
        for name, old in fresh.items()
    }


def _option_changes(pretrained: Separator, model: Separator) -> Iterator[str]:
    """Command-line options that make the recipe describe the pretrained network."""
    values = model.config.to_dict()
    for option, value in pretrained.config.to_dict().items():
        if option not in model.weight_independent_options and values[option] != value:
            text = value if isinstance(value, str) else json.dumps(value)
            yield f"--set {quoted(f'model.options.{option}={text}')}"


@dataclass
class TrainingProgress:
    """Counters that checkpoints hold; all workers of a run have the same values.

    Attributes:
        step: optimizer steps done; it also numbers the next clips.
        validated_step: step of the last validation.
        best_sdr: best mean validation score so far, in the unit of the objective.
        best_step: step of that score.
        mark: mean score at the last improvement by ``schedule.min_delta`` or more.
        stale: validations since that improvement.
        lr_reductions: how often the schedule ``plateau`` reduced the learning rate.
        waited: validations without improvement since the last reduction.
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
        """Record a validation's mean score (higher is better); returns whether it is a new best."""
        self.validated_step = self.step
        is_best = score > self.best_sdr
        if is_best:
            self.best_sdr, self.best_step = score, self.step
        self._count_stale(score, schedule)
        return is_best

    def _count_stale(self, score: float, schedule: ScheduleRecipe) -> None:
        """Count validations that improved by less than ``min_delta``: averages always creep up."""
        if score > self.mark + schedule.min_delta:
            self.mark, self.stale, self.waited = score, 0, 0
            return
        self.stale += 1
        self.waited += 1
        if schedule.shape == "plateau" and self.waited >= schedule.patience:
            self.lr_reductions, self.waited = self.lr_reductions + 1, 0

    def is_stuck(self, schedule: ScheduleRecipe) -> bool:
        """Whether the run stops early."""
        return (
            0 < schedule.early_stopping_patience <= self.stale
            or 0 < schedule.max_reductions <= self.lr_reductions
        )

    def why_stuck(self, schedule: ScheduleRecipe) -> str:
        """Reason of an early stop, for messages."""
        stale, reductions = self.stale, self.lr_reductions
        if 0 < schedule.early_stopping_patience <= stale:
            cause = f"{stale} validation{'s' * (stale > 1)}"
        else:
            cause = f"{reductions} reduction{'s' * (reductions > 1)} of the learning rate"
        return f"{cause} without a gain of {schedule.min_delta:g} dB"


@dataclass
class TrainState:
    """Networks in training, their optimizers, and the progress of the run.

    Attributes:
        separator: the network that is trained.
        optimizer: its optimizer.
        ema: moving average of its weights.
        discriminator: the discriminators; None without adversarial training.
        discriminator_optimizer: their optimizer.
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
        """Build the networks of a new run: seeded weights, or those of the model ``origin``.

        Raises:
            UnknownNameError: there is no such architecture or model.
            ConfigError: options of the network or of the discriminators contradict each other.
            CheckpointError: ``origin`` cannot be used or is another network.
        """
        torch.manual_seed(recipe.seed)
        separator = registry.build(recipe.model.architecture, recipe.model.options)
        if origin:
            load_pretrained(separator, origin)
        ema = EMA(separator, recipe.loop.ema_decay)
        for network in (separator, ema.model):
            strategy.setup(network)
        discriminator = _discriminators(recipe, separator.sample_rate, strategy)
        adversary = recipe.adversary.optimizer
        half = recipe.loop.precision == "fp16"
        view = OBJECTIVES[recipe.objective.name].trained_module(separator)
        return cls(
            separator,
            NetworkOptimizer("network", separator, recipe.optimizer, half=half, view=view),
            ema,
            discriminator,
            NetworkOptimizer("discriminators", discriminator, adversary, half=half)
            if discriminator
            else None,
            TrainingProgress(),
        )

    @property
    def optimizers(self) -> dict[str, NetworkOptimizer]:
        """Optimizers by their names in logs and checkpoints."""
        both = {"model": self.optimizer, "discriminator": self.discriminator_optimizer}
        return {name: optimizer for name, optimizer in both.items() if optimizer}

    def wrap(self, strategy: Strategy) -> None:
        """Average the gradients of each network over all workers from now on."""
        for optimizer in self.optimizers.values():
            optimizer.module = strategy.wrap(optimizer.module)


def seed_rank(seed: int, rank: int, step: int) -> None:
    """Give every worker a random generator of its own, for dropout, noise and VAE samples.

    All workers build the same networks from the same seed and resume with the generators of the
    first; the first keeps them, so that a run with one worker is reproducible.

    Args:
        seed: of the recipe.
        rank: rank of the worker.
        step: step at which the run starts or resumes.
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


def _discriminators(
    recipe: Recipe, sample_rate: int, strategy: Strategy
) -> DiscriminatorEnsemble | None:
    if not recipe.adversary.discriminators:
        return None
    spec = ensemble_spec(recipe, sample_rate)
    try:
        return spec.build().to(strategy.device)
    except (TypeError, ValueError, ArithmeticError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and is_out_of_memory(error):
            raise
        raise ConfigError("adversary.options", [f"they cannot be used: {error}"]) from error


def lr_factor(step: int, recipe: ScheduleRecipe, reductions: int = 0) -> float:
    """Factor of the learning rate in a step: linear warm-up times the shape of the schedule.

    Args:
        step: steps done before.
        recipe: the schedule.
        reductions: how often ``plateau`` has reduced the rate.
    """
    warm = min(1.0, (step + 1) / recipe.warmup) if recipe.warmup else 1.0
    if recipe.shape == "plateau":
        return warm * max(recipe.min_lr_ratio, recipe.factor**reductions)
    return warm * (
        recipe.min_lr_ratio + (1 - recipe.min_lr_ratio) * SHAPES[recipe.shape](step, recipe)
    )


def _constant(step: int, recipe: ScheduleRecipe) -> float:
    return 1.0


def _linear(step: int, recipe: ScheduleRecipe) -> float:
    """Stay at 1, then fall linearly to 0 over the last ``decay`` (a share) of the steps."""
    tail = recipe.decay * recipe.steps
    return max(0.0, min(1.0, (recipe.steps - step) / tail)) if tail else 1.0


def _cosine(step: int, recipe: ScheduleRecipe) -> float:
    """Fall along half a cosine from 1 after the warm-up to 0 at the end.

    Loshchilov and Hutter 2017 (arXiv 1608.03983), equation 5, without restarts.
    """
    share = (step - recipe.warmup) / max(1, recipe.steps - recipe.warmup)
    return (1 + math.cos(math.pi * min(1.0, max(0.0, share)))) / 2


SHAPES: dict[str, Callable[[int, ScheduleRecipe], float]] = {
    "constant": _constant,
    "linear": _linear,
    "cosine": _cosine,
}
"""Shapes from 1 (the full learning rate) to 0 (``min_lr_ratio`` of it)."""
