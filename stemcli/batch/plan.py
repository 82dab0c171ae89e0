"""Plans the outputs of a batch, refuses collisions, and removes folders that stay empty.

Two songs with the same output file, including on a file system that ignores case or composes
accents, are refused with both names. A stem that would replace a song is refused too. All such
pairs are reported together.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from model_zoo.errors import OutputError, errors_about
from model_zoo.option_names import option, setting
from stemcli.audio.write_errors import explain_write_errors
from stemcli.batch.library import LibrarySong
from stemcli.engine.options import Options
from stemcli.engine.planned import PlannedFiles
from stemcli.engine.tag_fields import TAG_FIELDS
from stemcli.remote_path import UrlPath, as_path, folded, is_taken, real, require_root

LISTED = 10
"""Collisions that a message describes; further collisions are only counted."""

Pair = tuple[Path, Path]


class Planner(Protocol):
    """The part of a :class:`~stemcli.engine.session.Session` that knows where stems go."""

    def plan_files(self, song: Path, *, folder: Path | None = None) -> PlannedFiles:
        """The paths of all files of a song."""


@dataclass(frozen=True)
class SongTask:
    """One song, and the files to write for it."""

    song: LibrarySong
    planned: PlannedFiles

    @property
    def files(self) -> list[Path]:
        """All files to write: the stems, then the picture."""
        return self.planned.files

    @property
    def name(self) -> str:
        """Name of the song in events and reports: its path below the input folder."""
        return self.song.name


def once(songs: Iterable[LibrarySong]) -> list[LibrarySong]:
    """Remove duplicates of songs that the user named twice."""
    return list({(_spelled(song.path), song.folder): song for song in songs}.values())


def _spelled(path: Path) -> str:
    """A key that is equal for all spellings of a path; a link has its own key."""
    return str(real(path.parent) / path.name)


def plan(songs: Iterable[LibrarySong], session: Planner, options: Options) -> list[SongTask]:
    """Plan the outputs of all songs.

    Files found by the scan that are planned outputs themselves, from an earlier run, are skipped.

    Raises:
        OutputError: outputs collide or cannot be written.
        StemError: models, stems or the template are wrong.
    """
    check_writable(as_path(options.output))
    tasks = [plan_song(song, session) for song in songs]
    tasks = _without_own_outputs(tasks)
    _refuse_collisions(tasks, options.filename)
    return tasks


def plan_song(song: LibrarySong, session: Planner) -> SongTask:
    """Plan the files of one song."""
    return SongTask(song, session.plan_files(song.path, folder=song.folder))


def refuse_existing(paths: Iterable[Path]) -> None:
    """Refuse to replace files.

    Raises:
        OutputError: one of ``paths`` exists.
    """
    existing = [path for path in paths if is_taken(path)]
    if existing:
        more = f" (and {len(existing) - 1} more)" if len(existing) > 1 else ""
        skip, overwrite = setting(existing="skip"), setting(existing="overwrite")
        raise OutputError(f"{existing[0]} already exists{more}. Add {skip} or {overwrite}")


@errors_about("output")
def check_writable(folder: Path) -> None:
    """Check that ``folder`` can be written, or created if it does not exist.

    Raises:
        OutputError: a file or a dangling link is in the way, permissions are missing, the name is
            invalid, or the bucket does not exist.
        StorageError: ``folder`` is a URL that cannot be reached.
    """
    if isinstance(folder, UrlPath):
        require_root(folder)
        return
    with explain_write_errors(folder), suppress(FileNotFoundError, NotADirectoryError):
        folder.stat()
    nearest = folder.absolute()
    while not os.path.lexists(nearest) and nearest != nearest.parent:
        nearest = nearest.parent
    if not nearest.exists():
        raise OutputError(
            f"{nearest} is a link to {os.readlink(nearest)}, which does not exist. Create it, "
            f"or choose another with {option('output')}"
        )
    if not nearest.is_dir():
        raise OutputError(
            f"{nearest} is a file, so {folder} cannot be a folder. Choose another "
            f"{option('output')}"
        )
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise OutputError(
            f"{nearest} is not writable. Choose another folder with {option('output')}"
        )


def _without_own_outputs(tasks: Sequence[SongTask]) -> list[SongTask]:
    """Drop found files that are stems by path and name, in any format of an earlier run."""
    makers = {
        _key(output.with_suffix("")): task.song
        for task in tasks
        for output in task.planned.stems.values()
    }
    return [
        task
        for task in tasks
        if not task.song.met
        or makers.get(_key(task.song.path.with_suffix("")), task.song) == task.song
    ]


def _refuse_collisions(tasks: Sequence[SongTask], template: str) -> None:
    shared, replaced = _collisions(tasks)
    if shared or replaced:
        found = [*shared.values(), *replaced.values()]
        more = f"; and {len(found) - LISTED} more" if len(found) > LISTED else ""
        field, advice = _advice(template, shared)
        raise OutputError(f"{'; '.join(found[:LISTED])}{more}. {advice}").about(field)


def _advice(template: str, shared: Mapping[Pair, str]) -> tuple[str, str]:
    """The field of the option to change, and what to do."""
    if not shared:
        return "output", f"Choose another folder with {option('output')}"
    if not any(f"{{{field}}}" in template for field in ("track", *TAG_FIELDS)):
        return "filename", f"Add {{track}} to {option('filename')}"
    elsewhere = f"separate each in a run of its own with another {option('output')}"
    return "output", f"Rename one of them, or {elsewhere}"


def _collisions(tasks: Sequence[SongTask]) -> tuple[dict[Pair, str], dict[Pair, str]]:
    """Pairs of songs with a common output, and pairs of a song and the song it would replace.

    Two songs that share several outputs are described once.
    """
    owners: dict[str, SongTask] = {}
    songs = {_key(task.song.path): task for task in tasks}
    shared: dict[Pair, str] = {}
    replaced: dict[Pair, str] = {}
    for task in tasks:
        for path in task.files:
            key, mine = _key(path), task.song
            other = owners.setdefault(key, task)
            if other is not task:
                both = f"{other.song.shown} and {mine.shown} would both be written to {path}"
                shared.setdefault((other.song.path, mine.path), both)
            if key in songs:
                lost = songs[key].song.path
                what = f"An output of {mine.shown} would replace the song {lost}"
                replaced[mine.path, lost] = what
    return shared, replaced


def _key(path: Path) -> str:
    """A key that is equal for paths that some file systems treat as one."""
    return folded(str(real(path)))


@contextmanager
def no_empty_folders(outputs: Iterable[Path]) -> Iterator[None]:
    """Remove the folders of ``outputs`` that did not exist before and are empty at the end.

    URLs are ignored, because object stores have no folders.

    Songs that are separated at the same time share folders: the song that created one may end
    before another song that still writes there, and cannot remove it then.
    """
    local = [path for path in outputs if not isinstance(path, UrlPath)]
    new = {folder for path in local for folder in path.parents if not folder.exists()}
    try:
        yield
    finally:
        for folder in sorted(new, key=lambda folder: len(folder.parts), reverse=True):
            # A folder that is not empty, or was never created, is left alone.
            with suppress(OSError):
                folder.rmdir()
