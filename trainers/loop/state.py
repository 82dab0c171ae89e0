"""Everything of a run that must survive a restart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from model_zoo import registry
from model_zoo.discriminators.ensemble import DiscriminatorEnsemble, EnsembleSpec
from model_zoo.errors import ConfigError
from model_zoo.separator import Separator
from stemcli.engine.network import is_out_of_memory
from trainers.config import Recipe
from trainers.loop.ema import WeightAverage
from trainers.loop.learner import Learner
from trainers.loop.origin import start_from
from trainers.loop.progress import Progress
from trainers.loop.worker import Worker
from trainers.objectives import OBJECTIVES


@dataclass
class TrainState:
    """What learns, and how far it has come.

    Attributes:
        separator: the network that is trained.
        model: the same with its optimisers.
        average: its averaged weights.
        ensemble: its adversary; None without one.
        discriminator: the same with its optimiser.
        progress: step, best score, and the counters of schedules.
    """

    separator: Separator
    model: Learner
    average: WeightAverage
    ensemble: DiscriminatorEnsemble | None
    discriminator: Learner | None
    progress: Progress

    @classmethod
    def fresh(cls, recipe: Recipe, worker: Worker, origin: str = "") -> TrainState:
        """A new run: seeded weights, or those of the model called ``origin``.

        Raises:
            UnknownNameError: there is no such architecture or model.
            ConfigError: options of the network or of the discriminators contradict each other.
            CheckpointError: ``origin`` cannot be used or is another network.
        """
        torch.manual_seed(recipe.seed)
        separator = registry.build(recipe.model.architecture, recipe.model.options)
        if origin:
            start_from(separator, origin)
        average = WeightAverage(separator, recipe.loop.ema)
        for network in (separator, average.model):
            worker.place(network)
        ensemble = _ensemble(recipe, separator.sample_rate, worker)
        judged = recipe.adversary.optimiser
        half = recipe.loop.precision == "fp16"
        view = OBJECTIVES[recipe.objective.name].learner(separator)
        return cls(
            separator,
            Learner("network", separator, recipe.optimiser, half=half, view=view),
            average,
            ensemble,
            Learner("discriminators", ensemble, judged, half=half) if ensemble else None,
            Progress(),
        )

    @property
    def learners(self) -> dict[str, Learner]:
        """The networks that learn, by the names of logs and checkpoints."""
        pair = {"model": self.model, "discriminator": self.discriminator}
        return {name: learner for name, learner in pair.items() if learner}

    def wrap(self, worker: Worker) -> None:
        """Let gradients be means over all workers, each network on its own."""
        for learner in self.learners.values():
            learner.wrapped = worker.wrap(learner.wrapped)


def draw_apart(seed: int, rank: int, step: int) -> None:
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


def _ensemble(recipe: Recipe, sample_rate: int, worker: Worker) -> DiscriminatorEnsemble | None:
    if not recipe.adversary.discriminators:
        return None
    spec = ensemble_spec(recipe, sample_rate)
    try:
        return spec.build().to(worker.device)
    except (TypeError, ValueError, ArithmeticError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and is_out_of_memory(error):
            raise
        raise ConfigError("adversary.options", [f"they cannot be used: {error}"]) from error
