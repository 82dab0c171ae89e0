"""Songs with true stems, and folders of estimates that are paired with them by name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch

from model_zoo.errors import DecodeError, UsageError
from model_zoo.shell import quoted
from trainers.data.layouts.listing import MIXTURE, by_name, listed, sounds
from trainers.data.recording import read_wave
from trainers.evaluation.events import LeftOut
from trainers.evaluation.scoring import ACCOMPANIMENT, VOCALS, Wave, Waves, canonical, layout


@dataclass(frozen=True)
class TrackAudio:
    """A song in memory.

    Attributes:
        mixture: waveform of the song.
        references: true stems by name.
        sample_rate: sample rate of all, in Hz.
    """

    mixture: Wave
    references: Waves
    sample_rate: int

    def __post_init__(self) -> None:
        """Check that the song can be scored.

        Raises:
            DecodeError: there is no true stem, its size differs from the song's, or a waveform
                contains NaN or infinity.
        """
        if not self.references:
            raise DecodeError("there are no true stems besides the mixture")
        for name, wave in self.references.items():
            if wave.shape != self.mixture.shape:
                raise DecodeError(
                    f"the true stem {name} has {_size(wave)} but the song has {_size(self.mixture)}"
                )
            if not wave.isfinite().all():
                raise DecodeError(f"the true stem {name} contains NaN or infinity")
        if not self.mixture.isfinite().all():
            raise DecodeError("the song contains NaN or infinity")


def _size(wave: Wave) -> str:
    return f"{wave.shape[1]} samples, {layout(wave.shape[0])}"


@runtime_checkable
class EvaluationTrack(Protocol):
    """A song on disk."""

    @property
    def name(self) -> str:
        """Name of the song; it may contain slashes."""

    @property
    def stamp(self) -> Mapping[str, Any]:
        """Plain values that change whenever the song's files do."""

    def load(self) -> TrackAudio:
        """Read the song.

        Raises:
            DecodeError: a file cannot be read, or files do not match.
        """


Files = Mapping[str, Path]


@dataclass(frozen=True)
class FolderTrack:
    """A song in a folder of true stems.

    Attributes:
        name: name of the song, including parent folders.
        files: true stems by name, and optionally ``mixture``.
    """

    name: str
    files: Files

    @property
    def stamp(self) -> Mapping[str, Any]:
        """Name of the song, and sizes and modification times of its files."""
        return {"song": self.name, "files": _stamps(self.files)}

    def load(self) -> TrackAudio:
        """Read the song; without a mixture file, the mixture is the sum of the true stems.

        If there are vocals and other stems, the accompaniment is the sum of the others; an
        accompaniment file does not count as another stem, and is computed if it is missing.

        Raises:
            DecodeError: a file cannot be read, or they differ in rate, channels or length.
        """
        waves, rate = _read(self.files)
        mixture = waves.pop(MIXTURE, None)
        known = {canonical(name): wave for name, wave in waves.items()}
        others = [wave for name, wave in known.items() if name not in (VOCALS, ACCOMPANIMENT)]
        if others and VOCALS in known and ACCOMPANIMENT not in known:
            waves[ACCOMPANIMENT] = torch.stack(others).sum(0)
        if others:
            known.pop(ACCOMPANIMENT, None)
        whole = torch.stack(list(known.values())).sum(0) if mixture is None else mixture
        return TrackAudio(whole, waves, rate)


class FilesMethod:
    """Estimates that are read from folders.

    Args:
        name: name in tables and folders.
        files: files of each song, by stem name.
    """

    def __init__(self, name: str, files: Mapping[str, Files]) -> None:
        self.name = name
        self._files = files

    def settings(self, track: EvaluationTrack) -> Mapping[str, Any]:
        """Sizes and modification times of the song's estimates."""
        return {"files": _stamps(self._files[track.name])}

    def estimate(self, track: EvaluationTrack, sound: TrackAudio) -> Waves:
        """Read the estimates.

        Raises:
            DecodeError: a file cannot be read, or differs from the song in rate or length.
        """
        wanted = {canonical(name) for name in sound.references}
        found = self._files[track.name]
        files = {name: file for name, file in found.items() if canonical(name) in wanted}
        if not files:
            raise DecodeError(
                f"{listed(found)} is not one of the true stems {listed(sound.references)}"
            )
        waves, rate = _read(files)
        first = next(iter(files.values()))
        _require_rate(first, rate, "the true stem", sound.sample_rate)
        length = sound.mixture.shape[-1]
        for name, wave in waves.items():
            if wave.shape[-1] != length:
                raise DecodeError(
                    f"{files[name]} has {wave.shape[-1]} samples but the true stem has {length}:"
                    " compare stems of one song"
                )
        return waves


def pair_folders(
    references: Path, estimates: Path
) -> tuple[list[FolderTrack], FilesMethod, list[LeftOut]]:
    """Pair the songs of two folder trees, and note songs that only one of them has.

    A song is a folder with audio files at the same relative path in both trees; the two root
    folders count as the same song.

    Raises:
        UsageError: no song is in both, or a stem exists twice.
    """
    true, made = (_songs(root) for root in (references, estimates))
    shared = [name for name in true if name in made]
    if not shared:
        raise UsageError(
            f"{references} has {listed(_song_names(true), 4)} and {estimates} has"
            f" {listed(_song_names(made), 4)}: {_other_folder(references, estimates, true, made)}"
        )
    title = estimates.resolve().name or "estimates"
    own = {name: name or title for name in shared}
    tracks = [FolderTrack(own[name], true[name]) for name in shared]
    method = FilesMethod(title, {own[name]: made[name] for name in shared})
    left = _songs_alone(references, true, made, f"has no estimates in {estimates}")
    left += _songs_alone(estimates, made, true, f"has no true stems in {references}")
    left += _without_sound(references, {*true, *made})
    return tracks, method, [*left, *_stems_alone([(true[name], made[name]) for name in shared])]


def _other_folder(
    references: Path, estimates: Path, true: Container[str], made: Container[str]
) -> str:
    """Say which folders to use if one tree is a song that the other tree has too."""
    true_name, made_name = (root.resolve().name for root in (references, estimates))
    inside = [
        (references, estimates / true_name, "" in true and true_name in made),
        (references / made_name, estimates, "" in made and made_name in true),
    ]
    for one, other, fits in inside:
        if fits:
            return f"for that song, run: stem eval folder {quoted(one)} {quoted(other)}"
    return "use two folders with stems of the same songs"


def _songs_alone(
    root: Path, songs: Mapping[str, Files], others: Container[str], why: str
) -> list[LeftOut]:
    """Note songs that only one tree has; files directly in the tree are named."""
    loose = listed((path.name for path in songs.get("", {}).values()), 4)
    own = f"the song directly in {root} ({loose})"
    return [LeftOut(name or own, why) for name in songs if name not in others]


def _without_sound(root: Path, known: Iterable[str]) -> list[LeftOut]:
    """Note folders without audio files at any depth."""
    known_folders = {parent for name in known for parent in (Path(name), *Path(name).parents)}
    below = [path.relative_to(root) for path in sorted(root.rglob("*")) if path.is_dir()]
    empty = [
        path
        for path in below
        if path not in known_folders and not any(part.startswith(".") for part in path.parts)
    ]
    outermost = [path for path in empty if path.parent not in empty]
    return [LeftOut(path.as_posix(), f"has no audio files in {root}") for path in outermost]


def _stems_alone(songs: Sequence[tuple[Files, Files]]) -> list[LeftOut]:
    """Note stems that exist on one side only."""
    here, there = Counter[str](), Counter[str]()
    for true, made in songs:
        known, found = _names(true), _names(made)
        summed = {ACCOMPANIMENT} if VOCALS in known and len(known) > 1 else set()
        here.update(known - found)
        there.update(found - known - summed)
    where = "" if len(songs) == 1 else f" in {{}} of {len(songs)} songs"
    return [
        *(LeftOut(stem, f"has no estimate{where.format(n)}") for stem, n in sorted(here.items())),
        *(LeftOut(stem, f"has no true stem{where.format(n)}") for stem, n in sorted(there.items())),
    ]


def _names(files: Files) -> set[str]:
    """Return the canonical names of stems."""
    return {canonical(name) for name in files} - {MIXTURE}


def _songs(root: Path) -> dict[str, dict[str, Path]]:
    """Return the stem files of each folder that has any, by its path below the root."""
    parents = dict.fromkeys(path.parent for path in sounds(root, recursive=True))
    return {_place(folder, root): _stems(folder) for folder in parents}


def _place(folder: Path, root: Path) -> str:
    return "" if folder == root else folder.relative_to(root).as_posix()


def _stems(folder: Path) -> dict[str, Path]:
    named, problems = by_name(sounds(folder))
    if problems:
        raise UsageError(problems[0])
    return named


def _song_names(songs: Mapping[str, Files]) -> list[str]:
    """Return the folders, or the files in the only one."""
    if [*songs] == [""]:
        return [*songs[""]]
    return [name or "stems of its own" for name in songs] or ["no audio files"]


def _read(files: Files) -> tuple[dict[str, Wave], int]:
    waves, rates = {}, {}
    for name, file in files.items():
        wave, rates[file] = read_wave(file)
        waves[name] = torch.from_numpy(wave.copy())
    first, *others = files.items()
    for name, file in others:
        _require_rate(file, rates[file], str(first[1]), rates[first[1]])
        if waves[name].shape != waves[first[0]].shape:
            raise DecodeError(
                f"{file} ({_size(waves[name])}) and {first[1]} ({_size(waves[first[0]])}) differ in"
                " size: compare stems of one song"
            )
    return waves, rates[first[1]]


def _require_rate(file: Path, rate: int, other: str, wanted: int) -> None:
    """Refuse different sample rates: scores would also measure the resampler."""
    if rate != wanted:
        raise DecodeError(
            f"{file} has a sample rate of {rate} Hz and {other} of {wanted} Hz: resample one of"
            f" them first, e.g. ffmpeg -i {quoted(file)} -ar {wanted} {file.stem}-{wanted}.wav"
        )


def _stamps(files: Files) -> dict[str, list[int]]:
    """Return sizes in bytes and modification times."""
    stats = {name: file.stat() for name, file in files.items()}
    return {name: [each.st_size, each.st_mtime_ns] for name, each in stats.items()}
