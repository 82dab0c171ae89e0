"""Runs, batches and tracks for tests of the training loop."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import soundfile
import torch

from stemcli.engine.device import Precision, resolve_precision
from stemcli.engine.events import Event
from tests.trainers.commands import RATE
from trainers.config import Recipe, VoicesRecipe
from trainers.data.clips import ClipPlan
from trainers.data.multitrack import ValidationTrack
from trainers.data.tracks import Source, Track
from trainers.data.voices import VoiceMixes
from trainers.loop.events import StepDone
from trainers.loop.execution import SingleDevice
from trainers.loop.state import TrainState
from trainers.loop.step import TrainingTask
from trainers.loop.trainer import train
from trainers.objectives.base import Batch

CPU = SingleDevice(torch.device("cpu"))
FULL = Precision("fp32", "asked for")
HELD_OUT = 10**9
"""Number of a mix that training never draws."""


def run_steps(
    recipe: Recipe,
    steps: int,
    recordings: Path,
    folder: Path,
    *,
    resume: bool = False,
    origin: str = "",
) -> list[StepDone]:
    recipe = replace(recipe, schedule=replace(recipe.schedule, steps=steps))
    events: list[Event] = []
    train(recipe, recordings, (), folder, CPU, events.append, resume=resume, origin=origin)
    return [event for event in events if isinstance(event, StepDone)]


def batch(recordings: Path, recipe: Recipe, numbers: range) -> Batch:
    clips = voices(recipe, recordings, 4)
    pairs = [clips[number] for number in numbers]
    return Batch(*(torch.stack(part) for part in zip(*pairs, strict=True)))


def fresh(recipe: Recipe) -> tuple[TrainState, TrainingTask]:
    """The state of a new run, before it draws any data, and its task."""
    state = TrainState.fresh(recipe, CPU)
    precision = resolve_precision(recipe.loop.precision, CPU.device)
    return state, TrainingTask.of(recipe, state.separator, precision)


def voices(recipe: Recipe, recordings: Path, seed: int = 9) -> VoiceMixes:
    plan = ClipPlan.of(recipe, RATE)
    return VoiceMixes(recipe.data.voices, recordings, plan, RATE, seed)


def make_track(mixes: VoiceMixes, folder: Path) -> Path:
    """A validation track from a mix that training never draws."""
    folder.mkdir(exist_ok=True)
    mixture, stems = mixes[HELD_OUT]
    soundfile.write(folder / "mixture.wav", mixture.T.numpy(), RATE, "FLOAT")
    soundfile.write(folder / "vocals.wav", stems[0].T.numpy(), RATE, "FLOAT")
    return folder


def validation_song(folder: Path, stems: tuple[str, ...]) -> ValidationTrack:
    """The validation track in a folder that :func:`make_track` wrote."""
    sources = {stem: Source(folder / f"{stem}.wav") for stem in stems}
    song = Track(folder.name, sources, Source(folder / "mixture.wav"))
    return ValidationTrack(folder.name, song, stems, RATE)


def with_voices(recipe: Recipe, values: dict[str, object]) -> Recipe:
    """The recipe with these values for ``data.voices``."""
    return replace(recipe, data=replace(recipe.data, voices=VoicesRecipe.from_dict(values)))
