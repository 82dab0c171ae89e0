"""Says which folder to use if one was named that is not a folder of songs.

Users name the folder of one song, one file, a part of a data set, or a folder above it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Set
from contextlib import suppress
from pathlib import Path

from model_zoo.shell import quoted
from stemcli.printable import counted
from trainers.data.layouts.folders import TRAINING, VALIDATION, is_part
from trainers.data.layouts.listing import MIXTURE, files, folders, listed, sounds, stem_name
from trainers.data.layouts.musdb18 import ENDING, stem_files
from trainers.data.layouts.voxaug import LIBRARIES

PARTS = (TRAINING, *VALIDATION)
FEW = 3
"""Folders, or files, that are named as examples."""

ARCHIVES = (".7z", ".bz2", ".gz", ".rar", ".tar", ".tgz", ".xz", ".zip", ".zst")

SONG_AND_STEM = re.compile(r"(?P<song>.+?)[\s_.\-]+[(\[]?(?P<stem>[^\W_]+(_vocals)?)[)\]]?")
"""Names such as ``Song - drums``, ``song_vocals`` and ``Song_(Vocals)``."""


def wrong_place(path: Path, names: Set[str], option: str) -> str:
    """Say what a folder or file is instead of a folder of songs, and which folder to use.

    Args:
        path: an existing folder or file.
        names: names of stems.
        option: how the user names the folder, e.g. ``--data``.

    Returns:
        The rest of a sentence about ``path``, such as ``is the folder of one song. Use its parent:
        --data songs``; empty if nothing is known.
    """
    known = names | {MIXTURE}.union(*LIBRARIES.values())
    if not path.is_dir():
        return _file(path, known, option)
    if stem_files(path):
        return _musdb18_part(path, option)
    if _is_song(path, known):
        return f"is the folder of one song. {_use_above(path, known, option)}"
    if _is_stem(path, known):
        return f"is the folder of one stem. {_use(option, parent_of(path))}"
    return ""


def part_of_a_set(folder: Path, option: str) -> str:
    """Note that a folder is one part of a data set with other parts; empty if it is not."""
    parent, name = parent_of(folder), _name(folder)
    if name not in PARTS or not is_part(folder.resolve()):
        return ""
    beside = [parent / part for part in PARTS if part != name]
    others = [f"{path.name}/" for path in beside if path.is_dir() and is_part(path)]
    if not others:
        return ""
    return (
        f"{folder} is one part of a data set; {' and '.join(others)} beside it"
        f" {'is' if len(others) == 1 else 'are'} not used. For the whole set:"
        f" {option} {typed(parent)}"
    )


def nothing_to_learn_from(
    folder: Path, names: Set[str], fits: Callable[[Path], bool], option: str
) -> str:
    """Say what a folder without any layout holds, and what to do; empty if nothing is known.

    Args:
        folder: the folder.
        names: names of stems.
        fits: whether a folder matches a layout.
        option: how the user names the folder.
    """
    inside = folders(folder)
    if not inside and not files(folder):
        return (
            "is an empty folder. Add one folder per song with its stems (docs/training-data.md has"
            " other layouts), or try: stem data render toy"
        )
    below = [child for child in inside if fits(child)] or [*_second_level(inside, fits)]
    if below:
        ways = [f"{option} {typed(child)}" for child in below[:FEW]]
        return f"does not hold songs itself, but a folder in it does. Use {' or '.join(ways)}"
    mixes, is_flat = sounds(folder), not any(map(sounds, inside))
    if mixes and is_flat:
        if moves := _side_by_side(mixes, names | {MIXTURE}):
            return (
                f"has the stems of songs side by side. Training needs a folder per song: move"
                f" {' and '.join(moves)}{' etc.' if len(mixes) > len(moves) else ''}"
            )
        example = folder / mixes[0].stem / f"vocals{mixes[0].suffix}"
        return (
            f"has {counted(len(mixes), 'audio file')} but no stems. Training needs the stems of"
            f" each song, in a folder per song, e.g. {example}. To separate these files instead,"
            f" run: stem batch {typed(folder)}"
        )
    if is_flat:
        return f"has no audio files, nor have the folders in it. {_unpack(files(folder))}"
    return ""


def _unpack(found: Iterable[Path]) -> str:
    """Advise to unpack archives, or else to use another folder."""
    archives = [path for path in found if path.name.lower().endswith(ARCHIVES)]
    if not archives:
        return "Use the folder with the songs"
    return f"Unpack {listed(map(str, archives), FEW)}, then run it again"


def _side_by_side(mixes: Iterable[Path], names: Set[str]) -> list[str]:
    """Return moves of files such as ``Song - drums.wav`` into a folder of the song."""
    moves = []
    for path in mixes:
        match = SONG_AND_STEM.fullmatch(path.stem)
        if match and match["stem"].casefold() in names:
            wanted = path.parent / match["song"] / f"{match['stem'].casefold()}{path.suffix}"
            moves.append(f"{quoted(path)} to {quoted(wanted)}")
    return moves[:FEW]


def _second_level(inside: Iterable[Path], fits: Callable[[Path], bool]) -> Iterator[Path]:
    for child in inside:
        with suppress(OSError):  # a folder that cannot be read is not suggested
            yield from filter(fits, folders(child))


def no_stems(songs: Iterable[str]) -> str:
    """Report that songs are nothing but mixtures, in one sentence."""
    return (
        f"no song has stems, only a mixture ({listed(songs)}): add the stems of each song, e.g."
        " vocals.wav beside mixture.wav"
    )


def typed(path: Path) -> str:
    """Return a path for a shell; a slash keeps a final dot from being taken for a full stop."""
    text = str(path)
    return quoted(f"{text}/" if text.endswith(".") else text)


def parent_of(path: Path) -> Path:
    """Return the parent of a path as a user would type it, also of ``.`` and ``..``."""
    return path.parent if path.name not in ("", "..") else path / ".."


def _name(folder: Path) -> str:
    return folder.resolve().name


def _use(option: str, folder: Path) -> str:
    return f"Use its parent: {option} {typed(folder)}"


def _use_above(song: Path, known: Set[str], option: str) -> str:
    """Advise to use the folder of all songs: the parent of a song, or of its ``train/``."""
    parent = parent_of(song)
    if _name(parent) in PARTS:
        return f"Use the folder of all songs: {option} {typed(parent_of(parent))}"
    if _are_songs(song, known):
        return _use(option, parent)
    return f"Give the song a folder of its own: {_into_a_folder(song)}, then run it again"


def _are_songs(song: Path, known: Set[str]) -> bool:
    """Whether all folders with sound beside a song are songs too, and there is one."""
    own = {stem_name(path) for path in sounds(song)}
    held = {child: {*map(stem_name, sounds(child))} for child in _beside(song)}
    others = [
        child.name.casefold() not in known and bool(names & known or names == own)
        for child, names in held.items()
        if names
    ]
    return bool(others) and all(others)


def _into_a_folder(song: Path) -> str:
    """Return the commands that move the files of a song into a folder inside."""
    inside, found = song / _name(song), sounds(song)
    moved = " ".join(quoted(path) for path in found)
    if os.name == "nt":  # its move takes one file or pattern
        steps = [f"move {quoted(path)} {quoted(inside)}" for path in found]
        return " && ".join([f"mkdir {quoted(inside)}", *steps])
    return f"mkdir {quoted(inside)} && mv {moved} {quoted(inside)}"


def _file(path: Path, known: Set[str], option: str) -> str:
    """Say what to use instead of a file."""
    folder = parent_of(path)
    if path.name.endswith(ENDING):
        above = parent_of(folder) if _name(folder) in PARTS else folder
        return f"is one song of MUSDB18. Use the folder of all songs: {option} {typed(above)}"
    if path not in sounds(folder):
        return ""
    if stem_name(path) in known:
        above = parent_of(folder)
        above = parent_of(above) if _name(above) in PARTS else above
        return f"is one stem of a song. Use the folder of all songs: {option} {typed(above)}"
    if _name(folder).casefold() in known:
        above = parent_of(folder)
        return f"is one file. Use the folder with all stems: {option} {typed(above)}"
    return (
        "is one audio file. Training needs the stems of many songs, in a folder per song. To"
        f" separate it instead, run: stem separate {typed(path)}"
    )


def _musdb18_part(folder: Path, option: str) -> str:
    """Say where the folders of MUSDB18 are; its files belong into ``train/`` and ``test/``."""
    if _name(folder) in PARTS:
        return f"is one part of MUSDB18. {_use(option, parent_of(folder))}"
    if any(stem_files(folder / part) for part in PARTS):
        return ""
    return (
        f"has *{ENDING} files, which MUSDB18 keeps in {TRAINING}/. Move them to"
        f" {folder / TRAINING}, then run it again"
    )


def _is_song(folder: Path, known: Set[str]) -> bool:
    """Whether a folder has files of stems, or the same two files or more as a folder beside it.

    Numbers are no stems: albums have the same ones.
    """
    own = {stem_name(path) for path in sounds(folder)}
    if own & known:
        return True
    is_stem = _name(folder).casefold() in known
    if is_stem or len(own) < 2 or any(name[:1].isdigit() for name in own):
        return False
    songs = [child for child in _beside(folder) if child.name.casefold() not in known]
    return any(own == set(map(stem_name, sounds(child))) for child in songs)


def _is_stem(folder: Path, known: Set[str]) -> bool:
    """Whether a folder is named like a stem, has sound, and is beside another such folder."""
    others = [child for child in _beside(folder) if child.name.casefold() in known]
    return _name(folder).casefold() in known and bool(sounds(folder)) and any(map(sounds, others))


def _beside(folder: Path) -> list[Path]:
    own = folder.resolve()
    return [child for child in folders(own.parent) if child != own]
