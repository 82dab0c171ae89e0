"""Gives complete files their final names: all of them, or none.

An older file under a final name is set aside beside it under a hidden name, and removed when all
files are in place. After an error it gets its name back. The last file needs no such step, because
replacing a file either succeeds or changes nothing. A process that is killed in between leaves
hidden files, which :func:`bring_back_older` renames at the next separation.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

from model_zoo.errors import OutputError, StorageError
from model_zoo.files import replace_file
from stemcli.audio.write_errors import explain_write_errors
from stemcli.audio.writer import OLDER, all_leftovers, aside
from stemcli.remote_path import UrlPath, is_taken

StagedFiles = Sequence[tuple[Path, Path]]
"""The temporary and the final path of every file of a song: its stems, and its picture if any."""


def publish_files(files: StagedFiles) -> None:
    """Rename complete files; after an error all older files are back, and no new one is there.

    Args:
        files: on this machine or behind URLs; temporary files stay where they are after an error.

    Raises:
        OutputError: a folder cannot be written, or a file is open in another program.
        StorageError: a URL cannot be reached.
    """
    older: list[Path] = []
    with ExitStack() as undo:
        try:
            for number, (temporary, path) in enumerate(files, 1):
                if number < len(files):
                    older += _set_aside(path, undo)
                with explain_write_errors(path):
                    replace_file(temporary, path)
        except KeyboardInterrupt:
            if not is_taken(files[-1][0]):  # it came after the last rename
                undo.pop_all()
            raise
        undo.pop_all()
    _remove_older(older, [path for _, path in files])


def bring_back_older(paths: Iterable[Path]) -> None:
    """Give older files their names back, if a killed process set them aside and wrote no newer one.

    Args:
        paths: final paths of the files of one song, on this machine.

    Raises:
        OutputError: a file cannot be renamed.
    """
    for older, path in _left_by_others([path for path in paths if not is_taken(path)]):
        if not is_taken(path):
            with explain_write_errors(path):
                replace_file(older, path)


def _remove_older(older: Sequence[Path], paths: Sequence[Path]) -> None:
    """Remove replaced files, and those that a killed process left in the same place."""
    local = [path for path in paths if older and not isinstance(path, UrlPath)]
    for path in {*older, *(file for file, _ in _left_by_others(local))}:
        with suppress(OSError, StorageError):
            path.unlink(missing_ok=True)


def _left_by_others(paths: Sequence[Path]) -> list[tuple[Path, Path]]:
    """Older files that were set aside, each with its final path; none in a write-only folder."""
    with suppress(OSError):
        return all_leftovers(paths, OLDER)
    return []


def _set_aside(path: Path, undo: ExitStack) -> list[Path]:
    """Free the name ``path``; return where its file is now, if there was one."""
    if not is_taken(path) or path.is_dir():
        undo.callback(_remove, path)
        return []
    older = aside(path)
    undo.callback(_bring_back, older, path)  # first, because Ctrl-C may come after the rename
    with explain_write_errors(path):
        replace_file(path, older)
    return [older]


def _remove(path: Path) -> None:
    if not path.is_dir():
        path.unlink(missing_ok=True)


def _bring_back(older: Path, path: Path) -> None:
    """Undo a rename that may not have taken place."""
    try:
        if is_taken(older):
            replace_file(older, path)
    except OSError as error:
        raise OutputError(
            f"{path} could not be replaced, and its older file could not be renamed back "
            f"({error.strerror or error}). It is {older}; rename it yourself"
        ) from error
