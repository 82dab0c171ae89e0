"""Readers of the layouts ``csv``, ``pairs``, ``stems`` and ``tracks``.

CSV columns: ``song``, one per stem, and optionally ``mixture`` and ``split`` (``train`` or
``valid``). Paths are relative to the CSV file; an empty cell is a stem that the song does not have.

In pairs, the rest of a mixture without its targets is not assigned to any stem.

Songs may be inside ``train/``, ``valid/`` (or ``validation/``) and ``test/``, which assigns them to
these parts.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from model_zoo.errors import DataError
from stemcli.printable import counted
from trainers.data.layouts.listing import (
    MIXTURE,
    Listing,
    by_name,
    files,
    folders,
    listed,
    read_song,
    sounds,
    stem_name,
)
from trainers.data.layouts.voxaug import has_libraries
from trainers.data.tracks import Source, Track

SONG, SPLIT = "song", "split"
SPLITS = ("", "train", "valid")


def read_csv(folder: Path) -> Listing:
    """Read the songs of a CSV file, or of the only CSV file in a folder.

    Raises:
        DataError: there is not exactly one, or it is not a table of songs.
    """
    file = find_csv(folder)
    numbered = iter(_rows(file))
    _, header = next(numbered, (0, []))
    columns = [name.strip().casefold() for name in header]
    if mistakes := _header_mistakes(columns, header):
        raise DataError(f"{file}, line 1", mistakes)
    table = _Table(file, columns)
    for line, cells in numbered:
        table.add(line, cells)
    return Listing(
        tuple(table.songs["train"]), tuple(table.songs["valid"]), problems=tuple(table.problems)
    )


def find_csv(folder: Path) -> Path:
    """Return the file itself, or the only ``*.csv`` in a folder.

    Raises:
        DataError: there is not exactly one.
    """
    if not folder.is_dir():
        return folder
    found = csv_files(folder)
    if len(found) != 1:
        names = f": {listed(path.name for path in found)}" if found else ""
        raise DataError(
            str(folder), [f"it has {len(found) or 'no'} .csv files{names}. Use the path of a file"]
        )
    return found[0]


def csv_files(folder: Path) -> list[Path]:
    """Return the CSV files in a folder."""
    return [path for path in files(folder) if path.suffix.lower() == ".csv"]


def is_table(file: Path) -> bool:
    """Return whether a file starts like a table of songs."""
    try:
        with file.open(encoding="utf-8-sig", errors="replace") as lines:
            return lines.readline().split(",")[0].strip().strip('"').casefold() == SONG
    except OSError:
        return False


NOT_UTF8 = (
    "it is not UTF-8 text. Save it as UTF-8; in Excel, with the file type CSV UTF-8"
    " (Comma delimited)"
)


def _rows(file: Path) -> list[tuple[int, list[str]]]:
    """Return non-empty rows with their last line numbers.

    Spreadsheets start UTF-8 with a byte order mark.
    """
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            reader = csv.reader(lines)
            return [(reader.line_num, cells) for cells in reader if any(map(str.strip, cells))]
    except UnicodeDecodeError as error:
        raise DataError(str(file), [NOT_UTF8]) from error
    except csv.Error as error:
        raise DataError(str(file), [f"line {reader.line_num} is not CSV ({error})"]) from error


def _header_mistakes(columns: list[str], header: list[str]) -> list[str]:
    if len(columns) == 1 and ";" in columns[0]:
        return ["columns are separated by semicolons: use commas"]
    if len(columns) == 1 and "\t" in columns[0]:
        return ["columns are separated by tabs: use commas"]
    stems = [name for name in columns if name not in (SONG, MIXTURE, SPLIT, "")]
    twice = [name for name, count in Counter(columns).items() if count > 1]
    found = f"found {', '.join(header) or 'nothing'}"
    rules = {
        f"there must be a column song, {found}. Write one row per song, below a header such as"
        " song,vocals,drums": SONG not in columns,
        f"there must be a column for each stem, e.g. song,vocals,drums, {found}": not stems,
        f"there is more than one column {', '.join(map(repr, twice))}": bool(twice),
        "a column has no name": "" in columns,
    }
    return [sentence for sentence, is_broken in rules.items() if is_broken]


class _Table:
    """Collects songs and problems row by row."""

    def __init__(self, file: Path, columns: list[str]) -> None:
        self.file = file
        self.columns = columns
        self.songs: dict[str, list[Track]] = {"train": [], "valid": []}
        self.problems: list[str] = []
        self._lines: dict[str, int] = {}

    def add(self, line: int, cells: list[str]) -> None:
        """Add a row, or report its problems."""
        mistakes = [*self._shape_mistakes(cells)]
        if not mistakes:
            row = dict(zip(self.columns, map(str.strip, cells), strict=True))
            name, split = row.pop(SONG), row.pop(SPLIT, "").casefold()
            sources = {stem: Source(self.file.parent / cell) for stem, cell in row.items() if cell}
            mistakes = [*self._mistakes(name, split, sources)]
        self.problems += [f"{self.file}, line {line}: {mistake}" for mistake in mistakes]
        if not mistakes:
            self._lines[name] = line
            mixture = sources.pop(MIXTURE, None)
            self.songs[split or "train"].append(Track(name, sources, mixture))

    def _shape_mistakes(self, cells: list[str]) -> Iterator[str]:
        if len(cells) != len(self.columns):
            yield f"there are {len(cells)} cells but {len(self.columns)} columns"

    def _mistakes(self, name: str, split: str, sources: dict[str, Source]) -> Iterator[str]:
        if not name:
            yield "the song has no name"
        if name in self._lines:
            yield f"song {name} is already in line {self._lines[name]}"
        if split not in SPLITS:
            yield f"split must be train or valid, found {split}"
        if not sources:
            yield f"song {name} has no files"
        for stem, source in sources.items():
            if not source.path.is_file():
                yield f"file {source.path} ({stem}) does not exist"


FEW = 4
"""File names that a message lists for each folder."""

AS_LIBRARIES = "--layout voxaug, which mixes any vocals with any instrumental"


def read_pairs(folder: Path) -> Listing:
    """Read one song per file below ``mixture/``; sub-folders are part of the name."""
    named: dict[str, dict[str, Path]] = {}
    problems: list[str] = []
    for child in folders(folder):
        named[stem_name(child)], twice = by_name(sounds(child, recursive=True), child)
        problems += twice
    mixtures = named.pop(MIXTURE, {})
    if apart := failed_pairs(folder):
        return Listing(problems=(*problems, apart))
    way = f": add it, or use {AS_LIBRARIES}" if has_libraries(folder) else ""
    songs = [_song(name, path, named) for name, path in mixtures.items()]
    for targets in named.values():
        alone = [path for name, path in targets.items() if name not in mixtures]
        problems += [f"{path} has no mixture of the same name in {MIXTURE}/{way}" for path in alone]
    return Listing(tuple(songs), problems=tuple(problems))


def _song(name: str, mixture: Path, named: dict[str, dict[str, Path]]) -> Track:
    stems = {stem: Source(files[name]) for stem, files in named.items() if name in files}
    return Track(name, stems, Source(mixture))


def failed_pairs(folder: Path) -> str:
    """Return a sentence if mixtures and targets exist, but no two of one name; else empty."""
    held = {child: sounds(child, recursive=True) for child in folders(folder)}
    mixtures = next((child for child, found in held.items() if _is_mixture(child) and found), None)
    targets = {child: found for child, found in held.items() if not _is_mixture(child) and found}
    if mixtures is None or not targets:
        return ""
    known = _names(mixtures, held[mixtures])
    if any(known & _names(child, found) for child, found in targets.items()):
        return ""
    places = {mixtures: held[mixtures], **targets}
    there = "; ".join(
        f"{child.name}/ has {listed((path.name for path in found), FEW)}"
        for child, found in places.items()
    )
    first = next(iter(targets.values()))[0]
    wanted = first.with_name(f"{held[mixtures][0].stem}{first.suffix}")
    move = f", or move {mixtures} away to mix the stems at random" if len(targets) > 1 else ""
    return (
        f"no file in {MIXTURE}/ has the name of a stem's file ({there}): give the files of a song"
        f" one name, e.g. rename {first} to {wanted.name}{move}"
    )


def _is_mixture(folder: Path) -> bool:
    return stem_name(folder) == MIXTURE


def _names(root: Path, paths: list[Path]) -> set[str]:
    return {path.relative_to(root).with_suffix("").as_posix() for path in paths}


def read_stems(folder: Path) -> Listing:
    """Read every audio file below ``vocals/``, ``drums/`` etc. as a song with that one stem."""
    songs = []
    notes = []
    for child in folders(folder):
        if _is_mixture(child):
            notes.append(f"{child} was skipped: the layout stems makes its own mixtures")
            continue
        for path in sounds(child, recursive=True):
            name = path.relative_to(folder).with_suffix("").as_posix()
            songs.append(Track(name, {stem_name(child): Source(path)}))
    return Listing(tuple(songs), notes=tuple(notes))


TRAINING = "train"
VALIDATION = ("valid", "validation", "test")
"""The first of these that has songs is used for validation; the others are ignored."""


def read_tracks(folder: Path) -> Listing:
    """Read the songs of ``folder`` itself and of its parts."""
    parts = {part.name: part for part in folders(folder) if is_part(part)}
    reader = _Reader()
    training = reader.songs([path for path in folders(folder) if path.name not in parts])
    if TRAINING in parts:
        training += reader.songs(folders(parts[TRAINING]))
    named = [parts[name] for name in VALIDATION if name in parts]
    validation = reader.songs(folders(named[0])) if named else []
    notes = [
        f"{counted(len(folders(part)), 'song')} below {part} {_are(part)} not used"
        for part in named[1:]
    ]
    notes += [*reader.notes(), *_loose(folder, training)]
    return Listing(
        tuple(training), tuple(validation), problems=tuple(reader.problems), notes=tuple(notes)
    )


def is_part(folder: Path) -> bool:
    """Return whether a folder has songs for training, validation or tests, and is not a song."""
    is_named = folder.name in (TRAINING, *VALIDATION)
    return is_named and not sounds(folder) and any(sounds(song) for song in folders(folder))


class _Reader:
    """Reads songs and collects notes."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.silent: list[str] = []

    def songs(self, paths: list[Path]) -> list[Track]:
        found = []
        for path in paths:
            song, problems = read_song(path, path.name)
            self.problems += problems
            if song:
                found.append(song)
            else:
                self.silent.append(path.name)
        return found

    def notes(self) -> list[str]:
        if not self.silent:
            return []
        what = counted(len(self.silent), "folder")
        return [f"{what} without audio files skipped: {listed(self.silent)}"]


def _are(part: Path) -> str:
    return "is" if len(folders(part)) == 1 else "are"


def _loose(folder: Path, songs: list[Track]) -> list[str]:
    loose = [path.name for path in sounds(folder)]
    if not loose or not songs:
        return []
    return [f"{counted(len(loose), 'audio file')} outside of songs skipped: {listed(loose)}"]
