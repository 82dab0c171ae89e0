"""Detects the layout of a folder, and reads the songs of ``--validation``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Set
from dataclasses import replace
from pathlib import Path

from model_zoo.errors import DataError
from stemcli.printable import counted
from trainers.config import DataRecipe
from trainers.data.layouts import READERS, examples
from trainers.data.layouts.checks import WELL_KNOWN
from trainers.data.layouts.folders import (
    VALIDATION,
    csv_files,
    failed_pairs,
    is_part,
    is_table,
)
from trainers.data.layouts.listing import (
    MIXTURE,
    Listing,
    files,
    folders,
    read_song,
    sounds,
    stem_name,
)
from trainers.data.layouts.misplaced import nothing_to_learn_from, wrong_place
from trainers.data.layouts.musdb18 import stem_files
from trainers.data.layouts.voxaug import has_libraries, looks_like_voxaug
from trainers.data.tracks import Track

MUSDB = frozenset({"mixture", "bass", "drums", "other", "vocals"})


def look(
    folder: Path,
    stems: Set[str] = frozenset(),
    *,
    are_mixtures_enough: bool = False,
    option: str = "--data",
) -> str:
    """Detect the layout of a data folder.

    Args:
        folder: the folder, or a CSV file.
        stems: stem names besides the well-known ones.
        are_mixtures_enough: whether stems may have any name: then folders of audio files count as
            songs if they match no layout.
        option: how the user names the folder, for messages that suggest another.

    Raises:
        DataError: it matches no layout.
    """
    found = _matching(folder, stems)
    could_be_pairs = found in ("", "stems") and folder.is_dir() and not are_mixtures_enough
    if could_be_pairs and failed_pairs(folder):
        return "pairs"  # whose reader says which names differ
    if found:
        return found
    if are_mixtures_enough and folder.is_dir() and any(map(sounds, _songs(folder))):
        return "tracks"
    explained = explain_folder(folder, stems, option)
    if explained:
        raise DataError("", [f"{folder} {explained}"])
    raise DataError(
        str(folder),
        [
            f"found {_contents(folder)}, which matches no layout ({examples()})."
            " See docs/training-data.md, or set the layout, e.g. --set data.layout=tracks"
        ],
    )


def explain_folder(folder: Path, stems: Set[str], option: str) -> str:
    """Say what is wrong with a folder without songs and which to use; empty if nothing is known.

    The answer is the rest of a sentence about the folder.
    """
    explained = wrong_place(folder, WELL_KNOWN | stems, option)
    if explained or not folder.is_dir():
        return explained
    return nothing_to_learn_from(
        folder, WELL_KNOWN | stems, lambda child: bool(_matching(child, stems)), option
    )


def _matching(folder: Path, stems: Set[str]) -> str:
    """Return the layout that a folder matches; empty for none."""
    looks = LOOKS if folder.is_dir() else {"csv": _is_csv}
    names = WELL_KNOWN | stems
    return next((layout for layout, fits in looks.items() if fits(folder, names)), "")


def _is_csv(folder: Path, names: Set[str]) -> bool:
    if not folder.is_dir():
        return folder.suffix.lower() == ".csv" or is_table(folder)
    found = csv_files(folder)
    return any(map(is_table, found)) or (bool(found) and not folders(folder))


def _is_musdb18(folder: Path, names: Set[str]) -> bool:
    return any(stem_files(path) for path in (folder, folder / "train", folder / "test"))


def _is_musdb18_hq(folder: Path, names: Set[str]) -> bool:
    """Look for train and test with musdb's files, and no part that musdb does not have."""
    parts = {part.name: part for part in folders(folder)}
    if not {"train", "test"} <= parts.keys() or parts.keys() & {*VALIDATION[:-1]}:
        return False
    return any(
        {path.name for path in sounds(song)} >= {f"{stem}.wav" for stem in MUSDB}
        for song in folders(parts["train"])
    )


def _is_tracks(folder: Path, names: Set[str]) -> bool:
    """Look for non-stem folders with stem files, or with files of the same names."""
    are_stems = any(stem_name(child) in {*names, MIXTURE} for child in folders(folder))
    songs = [song for song in _songs(folder) if stem_name(song) not in {*names, MIXTURE}]
    held = [{stem_name(path) for path in sounds(song)} for song in songs]
    repeated = Counter(name for stems in held for name in stems)
    is_known = any(stems & names for stems in held)
    return is_known or (not are_stems and max(repeated.values(), default=0) > 1)


def _is_pairs(folder: Path, names: Set[str]) -> bool:
    """Look for a folder with a file of the same name as one in ``mixture/``."""
    named = {
        stem_name(child): {stem_name(path) for path in sounds(child, recursive=True)}
        for child in folders(folder)
    }
    mixtures = named.pop(MIXTURE, set())
    return any(mixtures & targets for targets in named.values())


def _is_voxaug(folder: Path, names: Set[str]) -> bool:
    return looks_like_voxaug(folder)


def _is_stems(folder: Path, names: Set[str]) -> bool:
    return any(
        stem_name(child) in names and sounds(child, recursive=True) for child in folders(folder)
    )


LOOKS: dict[str, Callable[[Path, Set[str]], bool]] = {
    "csv": _is_csv,
    "musdb18": _is_musdb18,
    "musdb18_hq": _is_musdb18_hq,
    "tracks": _is_tracks,
    "voxaug": _is_voxaug,
    "pairs": _is_pairs,
    "stems": _is_stems,
}
"""Detectors in order; the first match wins."""


def _songs(folder: Path) -> list[Path]:
    """Return the folders that would be songs in the layout ``tracks``."""
    parts = [part for part in folders(folder) if is_part(part)]
    inside = [song for part in parts for song in folders(part)]
    return [path for path in folders(folder) if path not in parts] + inside


def _contents(folder: Path) -> str:
    """Describe the contents of a folder in a few words."""
    if not folder.is_dir():
        return "a file"
    inside = len(files(folder)), len(folders(folder))
    if not any(inside):
        return "nothing"
    words = (counted(count, noun) for count, noun in zip(inside, ("file", "folder"), strict=True))
    return " and ".join(words)


LIBRARIES = "voxaug"
WANTED = "use folders with mixture.* and one file per stem"


def names_of(recipe: DataRecipe, stems: Iterable[str] | None) -> frozenset[str]:
    """Return stem names besides the well-known ones."""
    parts = (part for group in recipe.groups.values() for part in group)
    return frozenset({*(stems or ()), *parts})


def read_named(paths: Iterable[Path], recipe: DataRecipe, stems: tuple[str, ...] | None) -> Listing:
    """Read the songs of ``--validation`` and report problems with them.

    If the data reserves songs for validation, only these are used; else all.

    Args:
        paths: folders of one or more songs, or CSV files.
        recipe: recipe of the data; voxaug folders with unusual names need its layout.
        stems: stems of the network; empty if it trains on mixtures alone.

    Raises:
        FfmpegMissingError: MUSDB18 needs ffmpeg and ffprobe.
        MissingExtraError: MUSDB18 needs musdb.
    """
    found = [_read(path, recipe, stems) for path in paths]
    return Listing(
        validation=tuple(song for one in found for song in one.validation),
        headers={source: info for one in found for source, info in one.headers.items()},
        problems=tuple(problem for one in found for problem in one.problems),
        notes=tuple(note for one in found for note in one.notes),
    )


def _read(path: Path, recipe: DataRecipe, stems: tuple[str, ...] | None) -> Listing:
    if path.is_dir() and sounds(path):
        song, twice = read_song(path, path.name)
        explained = "" if song and _may_be_scored(song, recipe, stems) else _explained(path, recipe)
        if explained:
            return _refused(explained)
        return Listing(validation=(song,) if song else (), problems=tuple(twice))
    if path.is_dir() and not sounds(path, recursive=True):
        return _refused(f"{path} contains no audio: use a folder with stems")
    try:
        layout = _layout(path, recipe, stems)
    except DataError:
        unknown = f"{path} matches no layout of songs: {WANTED}"
        return _refused(_explained(path, recipe) or unknown)
    found = _songs_of(path, layout)
    if not found.validation and not found.problems:
        return _refused(_explained(path, recipe) or f"{path} contains no songs: {WANTED}")
    return found


def _may_be_scored(song: Track, recipe: DataRecipe, stems: tuple[str, ...] | None) -> bool:
    """Whether the files in a folder can be those of one song, by their names."""
    return not stems or bool(song.mixture) or bool(song.stems.keys() & names_of(recipe, stems))


def _explained(path: Path, recipe: DataRecipe) -> str:
    explained = explain_folder(path, names_of(recipe, None), "--validation")
    return f"{path} {explained}" if explained else ""


def _layout(path: Path, recipe: DataRecipe, stems: tuple[str, ...] | None) -> str:
    if recipe.layout == LIBRARIES and path.is_dir() and has_libraries(path):
        return LIBRARIES
    return look(path, names_of(recipe, stems), are_mixtures_enough=stems == ())


def _songs_of(path: Path, layout: str) -> Listing:
    reader = READERS[layout]
    if not reader.holds_songs and not reader.pair:
        return _refused(f"{path} contains single stems, which have no mixture: {WANTED}")
    try:
        listing = reader.read(path)
    except DataError as error:
        return Listing(problems=tuple(f"{path}: {problem}" for problem in error.problems))
    songs: tuple[Track, ...] = listing.validation or listing.training
    if reader.pair:
        songs = reader.pair(listing.training)
    return replace(listing, training=(), validation=songs)


def _refused(problem: str) -> Listing:
    return Listing(problems=(problem,))
