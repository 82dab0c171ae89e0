"""Opens training data: clips and validation songs for a recipe and a folder."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from model_zoo import registry
from model_zoo.errors import ConfigError, DataError
from model_zoo.introspection import build_on_meta
from stemcli.printable import counted
from trainers.config import Recipe
from trainers.data.clips import ClipPlan, Clips
from trainers.data.inspection import silent_everywhere, silent_to_validate
from trainers.data.layouts import noun_of
from trainers.data.layouts.survey import survey
from trainers.data.mixing import FreeMixes, PairClips, SongClips, SongMixes, VoxaugMixes
from trainers.data.multitrack import OpenTrack, ValidationTrack, is_audible, open_tracks
from trainers.data.recording import is_sounding
from trainers.data.tracks import Survey, Track, parts_of
from trainers.data.voices import VoiceMixes

OF_SONGS = {"stems": FreeMixes, "pairs": PairClips, "voxaug": VoxaugMixes}
"""Class of the clips in layouts without whole songs."""


@dataclass(frozen=True)
class TrainingData:
    """Training and validation data of a run.

    Attributes:
        clips: clips to train on.
        validation: songs that are never trained on.
        songs: number of training songs.
        summary: description of the data, one line each.
    """

    clips: Clips
    validation: tuple[ValidationTrack, ...]
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
    """Find, check and open the data of a run, decoding files where necessary.

    Args:
        recipe: recipe of the run.
        folder: folder with the data.
        validation: folders with validation songs.
        stems: stems of the network; unused by objectives that train on mixtures alone.
        sample_rate: sample rate of the network, in Hz.
        world_size: number of workers that share the clips.

    Raises:
        UnknownNameError: there is no such architecture.
        ConfigError: the network has stems that the data does not have.
        DataError: the data does not fit the recipe, or all validation songs are silent.
        DecodeError: a recording cannot be read.
        OutputError: the cache cannot be written.
        FfmpegMissingError: a recording needs ffmpeg, which is not installed.
    """
    stems = stems if recipe.objective.needs_stems else ()
    found = survey(recipe.data, folder, stems, validation)
    clips = _clips(recipe, folder, found, stems, sample_rate, world_size)
    songs = spread(found.validation, recipe.validation.songs)
    open_tracks(songs, sample_rate)  # reports errors before the first step
    groups, seconds = recipe.data.groups, recipe.validation.seconds
    tracks = tuple(
        ValidationTrack(song.name, song, stems, sample_rate, groups, seconds) for song in songs
    )
    _require_targets(clips, groups, are_files=noun_of(found.layout) == "file")
    if tracks:
        _require_score(tracks)
    summary = (
        *found.summary,
        *_left_out(len(songs), len(found.validation)),
        *_short(clips, recipe.data.clip_seconds, noun_of(found.layout)),
    )
    return TrainingData(clips, tracks, len(found.training), summary)


def open_data_of(
    recipe: Recipe, folder: Path, validation: tuple[Path, ...], world_size: int = 1
) -> TrainingData:
    """Open the data of a recipe whose network has not been built; see :func:`open_data`."""
    network = build_on_meta(recipe.model.architecture, recipe.model.options)
    return open_data(recipe, folder, validation, network.stems, network.sample_rate, world_size)


def _require_targets(
    clips: Clips, groups: Mapping[str, tuple[str, ...]], *, are_files: bool
) -> None:
    """Check that every needed stem is audible in at least one song.

    Without needed stems, check that any song is audible.
    """
    if not isinstance(clips, SongClips):
        return
    if not clips.needed and not any(
        is_sounding(one) for song in clips.songs for one in song.recordings
    ):
        raise DataError("training data", ["every song is silent. Choose other songs with --data"])
    silent = {
        stem: [song.name for song in clips.songs if song.stems.keys() & {*parts_of(stem, groups)}]
        for stem in clips.needed
        if not _is_anywhere(parts_of(stem, groups), clips.songs)
    }
    if silent:
        raise DataError("training data", silent_everywhere(silent, are_files=are_files))


def _is_anywhere(parts: tuple[str, ...], songs: Iterable[OpenTrack]) -> bool:
    return any(
        is_sounding(song.stems[part]) for song in songs for part in parts if part in song.stems
    )


def _short(clips: Clips, seconds: float, noun: str) -> list[str]:
    """Return a note if songs, or single files, are shorter than a clip."""
    if not isinstance(clips, SongClips):
        return []
    count = sum(song.frames < clips.plan.last.length for song in clips.songs)
    note = f"{counted(count, noun)} shorter than a clip of {seconds:g} s: padded with silence"
    return [note] if count else []


def _require_score(songs: tuple[ValidationTrack, ...]) -> None:
    """Refuse validation songs without any sound, which would give no score."""
    if not any(_has_sound(song) for song in songs):
        names = [song.name for song in songs]
        raise DataError("validation", [silent_to_validate(songs[0].stems, names)])


def _has_sound(song: ValidationTrack) -> bool:
    """Return whether any stem (or the mixture, without stems) is audible."""
    track = song.read()
    return bool(is_audible(track.stems if song.stems else track.mixture[None]).any())


def spread(songs: tuple[Track, ...], most: int) -> tuple[Track, ...]:
    """Choose at most ``most`` songs, evenly spaced in alphabetical order; 0 chooses all."""
    ordered = sorted(songs, key=lambda song: song.name)
    count = min(most or len(ordered), len(ordered))
    return tuple(ordered[(2 * i + 1) * len(ordered) // (2 * count)] for i in range(count))


def _left_out(used: int, found: int) -> Iterator[str]:
    """Yield a note if not all validation songs are used."""
    if used < found:
        yield f"{used} of {found} validation songs are used: validation.songs={used}"


def _clips(
    recipe: Recipe,
    folder: Path,
    found: Survey,
    stems: tuple[str, ...],
    sample_rate: int,
    world_size: int,
) -> Clips:
    plan = ClipPlan.of(recipe, sample_rate, world_size)
    needs_peak_level = registry.architecture(recipe.model.architecture).needs_peak_level
    if found.layout != "voices":
        kind = OF_SONGS.get(found.layout, SongMixes)
        songs = open_tracks(found.training, sample_rate)
        return kind(
            songs,
            recipe.data,
            stems,
            plan,
            sample_rate,
            recipe.seed,
            needs_peak_level=needs_peak_level,
        )
    if stems not in ((), VoiceMixes.stems):
        raise ConfigError(
            "model.options.stems",
            [f"layout voices has the stem vocals, found {', '.join(stems)}. Use [vocals]"],
        )
    return VoiceMixes(
        recipe.data.voices,
        folder,
        plan,
        sample_rate,
        recipe.seed,
        needs_peak_level=needs_peak_level,
    )
