"""Checks and opens training data: clips and validation songs for a recipe and a folder."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from model_zoo import registry
from model_zoo.errors import AudioError, ConfigError, DataError
from model_zoo.introspection import build_on_meta
from stemcli.printable import counted
from stemcli.process import held_interrupts
from trainers.config import DataRecipe, Recipe, ValidationRecipe
from trainers.data.clips import ClipPlan, Clips
from trainers.data.inspection import SoundRules, check_sound, check_voices, silent_to_validate
from trainers.data.layouts import noun_of
from trainers.data.layouts.survey import VOICES, Findings, inspect
from trainers.data.mixing import FreeMixes, PairClips, SongClips, SongMixes, VoxaugMixes
from trainers.data.multitrack import ValidationTrack, is_audible, open_tracks
from trainers.data.tracks import Source, Track
from trainers.data.voices import VoiceMixes

OF_SONGS: dict[str, type[SongClips]] = {
    "stems": FreeMixes,
    "pairs": PairClips,
    "voxaug": VoxaugMixes,
}
"""Class of the clips in layouts without whole songs."""


@dataclass(frozen=True)
class DataNeeds:
    """What a training needs of its data; by default as much as any training could.

    Attributes:
        data: the data section of the recipe.
        stems: stems of the network; empty if it trains on mixtures alone; None if they are not
            known, and all stems of the data are needed.
        sample_rate: sample rate of the network in Hz; None if it is not known.
        validation: number and length of the validation songs.
    """

    data: DataRecipe
    stems: tuple[str, ...] | None = None
    sample_rate: int | None = None
    validation: ValidationRecipe = field(default_factory=ValidationRecipe)

    @classmethod
    def of(cls, recipe: Recipe, stems: tuple[str, ...], sample_rate: int) -> DataNeeds:
        """Return the needs of a recipe whose network has these stems and this sample rate."""
        used = stems if recipe.objective.needs_stems else ()
        return cls(recipe.data, used, sample_rate, recipe.validation)

    @classmethod
    def of_recipe(cls, recipe: Recipe) -> DataNeeds:
        """Return the needs of a recipe whose network has not been built."""
        network = build_on_meta(recipe.model.architecture, recipe.model.options)
        return cls.of(recipe, network.stems, network.sample_rate)

    def validation_tracks(self, found: Findings) -> tuple[ValidationTrack, ...]:
        """Return the validation songs that are used, at the rate of the network or their own."""
        stems = tuple(found.stems) if self.stems is None else self.stems
        return tuple(
            ValidationTrack(
                song.name,
                song,
                stems,
                self.sample_rate or found.headers[song.sources[0]].sample_rate,
                self.data.groups,
                self.validation.seconds,
            )
            for song in spread(found.validation, self.validation.songs)
        )


def check_data(
    needs: DataNeeds,
    folder: Path,
    validation: tuple[Path, ...] = (),
    *,
    will_open: bool = False,
    option: str = "--data",
) -> Findings:
    """Check a data folder: the verdict of ``stem data check``, ``stem train`` and ``stem tune``.

    Headers are checked first, then silence and samples that are not finite. Songs that pass are
    read as validation reads them.

    Args:
        needs: what the training needs.
        folder: folder with the data.
        validation: folders with validation songs.
        will_open: whether all files are opened afterwards, which decodes those that need it and
            reports damage in them; otherwise they are decoded here.
        option: how the user names the folder, for messages that suggest another.

    Raises:
        UsageError: there is no such folder.
        ConfigError: the recipe does not fit the data: stems that the data does not have, or
            augmentations that the layout does not support.
        DataError: the layout is unclear.
        FfmpegMissingError: MUSDB18 needs ffmpeg and ffprobe.
        MissingExtraError: MUSDB18 needs musdb.
    """
    found = inspect(needs.data, folder, needs.stems, validation, option=option)
    if found.layout == VOICES:
        _check_voices_stems(needs.stems)
        recipe = needs.data.voices
        pools = (*recipe.vocals, *recipe.backings)
        found = check_voices(found, recipe, [Source(folder / entry.file) for entry in pools])
    else:
        kind = _kind(found.layout)
        if found.training or not found.problems:  # a wrong folder is the first thing to mend
            kind.check_augmentation(needs.data)
        stems = tuple(found.stems) if needs.stems is None else needs.stems
        rules = SoundRules(
            kind.needed(stems),
            needs.data.groups,
            needs.sample_rate,
            is_guessed=needs.stems is None and not kind.needed(()),
            decode=not will_open,
        )
        found = check_sound(found, rules)
    if found.validation and not found.problems:
        found = replace(found, problems=tuple(_silent_validation(needs.validation_tracks(found))))
    return found


def _kind(layout: str) -> type[SongClips]:
    return OF_SONGS.get(layout, SongMixes)


def _check_voices_stems(stems: tuple[str, ...] | None) -> None:
    if stems and stems != VoiceMixes.stems:
        raise ConfigError(
            "model.options.stems",
            [f"layout voices has the stem vocals, found {', '.join(stems)}. Use [vocals]"],
        )


def _silent_validation(songs: tuple[ValidationTrack, ...]) -> Iterator[str]:
    """Yield a problem if validation songs have no sound, and so no score, or cannot be read."""
    try:
        if not any(map(_has_sound, songs)):
            yield silent_to_validate(songs[0].stems, [song.name for song in songs])
    except AudioError as error:
        yield str(error)


def _has_sound(song: ValidationTrack) -> bool:
    """Return whether any stem (or the mixture, without stems) is audible."""
    with held_interrupts():  # callbacks of decoders would swallow the exception of a signal
        track = song.read()
    return bool(is_audible(track.stems if song.stems else track.mixture[None]).any())


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
    needs = DataNeeds.of(recipe, stems, sample_rate)
    found = check_data(needs, folder, validation, will_open=True)
    if found.problems:
        raise DataError(str(folder), found.problems)
    clips = _clips(recipe, folder, found, needs, world_size)
    tracks = needs.validation_tracks(found)
    open_tracks([track.song for track in tracks], sample_rate)  # reports errors before step 1
    summary = (
        *found.summary(),
        *_left_out(len(tracks), len(found.validation)),
        *_short(clips, recipe.data.clip_seconds, noun_of(found.layout)),
    )
    return TrainingData(clips, tracks, len(found.training), summary)


def open_data_of(
    recipe: Recipe, folder: Path, validation: tuple[Path, ...], world_size: int = 1
) -> TrainingData:
    """Open the data of a recipe whose network has not been built; see :func:`open_data`."""
    network = build_on_meta(recipe.model.architecture, recipe.model.options)
    return open_data(recipe, folder, validation, network.stems, network.sample_rate, world_size)


def _short(clips: Clips, seconds: float, noun: str) -> list[str]:
    """Return a note if songs, or single files, are shorter than a clip."""
    if not isinstance(clips, SongClips):
        return []
    count = sum(song.frames < clips.plan.last.length for song in clips.songs)
    note = f"{counted(count, noun)} shorter than a clip of {seconds:g} s: padded with silence"
    return [note] if count else []


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
    recipe: Recipe, folder: Path, found: Findings, needs: DataNeeds, world_size: int
) -> Clips:
    stems, sample_rate = needs.stems or (), needs.sample_rate
    assert sample_rate, "a run has a network"
    plan = ClipPlan.of(recipe, sample_rate, world_size)
    needs_peak_level = registry.architecture(recipe.model.architecture).level == "peak"
    if found.layout == VOICES:
        return VoiceMixes(
            recipe.data.voices,
            folder,
            plan,
            sample_rate,
            recipe.seed,
            needs_peak_level=needs_peak_level,
        )
    return _kind(found.layout)(
        open_tracks(found.training, sample_rate),
        recipe.data,
        stems,
        plan,
        sample_rate,
        recipe.seed,
        needs_peak_level=needs_peak_level,
    )
