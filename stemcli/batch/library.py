"""Finds the songs of a library, without the stems that earlier runs wrote beside them.

Hidden files and folders, files that are not audio, and stems of earlier runs are skipped. Every
real folder is visited once, no matter how many links lead to it, so loops of links end. Patterns
support ``*`` (anything but a slash), ``**`` (anything) and ``?``; brackets are literal, because
they are common in names of songs.
"""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from model_zoo.errors import OutputError, StemError, UsageError
from model_zoo.option_names import option
from model_zoo.shell import quoted
from stemcli.audio.allowed_formats import is_song
from stemcli.batch.journal import NAME, Journal
from stemcli.batch.patterns import matches
from stemcli.engine.inputs import on_disk
from stemcli.engine.outputs import PICTURE_SUFFIX
from stemcli.fetch import Report
from stemcli.printable import is_web
from stemcli.remote_path import UrlPath, folded, is_there, real


class StemsBeside:
    """Collects the stems of earlier runs from the journals in the visited folders.

    A folder with a journal contains either only stems, or songs and stems.
    """

    def __init__(self) -> None:
        self._stems: set[str] = set()

    def read(self, folder: Path) -> bool:
        """Read the journal of a folder; return whether its songs are in that folder too.

        Raises:
            OutputError: the journal cannot be read, is damaged or was written by another version of
                Stem.
        """
        with Journal(folder, read_only=True) as journal:
            stems = {_key(path) for path in journal.stems() if path.suffix != PICTURE_SUFFIX}
            is_mixed = _has_songs(folder, journal.songs(), stems)
        if is_mixed:
            self._stems |= stems
        return is_mixed

    def holds(self, path: Path) -> bool:
        """Whether a file is a stem of an earlier run."""
        return bool(self._stems) and _key(path) in self._stems


def _has_songs(folder: Path, songs: Iterable[tuple[Path, Path]], stems: set[str]) -> bool:
    """Whether a song was read from the folder or, if the folder was moved since, is in it now."""
    root = real(folder)
    may_have_moved = not isinstance(folder, UrlPath)  # the journal of a URL belongs to that URL
    return any(
        _key(path) not in stems
        and (real(source).is_relative_to(root) or (may_have_moved and is_there(path)))
        for source, path in songs
    )


def _key(path: Path) -> str:
    """A key that is equal for all paths to a file; a link has its own key."""
    folder = path.parent if isinstance(path, UrlPath) else real(path.parent)
    return folded(str(folder / path.name))


OF_WINDOWS = frozenset({"$recycle.bin", "system volume information"})
"""Folders in the root of every drive of Windows, in lower case."""


@dataclass(frozen=True)
class LibrarySong:
    """A file to separate.

    Attributes:
        path: path of the file.
        folder: the sub-folder of the output that mirrors its folder.
        met: whether the file was found by a scan; False if the user named it.
        url: where to download ``path`` from when the song is separated; empty for other songs.
        label: name of the song in events; empty for ``path`` below ``folder``.
        origin: name of a temporary ``path`` in messages and reports; empty for other songs.
        error: why an earlier attempt to download it failed; it is not tried again.
    """

    path: Path
    folder: Path = Path()
    met: bool = False
    url: str = ""
    label: str = ""
    origin: str = ""
    error: StemError | None = None

    @property
    def name(self) -> str:
        """Name of the song in events and reports."""
        return self.label or str(self.folder / self.path.name)

    @property
    def shown(self) -> str:
        """The song as the user knows it: a path, a URL or ``stdin``."""
        return self.origin or str(self.path)


@contextmanager
def fetched(
    song: LibrarySong, ended: threading.Event, report: Report | None = None
) -> Iterator[Path]:
    """The file of a song on this machine; it is removed at the end if it was downloaded.

    Args:
        song: the song.
        ended: when it is set, a download stops at once.
        report: called with the progress of a download, see :func:`~stemcli.fetch.fetch`.

    Raises:
        StemError: it cannot be downloaded, or was raised inside; the message names the song as the
            user knows it, and the class is kept.
        KeyboardInterrupt: ``ended`` was set during the download.
    """
    if song.error:
        raise song.error
    try:
        with on_disk(_source(song), song.path.name, ended, report, song.shown) as path:
            yield path
    finally:
        if song.url:
            with suppress(OSError):  # its folder is removed later
                song.path.unlink(missing_ok=True)


def _source(song: LibrarySong) -> str | Path:
    """The file of a song on this machine, else its URL."""
    if isinstance(song.path, UrlPath):
        return str(song.path)
    return song.url if song.url and not song.path.exists() else song.path


@dataclass
class LibraryScan:
    """The result of scanning a library.

    Attributes:
        songs: in the order of their paths.
        hidden: number of files and folders that are hidden: by a dot, or on Windows.
        other: number of files that are not audio, by their extension, or by their first bytes if
            other kinds of files share that extension.
        excluded: number of songs that the patterns excluded.
        stems: number of stems of earlier runs beside their songs.
        outputs: number of folders that contain only stems of earlier runs.
        unreadable: folders without read permission.
        unclear: sub-folders that were skipped because their journals cannot be used, so that songs
            and stems cannot be distinguished; each with the message of the error.
        unmatched: patterns that no song or folder matches.
    """

    songs: list[LibrarySong] = field(default_factory=list)
    hidden: int = 0
    other: int = 0
    excluded: int = 0
    stems: int = 0
    outputs: int = 0
    unreadable: list[Path] = field(default_factory=list)
    unclear: dict[Path, str] = field(default_factory=dict)
    unmatched: list[str] = field(default_factory=list)

    @property
    def passed_over(self) -> list[str]:
        """Counts of the files that are not songs to separate, in words."""
        counts = {
            "excluded": self.excluded,
            "not audio": self.other,
            "hidden": self.hidden,
            "stems of earlier runs": self.stems,
            "with the stems of earlier runs": self.outputs,
        }
        return [f"{count} {what}" for what, count in counts.items() if count]


def find_songs(
    root: Path,
    *,
    recursive: bool = True,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    output: Path | None = None,
    stems_too: bool = False,
) -> LibraryScan:
    """Find the songs below ``root``.

    Args:
        root: the folder to scan.
        recursive: whether to visit sub-folders.
        include: patterns; if there are any, a song must match one of them.
        exclude: patterns; a song must match none of them.
        output: a folder to skip if it is below ``root``.
        stems_too: whether to include stems of earlier runs beside their songs.

    Raises:
        UsageError: ``root`` is not a folder.
        StorageError: ``root`` is a URL that cannot be reached.
        OutputError: the journal in ``root`` cannot be used.
    """
    if not root.is_dir():
        if is_web(str(root)):
            raise UsageError(
                f"{root} is on a web server, which lists no songs. Name the URL of each song: "
                "stem separate URL..."
            )
        if root.exists():
            raise UsageError(f"{root} is a file. Try: stem separate {quoted(str(root))}")
        raise UsageError(f"{root} does not exist. Try: stem batch FOLDER")
    beside = StemsBeside()
    if not stems_too:
        beside.read(root)
    if isinstance(root, UrlPath):
        found = _found_behind(root, recursive, output, beside)
    else:
        walk = _Walk(root, recursive, output, beside)
        walk.run()
        found = walk.found
    _apply_patterns(found, include, exclude)
    return found


def require_songs(found: LibraryScan, root: Path) -> None:
    """Require at least one song.

    Raises:
        UsageError: no song was found; the message counts what was found instead.
    """
    if found.songs or found.unreadable or found.unclear:
        return
    raise UsageError(
        f"There is no song in {root} ({', '.join(found.passed_over) or 'it is empty'}). "
        f"Check the path, {option('recursive')}, {option('include')} and {option('exclude')}"
    )


def _apply_patterns(found: LibraryScan, include: Sequence[str], exclude: Sequence[str]) -> None:
    def is_kept(song: LibrarySong) -> bool:
        path = song.folder / song.path.name
        is_included = not include or any(matches(pattern, path) for pattern in include)
        return is_included and not any(matches(pattern, path) for pattern in exclude)

    kept = [song for song in found.songs if is_kept(song)]
    known = [*(song.folder / song.path.name for song in found.songs), *found.unclear]
    found.unmatched = [
        pattern
        for pattern in dict.fromkeys([*include, *exclude])
        if not any(matches(pattern, path) for path in known)
    ]
    found.unclear = {
        folder: why
        for folder, why in found.unclear.items()
        if not any(matches(pattern, folder) for pattern in exclude)
    }
    found.excluded = len(found.songs) - len(kept)
    found.songs = sorted(kept, key=lambda song: (song.folder.parts, song.path.name))


def _found_behind(
    root: UrlPath, recursive: bool, output: Path | None, beside: StemsBeside
) -> LibraryScan:
    """Scan a URL, where there are no links."""
    found = LibraryScan()
    for path in root.below():
        folder = Path(path.parent)
        if output and output != root and output in (root / path).parents:
            continue
        if any(part.startswith(".") for part in path.parts):
            found.hidden += 1
        elif beside.holds(root / path):
            found.stems += 1
        elif not is_song(root / path):
            found.other += 1
        elif recursive or folder == Path():
            found.songs.append(LibrarySong(root / path, folder, met=True))
    return found


class _Walk:
    """Scans a local folder: real folders first, then linked folders not visited before."""

    def __init__(
        self, root: Path, recursive: bool, output: Path | None, beside: StemsBeside
    ) -> None:
        self.found = LibraryScan()
        self.recursive, self.beside = recursive, beside
        self.pending: list[tuple[Path, Path]] = [(root, Path())]
        self.linked: list[tuple[Path, Path]] = []
        self.visited: set[Path] = set()
        if output and not isinstance(output, UrlPath) and not _same(output, root):
            self.visited.add(_real(output))

    def run(self) -> None:
        while self.pending or self.linked:
            path, folder = (self.pending or self.linked).pop(0)
            real = _real(path)
            if real not in self.visited:
                self.visited.add(real)
                self._visit(path, folder)

    def _visit(self, path: Path, folder: Path) -> None:
        if folder != Path() and os.path.isfile(path / NAME) and not self._has_songs(path, folder):
            return
        for entry in self._entries(path):
            if _is_hidden(entry):
                self.found.hidden += 1
            elif _is_folder(entry):
                queue = self.linked if entry.is_symlink() else self.pending
                if self.recursive:
                    queue.append((path / entry.name, folder / entry.name))
            elif self.beside.holds(path / entry.name):
                self.found.stems += 1
            elif is_song(path / entry.name, is_regular=_is_regular(entry)):
                self.found.songs.append(LibrarySong(path / entry.name, folder, met=True))
            else:
                self.found.other += 1

    def _has_songs(self, path: Path, folder: Path) -> bool:
        """Whether a folder with a journal contains songs beside the stems; False if unclear."""
        try:
            is_mixed = self.beside.read(path)
        except OutputError as error:
            self.found.unclear[folder] = str(error)
            return False
        self.found.outputs += not is_mixed
        return is_mixed

    def _entries(self, path: Path) -> Iterator[os.DirEntry[str]]:
        try:
            with os.scandir(path) as entries:
                yield from sorted(entries, key=lambda entry: entry.name)
        except OSError:
            self.found.unreadable.append(path)


def _is_hidden(entry: os.DirEntry[str]) -> bool:
    """Whether the name begins with a dot or is Windows's own, or the file is hidden there.

    The attribute ``system`` says nothing: folders with an icon of their own have it.
    """
    if entry.name.startswith(".") or entry.name.casefold() in OF_WINDOWS:
        return True
    if os.name != "nt":
        return False
    try:
        attributes = getattr(entry.stat(follow_symlinks=False), "st_file_attributes", 0)
    except OSError:
        return False
    return bool(attributes & stat.FILE_ATTRIBUTE_HIDDEN)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _is_regular(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError:
        return False


def _same(one: Path, other: Path) -> bool:
    return _real(one) == _real(other)


def _real(path: Path) -> Path:
    """Resolve links; unlike ``Path.resolve``, keeps links that form a loop."""
    return Path(os.path.realpath(path))
