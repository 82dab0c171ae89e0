"""What a run needs before it may begin."""

from __future__ import annotations

import os
from pathlib import Path

from model_zoo.errors import ConfigError, OutputError, UsageError
from model_zoo.whereabouts import LAST
from trainers.config import Recipe
from trainers.data.opening import TrainingData
from trainers.loop.state import TrainState
from trainers.objectives import Measure


def check_folder(folder: Path, resume: bool) -> None:
    """Refuse what cannot be the folder of a run.

    Raises:
        OutputError: it already holds a run and ``resume`` is off, or cannot be written.
    """
    place = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not place.is_dir():
        raise OutputError(f"{place} is a file. Type --output with the name of a folder")
    if not os.access(place, os.W_OK | os.X_OK):
        raise OutputError(f"{place} may not be written. Type --output with a folder that may")
    if not resume and (folder / LAST).exists():
        raise OutputError(f"{folder} already holds a run. Add --resume or name another --output.")


def check_validation(
    state: TrainState, found: TrainingData, folder: Path, measure: Measure
) -> None:
    """Refuse to go on unjudged: the best weights so far would be replaced by any.

    Raises:
        UsageError: there are no songs now.
    """
    progress = state.progress
    if progress.best is not None and not found.validation:
        raise UsageError(
            f"{folder} was validated so far ({progress.best:.2f} {measure.unit} "
            f"{measure.word} after step {progress.best_step}), and now there are no songs for it. "
            "Type --data and --validation as before"
        )


def check_schedule(recipe: Recipe, found: TrainingData) -> None:
    """Refuse schedules that wait for validations where there are none.

    Raises:
        ConfigError: with what to type.
    """
    waiting = {
        "schedule.shape=plateau": recipe.schedule.shape == "plateau",
        f"schedule.stop_after={recipe.schedule.stop_after}": recipe.schedule.stop_after > 0,
    }
    named = [name for name, waits in waiting.items() if waits]
    if named and not found.validation:
        share = "" if recipe.data.held_out else " or --set data.held_out=0.1"
        advice = f"there are no validation songs. Type --validation DIR{share}"
        raise ConfigError(" and ".join(named), [advice])
