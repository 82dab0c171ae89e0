"""From a recipe and a folder to clips and validation songs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from model_zoo.errors import ConfigError
from trainers.config import Recipe
from trainers.data.clips import ClipPlan, Clips
from trainers.data.validation import ValidationSong
from trainers.data.voices import VoiceMixes


@dataclass(frozen=True)
class TrainingData:
    """What a run learns from and is judged by.

    Attributes:
        clips: to train on.
        validation: songs that are never trained on.
        songs: how many there are to train on.
        summary: what was found, a line each, for people.
    """

    clips: Clips
    validation: tuple[ValidationSong, ...]
    songs: int
    summary: tuple[str, ...]


def open_data(
    recipe: Recipe,
    folder: Path,
    validation: tuple[Path, ...],
    stems: tuple[str, ...],
    sample_rate: int,
    world_size: int = 1,
) -> TrainingData:
    """Look at the data before anything is trained.

    Args:
        recipe: what is learned.
        folder: with the data.
        validation: folders with ``mixture.*`` and one file per stem.
        stems: those of the network.
        sample_rate: that of the network, in Hz.
        world_size: workers that share the clips.

    Raises:
        ConfigError: the network has other stems than the data.
        DecodeError: a recording cannot be read.
    """
    if stems != VoiceMixes.stems:
        raise ConfigError(
            "model.options.stems",
            [f"the mixes have the stem vocals, found {', '.join(stems)}. Type [vocals]"],
        )
    plan = ClipPlan.of(recipe, sample_rate, world_size)
    clips = VoiceMixes(recipe.data.voices, folder, plan, sample_rate, recipe.seed)
    songs = tuple(ValidationSong.of_folder(path, stems, sample_rate) for path in validation)
    return TrainingData(clips, songs, len(clips.vocals.recordings), ())
