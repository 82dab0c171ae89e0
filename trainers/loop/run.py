"""One run from recipe to weights."""

from __future__ import annotations

import json
from pathlib import Path

from model_zoo import weights
from model_zoo.errors import OutputError
from model_zoo.files import staged
from trainers.config import Recipe
from trainers.data.opening import open_data
from trainers.loop.checkpoint import LAST, load_checkpoint
from trainers.loop.events import Report
from trainers.loop.state import TrainState
from trainers.loop.train import train
from trainers.loop.worker import Worker

BEST = "best.safetensors"


def run(
    recipe: Recipe,
    data: Path,
    validation: tuple[Path, ...],
    folder: Path,
    worker: Worker,
    report: Report,
    *,
    resume: bool = False,
    origin: str = "",
) -> Path:
    """Train by ``recipe`` and return the file with the best averaged weights.

    Without validation tracks the last averaged weights are the best.

    Args:
        recipe: what to do.
        data: folder with the recordings that the recipe names.
        validation: folders with ``mixture.*`` and one file per stem.
        folder: where checkpoints and weights go.
        worker: where the network lives.
        report: told of every step and every validation.
        resume: go on from the checkpoint in ``folder``.
        origin: model or weights file to start from; a resumed run has its own.

    Raises:
        OutputError: ``folder`` already holds a run and ``resume`` is off, or cannot be written.
        CheckpointError: nothing to resume from, or it or ``origin`` does not fit the recipe.
        ConfigError: the network has other stems than the data.
        DecodeError: a recording cannot be read.
        NumericalError: the run diverged.
        KeyboardInterrupt: it was interrupted; the checkpoint in ``folder`` can be resumed.
    """
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder} is a file. Type --output with the name of a folder")
    if not resume and (folder / LAST).exists():
        raise OutputError(f"{folder} already holds a run. Add --resume or name another --output.")
    state = TrainState.fresh(recipe, worker.device, "" if resume else origin)
    if resume:
        load_checkpoint(state, folder)
    found = open_data(recipe, data, validation, state.model.stems, state.model.sample_rate)
    _write_recipe(recipe, folder)
    if recipe.loop.compile:
        _compile_blocks(state)
    target = folder / BEST

    def keep(state: TrainState) -> None:
        metadata = {"residual": recipe.model.residual}
        weights.save(target, state.average.model, metadata, half=True)

    train(state, recipe, found, folder, worker, report, keep)
    if not found.validation:
        keep(state)
    return target


def _write_recipe(recipe: Recipe, folder: Path) -> None:
    with staged(folder / "recipe.json") as temporary:
        temporary.write_text(json.dumps(recipe.to_dict(), indent=2), "utf-8")


def _compile_blocks(state: TrainState) -> None:
    """Compile repeated parts one by one: blocks of one kind share the compiled code."""
    for child in state.model.children():
        for block in child.children():
            block.compile(dynamic=False)
