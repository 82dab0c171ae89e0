"""One run from recipe to weights."""

from __future__ import annotations

import json
from pathlib import Path

from model_zoo import weights
from model_zoo.errors import OutputError
from trainers.config import Recipe
from trainers.data.mixing import RandomMixes
from trainers.loop.checkpoint import LAST, load_checkpoint
from trainers.loop.state import TrainState
from trainers.loop.train import Report, train
from trainers.loop.validation import open_track
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
) -> Path:
    """Train by ``recipe`` and return the file with the best averaged weights.

    Without validation tracks the last averaged weights are the best.

    Raises:
        OutputError: ``folder`` already holds a run and ``resume`` is off.
        CheckpointError: nothing to resume from, or it does not fit the recipe.
        DecodeError: a recording cannot be read.
    """
    if not resume and (folder / LAST).exists():
        raise OutputError(f"{folder} already holds a run. Add --resume or name another --output.")
    state = TrainState.fresh(recipe, worker.device)
    if resume:
        load_checkpoint(state, folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "recipe.json").write_text(json.dumps(recipe.to_dict(), indent=2), "utf-8")
    mixes = RandomMixes(recipe.data, data, state.model.sample_rate, recipe.seed)
    tracks = [open_track(path, state.model.stems, state.model.sample_rate) for path in validation]
    if recipe.loop.compile:
        _compile_blocks(state)
    target = folder / BEST

    def keep(state: TrainState) -> None:
        metadata = {"residual": recipe.model.residual}
        weights.save(target, state.average.model, metadata, half=True)

    train(state, recipe, mixes, tracks, folder, worker, report, keep)
    if not tracks:
        keep(state)
    return target


def _compile_blocks(state: TrainState) -> None:
    """Compile repeated parts one by one: blocks of one kind share the compiled code."""
    for child in state.model.children():
        for block in child.children():
            block.compile(dynamic=False)
