"""What others use of a run: weights, discriminators, and a summary."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import Tensor

from model_zoo import registry, weights
from model_zoo.adoption import Summary
from model_zoo.discriminator_weights import DISCRIMINATOR, save_discriminator
from model_zoo.files import staged
from model_zoo.separator import Separator
from model_zoo.whereabouts import BEST, SUMMARY
from trainers.data.opening import TrainingData
from trainers.loop.state import TrainState, ensemble_spec
from trainers.loop.steps import Task
from trainers.loop.worker import Worker


class Results:
    """Writes what others use of a run: weights, discriminators, and a summary.

    Args:
        task: of the run.
        found: its data.
        data_name: what the data are called.
        folder: where to.
        worker: where the networks live; the first writes.
    """

    def __init__(
        self, task: Task, found: TrainingData, data_name: str, folder: Path, worker: Worker
    ) -> None:
        self.recipe, self.measure = task.recipe, task.objective.measure
        self.found, self.data_name = found, data_name
        self.folder, self.worker = folder, worker

    def keep(self, state: TrainState, scores: dict[str, float]) -> None:
        """Write the averaged weights, which are the best so far.

        All workers call it at the same point.

        Raises:
            OutputError: the folder cannot be written.
        """
        tensors = self.worker.gather(state.average.model.state_dict().items())
        if self.worker.rank > 0:
            return
        metadata = {
            "residual": self.recipe.model.residual,
            "objective": self.recipe.objective.name,
        }
        weights.save(self.folder / BEST, self._network(tensors), metadata, half=True)
        if state.ensemble:
            spec = ensemble_spec(self.recipe, state.separator.sample_rate)
            save_discriminator(self.folder / DISCRIMINATOR, state.ensemble, spec)
        summary = Summary(
            recipe=self.recipe.name,
            step=state.progress.step,
            best_mean=sum(scores.values()) / len(scores) if scores else None,
            sdr=scores,
            songs=self.found.songs,
            validation_songs=len(self.found.validation),
            data=self.data_name,
            score=self.measure.word,
            definition=self.measure.definition,
        )
        write_json(self.folder / SUMMARY, summary.to_dict())

    def _network(self, tensors: dict[str, Tensor]) -> Separator:
        """The network of the recipe with these very tensors, in no memory of its own."""
        with torch.device("meta"):
            network = registry.build(self.recipe.model.architecture, self.recipe.model.options)
        network.load_state_dict(tensors, assign=True)
        return network


def write_json(path: Path, values: dict[str, object]) -> None:
    """Write plain values, complete or not at all.

    Raises:
        OutputError: the file cannot be written.
    """
    with staged(path) as temporary:
        temporary.write_text(json.dumps(values, indent=2), "utf-8")
