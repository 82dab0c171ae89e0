"""What others use of a run: weights, discriminators, and a summary."""

from __future__ import annotations

import json
from pathlib import Path

from model_zoo import weights
from model_zoo.adoption import BEST, SUMMARY, Summary
from model_zoo.discriminator_weights import DISCRIMINATOR, save_discriminator
from model_zoo.files import staged
from trainers.config import Recipe
from trainers.data.opening import TrainingData
from trainers.loop.state import TrainState, ensemble_spec


class Results:
    """Writes what others use of a run: weights, discriminators, and a summary.

    Args:
        recipe: of the run.
        found: its data.
        data_name: what the data are called.
        folder: where to.
    """

    def __init__(self, recipe: Recipe, found: TrainingData, data_name: str, folder: Path) -> None:
        self.recipe, self.found, self.data_name, self.folder = recipe, found, data_name, folder

    def keep(self, state: TrainState, sdr: dict[str, float]) -> None:
        """Write the averaged weights, which are the best so far.

        Raises:
            OutputError: the folder cannot be written.
        """
        metadata = {"residual": self.recipe.model.residual}
        weights.save(self.folder / BEST, state.average.model, metadata, half=True)
        if state.ensemble:
            spec = ensemble_spec(self.recipe, state.separator.sample_rate)
            save_discriminator(self.folder / DISCRIMINATOR, state.ensemble, spec)
        summary = Summary(
            recipe=self.recipe.name,
            step=state.progress.step,
            best_mean=sum(sdr.values()) / len(sdr) if sdr else None,
            sdr=sdr,
            songs=self.found.songs,
            validation_songs=len(self.found.validation),
            data=self.data_name,
        )
        write_json(self.folder / SUMMARY, summary.to_dict())


def write_json(path: Path, values: dict[str, object]) -> None:
    """Write plain values, complete or not at all.

    Raises:
        OutputError: the file cannot be written.
    """
    with staged(path) as temporary:
        temporary.write_text(json.dumps(values, indent=2), "utf-8")
