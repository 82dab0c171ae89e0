"""Results and helpers that the readers of all layouts share, and headers of audio files."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from model_zoo.errors import AudioError, DecodeError, FfmpegMissingError
from stemcli.audio.allowed_formats import DEMUXERS
from stemcli.audio.ffmpeg_binary import complaints, read_log
from stemcli.audio.ffmpeg_process import FfmpegProcess, decoding_pool
from stemcli.audio.info import AudioInfo
from stemcli.audio.reader import probe
from stemcli.batch.library import find_songs
from stemcli.process import find_program
from stemcli.remote_path import folded
from trainers.data.tracks import Source, Track

MIXTURE = "mixture"


@dataclass(frozen=True)
class Listing:
    """Contents of a data folder, before any file is opened.

    Attributes:
        training: songs to train on.
        validation: songs that the data reserves for validation.
        headers: headers of files that the reader opened anyway.
        problems: errors to fix, each with its file.
        notes: messages for the user.
    """

    training: tuple[Track, ...] = ()
    validation: tuple[Track, ...] = ()
    headers: Mapping[Source, AudioInfo] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def folders(folder: Path) -> list[Path]:
    """Return the folders directly in ``folder``, sorted by name, without hidden ones."""
    return sorted(path for path in folder.iterdir() if path.is_dir() and _is_shown(path))


def files(folder: Path) -> list[Path]:
    """Return the files directly in ``folder``, sorted by name, without hidden ones."""
    return sorted(path for path in folder.iterdir() if path.is_file() and _is_shown(path))


def sounds(folder: Path, *, recursive: bool = False) -> list[Path]:
    """Return the audio files in ``folder``, sorted by name, without hidden ones.

    Raises:
        PermissionError: a folder is not readable.
    """
    found = find_songs(folder, recursive=recursive, stems_too=True)
    for closed in found.unreadable:
        list(closed.iterdir())  # raises an error that the walk ignores
    return [song.path for song in found.songs]


def stem_name(path: Path) -> str:
    """Return the name of a file or folder without suffix, ignoring case."""
    return folded(path.stem if path.is_file() else path.name)


def by_name(paths: Iterable[Path], root: Path | None = None) -> tuple[dict[str, Path], list[str]]:
    """Return audio files by name without suffix, and a problem for every duplicate name.

    Args:
        paths: audio files.
        root: folder that names are relative to; its sub-folders are part of the names.
    """
    named: dict[str, Path] = {}
    problems = []
    for path in paths:
        name = path.relative_to(root).with_suffix("").as_posix() if root else stem_name(path)
        if name in named:
            problems.append(f"{named[name]} and {path.name} have the same name: keep one of them")
        named.setdefault(name, path)
    return named, problems


def read_song(folder: Path, name: str) -> tuple[Track | None, list[str]]:
    """Read a folder with one audio file per stem and optionally ``mixture.*``.

    Returns:
        The song, or None without audio files, and problems about duplicate stems.
    """
    named, problems = by_name(sounds(folder))
    sources = {stem: Source(path) for stem, path in named.items()}
    mixture = sources.pop(MIXTURE, None)
    return (Track(name, sources, mixture) if named else None), problems


def library_folders(names: Iterable[str]) -> list[str]:
    """Return the folders that contain the files of these names."""
    return [f"{place}/" for place in dict.fromkeys(name.partition("/")[0] for name in names)]


def listed(names: Iterable[str], most: int = 12) -> str:
    """Join names with commas; long lists end with a count."""
    known = list(names)
    more = [f"{len(known) - most} more"] if len(known) > most else []
    return ", ".join([*known[:most], *more])


def _is_shown(path: Path) -> bool:
    return not path.name.startswith(".")


THREADS = 8
"""Files opened in parallel: network disks and ffmpeg have long latencies."""


def read_headers(
    songs: Iterable[Track], known: Mapping[Source, AudioInfo]
) -> tuple[dict[Source, AudioInfo], list[str]]:
    """Read the headers of all files, and report a problem for each unreadable one.

    Args:
        songs: songs whose files are opened.
        known: headers that were read before.
    """
    sources = dict.fromkeys(source for song in songs for source in song.sources)
    unread = [source for source in sources if source not in known]
    with decoding_pool(THREADS) as pool:
        found = dict(zip(unread, pool.map(_read, unread), strict=True))
    headers = {source: info for source, info in found.items() if isinstance(info, AudioInfo)}
    problems = [problem for problem in found.values() if isinstance(problem, str)]
    return {**known, **headers}, problems


def _read(source: Source) -> AudioInfo | str:
    try:
        return probe(source.path, source.stream)
    except AudioError as error:
        return str(error)


Stream = dict[str, Any]
PROGRAM = "ffprobe"
BLOCK = 65536  # bytes


def sound_streams(path: Path) -> list[Stream]:
    """Return the audio streams of a file as ``ffprobe -show_streams`` describes them.

    musdb and stempeg open files without any restrictions. This check only accepts audio and video,
    not playlists or scripts, through which an untrusted file could access others.

    Raises:
        DecodeError: the file is neither, or is damaged.
        FfmpegMissingError: ffprobe cannot be started.
    """
    with FfmpegProcess(_command(path)) as process:
        said = b"".join(_blocks(process))
        if process.finish():
            reason = (complaints(read_log(process.log)) or ["ffprobe gives no reason"])[0]
            raise DecodeError(f"No sound can be read from {path} ({reason}): download it again")
    streams: list[Stream] = json.loads(said).get("streams", [])
    return streams


def _command(path: Path) -> list[str]:
    only = ["-protocol_whitelist", "file", "-format_whitelist", DEMUXERS]
    shown = ["-loglevel", "level+error", "-show_streams", "-select_streams", "a", "-of", "json"]
    program = find_program(PROGRAM)
    if program is None:  # by its bare name, Windows would start one in the current folder
        raise FfmpegMissingError(
            f"{PROGRAM} is not on PATH. Install ffmpeg with the system's package manager, e.g. "
            "apt install ffmpeg"
        )
    return [program, *only, *shown, f"file:{path}"]


def _blocks(process: FfmpegProcess) -> Iterator[bytes]:
    while block := process.read(BLOCK):
        yield block
