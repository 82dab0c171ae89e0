"""Readers of the layouts ``musdb18`` and ``musdb18_hq``, by the settings of the package musdb.

Validation songs are those that musdb lists; test songs are never used. A ``.stem.mp4`` has an audio
stream for each stem, in the order of musdb's ``stem_ids``.

Source: Rafii, Liutkus, Stöter, Mimilakis and Bittner, "The MUSDB18 corpus for music separation"
(2017), https://doi.org/10.5281/zenodo.1117372, and in HQ https://doi.org/10.5281/zenodo.3338373.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from model_zoo.errors import DecodeError, FfmpegMissingError, require_package
from stemcli.audio.ffmpeg_binary import fault
from stemcli.audio.ffmpeg_process import decoding_pool
from stemcli.audio.info import AudioInfo
from stemcli.process import find_program
from trainers.data.layouts.listing import (
    MIXTURE,
    PROGRAM,
    THREADS,
    Listing,
    files,
    folders,
    sound_streams,
)
from trainers.data.tracks import Source, Track

TRAINING = "train"
ENDING = ".stem.mp4"


def read_musdb18(folder: Path) -> Listing:
    """Read ``train/NAME.stem.mp4``.

    Raises:
        FfmpegMissingError: musdb needs ffmpeg and ffprobe.
        MissingExtraError: musdb is not installed.
    """
    settings = musdb_settings(folder)
    streams: dict[str, int] = settings["stem_ids"]
    paths = stem_files(folder / TRAINING)
    with decoding_pool(THREADS) as pool:
        looks = list(pool.map(lambda path: _streams(path, streams), paths))
    songs = [_stem_song(path, streams) for path, look in zip(paths, looks, strict=True) if look[0]]
    headers = {source: info for found, _ in looks for source, info in found.items()}
    problems = tuple(problem for _, problem in looks if problem)
    return _split(songs, settings, headers, problems)


def read_musdb18_hq(folder: Path) -> Listing:
    """Read ``train/NAME/`` with ``mixture.wav`` and the four stems.

    Raises:
        FfmpegMissingError: musdb needs ffmpeg and ffprobe.
        MissingExtraError: musdb is not installed.
    """
    settings = musdb_settings(folder)
    song_folders = folders(folder / TRAINING) if (folder / TRAINING).is_dir() else []
    songs = [_wav_song(song_folder, settings) for song_folder in song_folders]
    return _split([song for song in songs if song.stems], settings, {}, ())


def musdb_settings(root: Path, extra: str = "train") -> dict[str, Any]:
    """Return musdb's names of files, stems, streams and validation songs.

    Args:
        root: folder of the songs.
        extra: extra to install if musdb is missing.

    Raises:
        FfmpegMissingError: musdb needs ffmpeg and ffprobe.
        MissingExtraError: musdb is not installed.
    """
    require_package("musdb", extra)
    require_ffprobe("musdb")
    import musdb

    settings: dict[str, Any] = musdb.DB(root=str(root), subsets=[]).setup
    return settings


def require_ffprobe(package: str) -> None:
    """Check that ffmpeg and ffprobe are installed, which musdb and museval need.

    Args:
        package: package that needs them.

    Raises:
        FfmpegMissingError: ffmpeg or ffprobe is not on PATH, or does not start.
    """
    programs = {program: find_program(program) for program in ("ffmpeg", PROGRAM)}
    missing = [program for program, path in programs.items() if not path]
    if missing:
        raise FfmpegMissingError(
            f"{package} needs {' and '.join(missing)} on PATH. Install ffmpeg with the system's"
            f" package"
            " manager, e.g. apt install ffmpeg"
        )
    for path in filter(None, programs.values()):
        wrong = fault(path)
        if wrong:
            raise FfmpegMissingError(
                f"{package} needs {path}, which does not start ({wrong}). Install it again"
            )


def stem_files(folder: Path) -> list[Path]:
    """Return the ``*.stem.mp4`` files in a folder."""
    return [path for path in files(folder) if path.name.endswith(ENDING)] if folder.is_dir() else []


def _streams(path: Path, streams: dict[str, int]) -> tuple[dict[Source, AudioInfo], str]:
    """Return the header of every stream, and what is wrong with the file."""
    try:
        found = sound_streams(path)
        if len(found) < len(streams):
            names = ", ".join(sorted(streams, key=lambda name: streams[name]))
            streams_found = f"{path} has {len(found)} audio streams"
            return {}, f"{streams_found}, MUSDB18 has {len(streams)}: {names}. Download it again"
        headers = {number: _header(path, found[number]) for number in streams.values()}
        return {Source(path, number): header for number, header in headers.items()}, ""
    except (DecodeError, KeyError, ValueError):
        return {}, f"No sound can be read from {path}: download it again"


def _header(path: Path, stream: Mapping[str, Any]) -> AudioInfo:
    rate = int(stream["sample_rate"])
    frames = round(float(stream["duration"]) * rate)
    return AudioInfo(path, rate, int(stream["channels"]), frames, "16")


def _stem_song(path: Path, streams: dict[str, int]) -> Track:
    sources = {stem: Source(path, number) for stem, number in streams.items()}
    mixture = sources.pop(MIXTURE)
    return Track(path.name.removesuffix(ENDING), sources, mixture)


def _wav_song(folder: Path, settings: dict[str, Any]) -> Track:
    paths = {stem: folder / name for stem, name in settings["sources"].items()}
    stems = {stem: Source(path) for stem, path in paths.items() if path.is_file()}
    mixture = folder / settings[MIXTURE]
    return Track(folder.name, stems, Source(mixture) if mixture.is_file() else None)


def _split(
    songs: list[Track],
    settings: dict[str, Any],
    headers: dict[Source, AudioInfo],
    problems: tuple[str, ...],
) -> Listing:
    names = set(settings["validation_tracks"])
    training = tuple(song for song in songs if song.name not in names)
    validation = tuple(song for song in songs if song.name in names)
    return Listing(training, validation, headers, problems)
