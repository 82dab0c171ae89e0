"""What a reader of a layout gives, and what readers share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from stemcli.audio.info import AudioInfo
from stemcli.batch.url_path import folded
from stemcli.batch.walk import find_songs
from trainers.data.songs import Song, Source

MIXTURE = "mixture"


@dataclass(frozen=True)
class Listing:
    """What was found, before any file is opened.

    Attributes:
        training: songs to train on.
        validation: songs that the data itself keeps for validation.
        headers: what the reader learnt of files in passing.
        problems: what must be mended, each with its file.
        notes: what people should know.
    """

    training: tuple[Song, ...] = ()
    validation: tuple[Song, ...] = ()
    headers: Mapping[Source, AudioInfo] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def folders(folder: Path) -> list[Path]:
    """The folders directly in ``folder``, by name, without hidden ones."""
    return sorted(path for path in folder.iterdir() if path.is_dir() and _is_shown(path))


def files(folder: Path) -> list[Path]:
    """The files directly in ``folder``, by name, without hidden ones."""
    return sorted(path for path in folder.iterdir() if path.is_file() and _is_shown(path))


def sounds(folder: Path, *, recursive: bool = False) -> list[Path]:
    """The sound files in ``folder``, by name, without hidden ones.

    Raises:
        PermissionError: a folder may not be read.
    """
    found = find_songs(folder, recursive=recursive, stems_too=True)
    for closed in found.unreadable:
        list(closed.iterdir())  # raises what the walk went over
    return [song.path for song in found.songs]


def stem_name(path: Path) -> str:
    """What a file or folder is called, whatever its case."""
    return folded(path.stem if path.is_file() else path.name)


def by_name(paths: Iterable[Path], root: Path | None = None) -> tuple[dict[str, Path], list[str]]:
    """Sound files by their names without endings, and a problem for every name found twice.

    Args:
        paths: sound files.
        root: folder whose part is taken off; its sub-folders then belong to the names.
    """
    named: dict[str, Path] = {}
    problems = []
    for path in paths:
        name = path.relative_to(root).with_suffix("").as_posix() if root else stem_name(path)
        if name in named:
            problems.append(f"{named[name]} and {path.name} have one name: keep one of them")
        named.setdefault(name, path)
    return named, problems


def read_song(folder: Path, name: str) -> tuple[Song | None, list[str]]:
    """A folder with one sound file for each stem and maybe ``mixture.*``.

    Returns:
        The song, None where there is no sound, and stems that are there twice.
    """
    named, problems = by_name(sounds(folder))
    sources = {stem: Source(path) for stem, path in named.items()}
    mixture = sources.pop(MIXTURE, None)
    return (Song(name, sources, mixture) if named else None), problems


def library_folders(names: Iterable[str]) -> list[str]:
    """The folders, as they are called, in which single files of these names lie."""
    return [f"{place}/" for place in dict.fromkeys(name.partition("/")[0] for name in names)]


def counted(count: int, noun: str) -> str:
    """``no songs``, ``1 song``, ``2 songs``."""
    return f"{count} {noun}" if count == 1 else f"{count or 'no'} {noun}s"


def listed(names: Iterable[str], most: int = 12) -> str:
    """Names with commas; a long list ends with a count."""
    known = list(names)
    more = [f"{len(known) - most} more"] if len(known) > most else []
    return ", ".join([*known[:most], *more])


def _is_shown(path: Path) -> bool:
    return not path.name.startswith(".")
