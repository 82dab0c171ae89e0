"""One optimizer step: discriminators first, then the separator, then the moving average.

The loss weights are ``losses`` of the recipe (:attr:`TrainingTask.weights`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from model_zoo.errors import NumericalError
from model_zoo.separator import Separator
from stemcli.engine.device import Precision
from trainers.config import Recipe
from trainers.loop.events import StepDone
from trainers.loop.optimizer import NetworkOptimizer
from trainers.loop.state import TrainState, lr_factor
from trainers.losses.adversarial import AdversarialLoss
from trainers.objectives import Objective, objective_of
from trainers.objectives.base import Batch, Pair

DISCRIMINATOR_LOSS = "discriminator"
"""Name of the loss that discriminators minimize; its weight is 1."""

BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
"""Layers that update running statistics in every forward pass of training."""


@dataclass(frozen=True)
class TrainingTask:
    """The parts of a training step that do not change: objective, losses and their weights.

    Attributes:
        objective: turns batches into training examples and computes the supervised losses.
        adversary: computes the losses of the discriminators and those that come from them.
        weights: weight of each loss of the separator, by name.
        recipe: the whole recipe.
        precision: arithmetic of the forward pass.
    """

    objective: Objective
    adversary: AdversarialLoss
    weights: Mapping[str, float]
    recipe: Recipe
    precision: Precision

    @classmethod
    def of(cls, recipe: Recipe, separator: Separator, precision: Precision) -> TrainingTask:
        """The task that a recipe describes.

        Raises:
            UnknownNameError: there is no such loss.
            ConfigError: the network cannot learn the objective, a loss has no such argument, or
                there is no such stem.
        """
        objective = objective_of(recipe, separator)
        adversary = AdversarialLoss(recipe.adversary.loss)
        return cls(objective, adversary, recipe.losses, recipe, precision)

    def forward(self, optimizer: NetworkOptimizer, batch: Batch) -> Pair:
        """Run the separator on a batch; returns its estimate and the target, ready to compare."""
        example = self.objective.make_example(_separator(optimizer), batch)
        with self.autocast(batch.mixture):
            output = optimizer.module(example.inputs)
        return example.pair(output)

    def autocast(self, wave: Tensor) -> AbstractContextManager[None]:
        """Mixed precision, as the recipe asks for it, on the device of ``wave``."""
        return self.precision.autocast(wave.device)

    def auxiliary_losses(self, optimizer: NetworkOptimizer) -> dict[str, Tensor]:
        """Losses that the separator found in its last forward pass, those with a weight."""
        losses = _separator(optimizer).auxiliary_losses()
        return {name: loss for name, loss in losses.items() if name in self.weights}

    def weighted_sum(self, losses: Mapping[str, Tensor]) -> Tensor:
        """The sum of the losses that have a weight; parts of a loss have none of their own."""
        weighted = [self.weights[name] * losses[name] for name in self.weights if name in losses]
        return torch.stack(weighted).sum()


def _separator(optimizer: NetworkOptimizer) -> Separator:
    assert isinstance(optimizer.network, Separator), "a discriminator has no training examples"
    return optimizer.network


@dataclass
class StepMetrics:
    """Losses, gradient norms and learning rates of one step.

    Attributes:
        gradient_norms: of each network, before clipping.
        learning_rates: of each network.
    """

    gradient_norms: dict[str, float] = field(default_factory=dict)
    learning_rates: dict[str, float] = field(default_factory=dict)
    _losses: dict[str, Tensor] = field(default_factory=dict)

    @property
    def losses(self) -> dict[str, float]:
        """Means over the parts of the batch."""
        # One transfer for all: each transfer waits until the GPU has finished its queue.
        values = torch.stack([*self._losses.values()]).tolist()
        return dict(zip(self._losses, values, strict=True))

    def add_losses(self, losses: Mapping[str, Tensor], share: float) -> None:
        """Add the losses of one part of the batch, which is ``share`` of the whole."""
        for name, loss in losses.items():
            part = loss.detach() * share
            self._losses[name] = self._losses[name] + part if name in self._losses else part

    def add_step(self, name: str, optimizer: NetworkOptimizer, gradient_norm: float) -> None:
        """Record how an optimizer moved the weights of a network."""
        self.gradient_norms[name] = gradient_norm
        self.learning_rates[name] = optimizer.lr

    def to_event(self, step: int, seconds: float, waited: float) -> StepDone:
        """The event that reports the step."""
        norms, rates = self.gradient_norms, self.learning_rates
        return StepDone(step, self.losses, norms, rates, seconds, waited)


def training_step(state: TrainState, task: TrainingTask, batch: Batch) -> StepMetrics:
    """Update the discriminators, then the separator, then the moving average of its weights.

    A batch may be split into parts (``loop.accumulation_steps``) whose gradients add up; that is
    the gradient of the whole batch for losses that are means over its items, as nearly all are.

    Raises:
        NumericalError: a gradient is not finite; the separator was not changed.
    """
    metrics, recipe, progress = StepMetrics(), task.recipe, state.progress
    factor = lr_factor(progress.step, recipe.schedule, progress.lr_reductions)
    for optimizer in state.optimizers.values():
        optimizer.set_lr_factor(factor)
    is_adversarial = progress.step >= recipe.adversary.start_step
    discriminator = state.discriminator_optimizer if is_adversarial else None
    parts = [*batch.split(recipe.loop.accumulation_steps)]
    try:
        pairs: Sequence[Pair] = ()
        if discriminator:
            pairs = _discriminator_step(discriminator, state.optimizer, task, parts, metrics)
        _separator_step(discriminator, state.optimizer, task, parts, pairs, metrics)
    except NumericalError as error:
        raise diverged(f"{error} in step {progress.step + 1}", recipe) from error
    state.separator.after_optimizer_step()
    state.ema.update(state.separator)
    progress.step += 1
    return metrics


def _discriminator_step(
    discriminator: NetworkOptimizer,
    separator: NetworkOptimizer,
    task: TrainingTask,
    parts: Sequence[Batch],
    metrics: StepMetrics,
) -> Sequence[Pair]:
    """Update the discriminators; returns the separator's estimates if they can be used again.

    With several parts they cannot: there is memory for the graph of one part only.
    """
    with nullcontext() if len(parts) == 1 else _without_statistics(separator.network):
        pairs = [task.forward(separator, part) for part in parts]
    discriminator.zero_grad()
    for index, (estimate, target) in enumerate(pairs):
        # Spectral norms take one power iteration a step, however many parts there are.
        discriminator.network.train(index == 0)
        with task.autocast(estimate):
            pair = (estimate.detach(), target)
            loss = task.adversary.discriminator_loss(discriminator.module, pair)
        discriminator.backward(loss / len(parts))
        metrics.add_losses({DISCRIMINATOR_LOSS: loss}, 1 / len(parts))
    metrics.add_step("discriminator", discriminator, discriminator.step())
    return pairs if len(parts) == 1 else ()


def _separator_step(
    discriminator: NetworkOptimizer | None,
    separator: NetworkOptimizer,
    task: TrainingTask,
    parts: Sequence[Batch],
    pairs: Sequence[Pair],
    metrics: StepMetrics,
) -> None:
    """Update the separator; ``pairs`` are its estimates and targets if they exist already."""
    separator.zero_grad()
    for index, part in enumerate(parts):
        pair = pairs[index] if pairs else task.forward(separator, part)
        losses = task.objective(pair) | task.auxiliary_losses(separator)
        if discriminator:
            with discriminator.frozen() as frozen, task.autocast(pair[0]):
                losses |= task.adversary.generator_losses(frozen, pair)
        total = task.weighted_sum(losses)
        separator.backward(total / len(parts))
        metrics.add_losses({**losses, "total": total}, 1 / len(parts))
    metrics.add_step("model", separator, separator.step())


@contextmanager
def _without_statistics(network: nn.Module) -> Iterator[None]:
    """Run a network in training mode without gradients and without updating statistics."""
    norms = [part for part in network.modules() if isinstance(part, BATCH_NORMS)]
    try:
        for norm in norms:
            norm.track_running_stats = False
        with torch.no_grad():
            yield
    finally:
        for norm in norms:
            norm.track_running_stats = True


def diverged(problem: str, recipe: Recipe) -> NumericalError:
    """The error of a run that diverged, with the options that halve its learning rates."""
    rates = {"optimizer.lr": recipe.optimizer.lr}
    if recipe.optimizer.name == "muon":
        rates["optimizer.muon_lr"] = recipe.optimizer.muon_lr
    if recipe.adversary.discriminators:
        rates["adversary.optimizer.lr"] = recipe.adversary.optimizer.lr
    halves = " ".join(f"--set {key}={value / 2:g}" for key, value in rates.items())
    return NumericalError(
        f"{problem}. Run it again with smaller learning rates: {halves}, "
        "and with --resume if the run has saved a checkpoint"
    )
