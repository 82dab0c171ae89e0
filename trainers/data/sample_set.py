"""Songs made by formula that are there when no others are: to see a training work at all."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from uuid import uuid4

import torch

from model_zoo import registry
from model_zoo.errors import OutputError
from trainers.config import Recipe
from trainers.data.cache import cache_folder
from trainers.data.synthetic import render_songs

NAME = "songs-by-formula"
SONGS = 8
SECONDS = 20.0

EDITION = 1
"""Another number wherever :mod:`~trainers.data.synthetic` makes other sound of the same seed."""


def sample_set(sample_rate: int) -> Path:
    """A folder with songs in the layout ``tracks``, made now unless it was made before.

    Every machine makes its own, and all make the same. Processes that make it at once do no harm:
    the first that is done gives it its name.

    Args:
        sample_rate: in Hz, that of the network which learns from it.

    Raises:
        OutputError: the cache cannot be written.
    """
    folder = cache_folder().with_name("sample-sets") / f"{NAME}-{EDITION}-{sample_rate}"
    if folder.is_dir():
        return folder
    made = folder.with_name(f".{folder.name}.{uuid4().hex}.part")
    try:
        render_songs(made, SONGS, SECONDS, sample_rate)
        _name(made, folder)
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return folder


def songs_for(recipe: Recipe) -> Path:
    """The songs at the sample rate of the network that a recipe trains.

    Raises:
        UnknownNameError: there is no such architecture.
        ConfigError: its options contradict each other.
        OutputError: the cache cannot be written.
    """
    with torch.device("meta"):
        model = registry.build(recipe.model.architecture, recipe.model.options)
    return sample_set(model.sample_rate)


def is_sample_set(name: str) -> bool:
    """Whether a folder of this name holds such songs."""
    return name.startswith(f"{NAME}-")


def _name(made: Path, folder: Path) -> None:
    try:
        os.rename(made, folder)
    except OSError as error:
        if not folder.is_dir():  # else another process was quicker
            raise OutputError(f"Cannot write {folder} ({error.strerror})") from error
