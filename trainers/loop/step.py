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
from trainers.loop.optimizer import Learner
from trainers.loop.state import TrainState, factor
from trainers.losses.adversarial import Adversary
from trainers.objectives import Objective, objective_of
from trainers.objectives.base import Batch, Pair

ADVERSARY_LOSS = "discriminator"
"""Name of the loss that discriminators minimise; its weight is 1."""

GATHERING = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
"""Parts that keep statistics of all that they hear in training."""


@dataclass(frozen=True)
class Task:
    """What is learned, apart from the state of those who learn.

    Attributes:
        objective: makes exercises and gives the losses of what comes out.
        adversary: gives the losses that come with discriminators.
        weights: of the network's losses, by name.
        recipe: numbers of the loop.
        precision: of matrix products.
    """

    objective: Objective
    adversary: Adversary
    weights: Mapping[str, float]
    recipe: Recipe
    precision: Precision

    @classmethod
    def of(cls, recipe: Recipe, separator: Separator, precision: Precision) -> Task:
        """The task of a recipe.

        Raises:
            UnknownNameError: there is no such loss.
            ConfigError: the network cannot learn the objective, a loss has no such argument, or
                there is no such stem.
        """
        objective, adversary = objective_of(recipe, separator), Adversary(recipe.adversary.kind)
        return cls(objective, adversary, recipe.losses, recipe, precision)

    def estimate(self, learner: Learner, batch: Batch) -> Pair:
        """What the network makes of a batch and what was wanted, ready to be compared."""
        exercise = self.objective.exercise(self._separator(learner), batch)
        with self.autocast(batch.mixture):
            made = learner.wrapped(exercise.given)
        return exercise.pair(made)

    def autocast(self, wave: Tensor) -> AbstractContextManager[None]:
        """Compute in the precision of the task, where ``wave`` lies."""
        return self.precision.autocast(wave.device)

    def penalties(self, learner: Learner) -> dict[str, Tensor]:
        """What the last estimate found wrong with the network itself, as far as that counts."""
        found = self._separator(learner).penalties()
        return {name: penalty for name, penalty in found.items() if name in self.weights}

    def _separator(self, learner: Learner) -> Separator:
        assert isinstance(learner.network, Separator), "nothing else is trained by it"
        return learner.network

    def total(self, named: Mapping[str, Tensor]) -> Tensor:
        """The weighted sum of named losses; parts of one have no weight of their own."""
        weighted = [self.weights[name] * named[name] for name in self.weights if name in named]
        return torch.stack(weighted).sum()


@dataclass
class Tally:
    """What one step found.

    Attributes:
        norms: of the gradients, before clipping.
        rates: learning rates.
    """

    norms: dict[str, float] = field(default_factory=dict)
    rates: dict[str, float] = field(default_factory=dict)
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

    def moved(self, name: str, learner: Learner) -> None:
        """Move the weights of ``learner`` and note how."""
        self.norms[name] = learner.move()
        self.rates[name] = learner.learning_rate


def training_step(state: TrainState, task: Task, batch: Batch) -> Tally:
    """Let the discriminators learn from a batch, then the network, then average its weights.

    A batch that is computed in parts gives the gradient of the whole where losses are means over
    items, as nearly all are.

    Raises:
        NumericalError: a gradient is not finite; the network was not moved.
    """
    tally, recipe, progress = Tally(), task.recipe, state.progress
    pace = factor(progress.step, recipe.schedule, progress.falls)
    for learner in state.learners.values():
        learner.set_rates(pace)
    judge = state.discriminator if progress.step >= recipe.adversary.start else None
    parts = [*batch.split(recipe.loop.accumulate)]
    try:
        pairs = _teach(judge, state.model, task, parts, tally) if judge else ()
        _learn(judge, state.model, task, parts, pairs, tally)
    except NumericalError as error:
        raise diverged(f"{error} in step {progress.step + 1}", recipe) from error
    state.separator.after_step()
    state.average.update(state.separator)
    progress.step += 1
    return tally


def _teach(
    judge: Learner, model: Learner, task: Task, parts: Sequence[Batch], tally: Tally
) -> Sequence[Pair]:
    """Let the discriminators learn; returns the estimates if the network can learn from them.

    It cannot if there are several parts, since the memory of one is all there is.
    """
    with nullcontext() if len(parts) == 1 else _unheard(model.network):
        pairs = [task.estimate(model, part) for part in parts]
    judge.forget_gradients()
    for index, (made, true) in enumerate(pairs):
        # Spectral norms take one power iteration a step, in however many parts.
        judge.network.train(index == 0)
        with task.autocast(made):
            loss = task.adversary.discriminator_loss(judge.wrapped, (made.detach(), true))
        judge.add_gradient(loss / len(parts))
        tally.add({ADVERSARY_LOSS: loss}, 1 / len(parts))
    tally.moved("discriminator", judge)
    return pairs if len(parts) == 1 else ()


def _learn(
    judge: Learner | None,
    model: Learner,
    task: Task,
    parts: Sequence[Batch],
    pairs: Sequence[Pair],
    tally: Tally,
) -> None:
    """Let the network learn, from estimates that are there or are made now."""
    model.forget_gradients()
    for index, part in enumerate(parts):
        pair = pairs[index] if pairs else task.estimate(model, part)
        named = task.objective(pair) | task.penalties(model)
        if judge:
            with judge.frozen() as frozen, task.autocast(pair[0]):
                named |= task.adversary.model_losses(frozen, pair)
        total = task.total(named)
        model.add_gradient(total / len(parts))
        tally.add({**named, "total": total}, 1 / len(parts))
    tally.moved("model", model)


@contextmanager
def _unheard(network: nn.Module) -> Iterator[None]:
    """Compute as in training, and gather nothing: neither gradients nor statistics."""
    norms = [part for part in network.modules() if isinstance(part, GATHERING)]
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
    keys = {"optimiser.lr": recipe.optimiser.lr}
    if recipe.optimiser.name == "muon":
        keys["optimiser.muon_lr"] = recipe.optimiser.muon_lr
    if recipe.adversary.discriminators:
        keys["adversary.optimiser.lr"] = recipe.adversary.optimiser.lr
    halves = " ".join(f"--set {key}={value / 2:g}" for key, value in keys.items())
    return NumericalError(
        f"{found}. Type the same with smaller steps: {halves}, "
        "and with --resume if the run has saved a checkpoint"
    )
