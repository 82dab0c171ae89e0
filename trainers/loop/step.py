"""One optimizer step: the story of how a batch changes the weights."""

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
from trainers.loop.optimizer import NetworkOptimizer
from trainers.loop.state import TrainState, lr_factor
from trainers.losses.adversarial import AdversarialLoss
from trainers.objectives import Objective, objective_of
from trainers.objectives.base import Batch, Pair

DISCRIMINATOR_LOSS = "discriminator"
"""Name of the loss that discriminators minimize; its weight is 1."""

BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
"""Parts that keep statistics of all that they hear in training."""


@dataclass(frozen=True)
class TrainingTask:
    """What is learned, apart from the state of those who learn.

    Attributes:
        objective: makes exercises and gives the losses of what comes out.
        adversary: gives the losses that come with discriminators.
        weights: of the network's losses, by name.
        recipe: numbers of the loop.
        precision: of matrix products.
    """

    objective: Objective
    adversary: AdversarialLoss
    weights: Mapping[str, float]
    recipe: Recipe
    precision: Precision

    @classmethod
    def of(cls, recipe: Recipe, separator: Separator, precision: Precision) -> TrainingTask:
        """The task of a recipe.

        Raises:
            UnknownNameError: there is no such loss.
            ConfigError: the network cannot learn the objective, a loss has no such argument, or
                there is no such stem.
        """
        objective, adversary = (
            objective_of(recipe, separator),
            AdversarialLoss(recipe.adversary.loss),
        )
        return cls(objective, adversary, recipe.losses, recipe, precision)

    def estimate(self, learner: NetworkOptimizer, batch: Batch) -> Pair:
        """What the network makes of a batch and what was wanted, ready to be compared."""
        exercise = self.objective.make_example(self._separator(learner), batch)
        with self.autocast(batch.mixture):
            made = learner.module(exercise.inputs)
        return exercise.pair(made)

    def autocast(self, wave: Tensor) -> AbstractContextManager[None]:
        """Compute in the precision of the task, where ``wave`` lies."""
        return self.precision.autocast(wave.device)

    def auxiliary_losses(self, learner: NetworkOptimizer) -> dict[str, Tensor]:
        """What the last estimate found wrong with the network itself, as far as that counts."""
        found = self._separator(learner).auxiliary_losses()
        return {name: penalty for name, penalty in found.items() if name in self.weights}

    def _separator(self, learner: NetworkOptimizer) -> Separator:
        assert isinstance(learner.network, Separator), "nothing else is trained by it"
        return learner.network

    def weighted_sum(self, named: Mapping[str, Tensor]) -> Tensor:
        """The weighted sum of named losses; parts of one have no weight of their own."""
        weighted = [self.weights[name] * named[name] for name in self.weights if name in named]
        return torch.stack(weighted).sum()


@dataclass
class StepMetrics:
    """What one step found.

    Attributes:
        gradient_norms: of the gradients, before clipping.
        learning_rates: learning rates.
    """

    gradient_norms: dict[str, float] = field(default_factory=dict)
    learning_rates: dict[str, float] = field(default_factory=dict)
    _losses: dict[str, Tensor] = field(default_factory=dict)

    @property
    def losses(self) -> dict[str, float]:
        """Means over the parts of the batch."""
        # One transfer: every one of them waits for all that a GPU has to do.
        values = torch.stack([*self._losses.values()]).tolist()
        return dict(zip(self._losses, values, strict=True))

    def add(self, named: Mapping[str, Tensor], share: float) -> None:
        """Take in the losses of a part."""
        for name, loss in named.items():
            part = loss.detach() * share
            self._losses[name] = self._losses[name] + part if name in self._losses else part

    def step(self, name: str, learner: NetworkOptimizer) -> None:
        """Move the weights of ``learner`` and note how."""
        self.gradient_norms[name] = learner.step()
        self.learning_rates[name] = learner.lr


def training_step(state: TrainState, task: TrainingTask, batch: Batch) -> StepMetrics:
    """Let the discriminators learn from a batch, then the network, then average its weights.

    A batch that is computed in parts gives the gradient of the whole where losses are means over
    items, as nearly all are.

    Raises:
        NumericalError: a gradient is not finite; the network was not moved.
    """
    tally, recipe, progress = StepMetrics(), task.recipe, state.progress
    pace = lr_factor(progress.step, recipe.schedule, progress.lr_reductions)
    for learner in state.optimizers.values():
        learner.set_lr_factor(pace)
    judge = state.discriminator_optimizer if progress.step >= recipe.adversary.start_step else None
    parts = [*batch.split(recipe.loop.accumulation_steps)]
    try:
        pairs = _discriminator_step(judge, state.optimizer, task, parts, tally) if judge else ()
        _separator_step(judge, state.optimizer, task, parts, pairs, tally)
    except NumericalError as error:
        raise diverged(f"{error} in step {progress.step + 1}", recipe) from error
    state.separator.after_optimizer_step()
    state.ema.update(state.separator)
    progress.step += 1
    return tally


def _discriminator_step(
    judge: NetworkOptimizer,
    model: NetworkOptimizer,
    task: TrainingTask,
    parts: Sequence[Batch],
    tally: StepMetrics,
) -> Sequence[Pair]:
    """Let the discriminators learn; returns the estimates if the network can learn from them.

    It cannot if there are several parts, since the memory of one is all there is.
    """
    with nullcontext() if len(parts) == 1 else _without_statistics(model.network):
        pairs = [task.estimate(model, part) for part in parts]
    judge.zero_grad()
    for index, (made, true) in enumerate(pairs):
        # Spectral norms take one power iteration a step, in however many parts.
        judge.network.train(index == 0)
        with task.autocast(made):
            loss = task.adversary.discriminator_loss(judge.module, (made.detach(), true))
        judge.backward(loss / len(parts))
        tally.add({DISCRIMINATOR_LOSS: loss}, 1 / len(parts))
    tally.step("discriminator", judge)
    return pairs if len(parts) == 1 else ()


def _separator_step(
    judge: NetworkOptimizer | None,
    model: NetworkOptimizer,
    task: TrainingTask,
    parts: Sequence[Batch],
    pairs: Sequence[Pair],
    tally: StepMetrics,
) -> None:
    """Let the network learn, from estimates that are there or are made now."""
    model.zero_grad()
    for index, part in enumerate(parts):
        pair = pairs[index] if pairs else task.estimate(model, part)
        named = task.objective(pair) | task.auxiliary_losses(model)
        if judge:
            with judge.frozen() as frozen, task.autocast(pair[0]):
                named |= task.adversary.generator_losses(frozen, pair)
        total = task.weighted_sum(named)
        model.backward(total / len(parts))
        tally.add({**named, "total": total}, 1 / len(parts))
    tally.step("model", model)


@contextmanager
def _without_statistics(network: nn.Module) -> Iterator[None]:
    """Compute as in training, and gather nothing: neither gradients nor statistics."""
    norms = [part for part in network.modules() if isinstance(part, BATCH_NORMS)]
    try:
        for norm in norms:
            norm.track_running_stats = False
        with torch.no_grad():
            yield
    finally:
        for norm in norms:
            norm.track_running_stats = True


def diverged(found: str, recipe: Recipe) -> NumericalError:
    """What was found of a run that diverged, and what to type."""
    keys = {"optimizer.lr": recipe.optimizer.lr}
    if recipe.optimizer.name == "muon":
        keys["optimizer.muon_lr"] = recipe.optimizer.muon_lr
    if recipe.adversary.discriminators:
        keys["adversary.optimizer.lr"] = recipe.adversary.optimizer.lr
    halves = " ".join(f"--set {key}={value / 2:g}" for key, value in keys.items())
    return NumericalError(
        f"{found}. Run it again with smaller steps: {halves}, "
        "and with --resume if the run has saved a checkpoint"
    )
