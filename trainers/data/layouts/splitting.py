"""Splits songs into training and validation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from stemcli.printable import counted
from stemcli.remote_path import folded
from trainers.data.layouts.listing import Listing, library_folders, listed
from trainers.data.tracks import Track

FEWEST = 3
"""Minimum number of songs for a validation song to be held out."""


@dataclass(frozen=True)
class Split:
    """Training and validation songs, and notes about the split."""

    training: tuple[Track, ...]
    validation: tuple[Track, ...]
    notes: tuple[str, ...] = ()

    @property
    def songs(self) -> tuple[Track, ...]:
        """All songs."""
        return (*self.training, *self.validation)


NO_MIXTURE = "Single stems have no mixture to validate on: use --validation DIR"


Pairing = Callable[[tuple[Track, ...]], tuple[Track, ...]]
"""Function from held-out files to songs mixed from them."""


def split(
    listing: Listing,
    named: tuple[Track, ...],
    share: float,
    *,
    holds_songs: bool = True,
    pair: Pairing | None = None,
) -> Split:
    """Split into training and validation: by ``--validation``, else by the data, else by share.

    Args:
        listing: contents of the data folder.
        named: songs of ``--validation``; they are never trained on, wherever they are.
        share: share of songs to hold out if neither provides any; 0 for none.
        holds_songs: whether the data has songs; single stems are all trained on.
        pair: builds validation songs from single stems, of which a share is then held out.
    """
    if named:
        return _as_named(listing, named, "song" if holds_songs else "file")
    if listing.validation:
        return _apart(listing.training, listing.validation, ())
    if pair:
        return _paired(listing.training, share, pair)
    if not holds_songs:
        return Split(listing.training, (), (NO_MIXTURE,) if listing.training else ())
    training, held = hold_out(listing.training, share)
    words = f"Held out for validation, by name: {listed(song.name for song in held)}"
    return _apart(training, held, (words,) if held else ())


def _paired(songs: tuple[Track, ...], share: float, pair: Pairing) -> Split:
    """Hold out a share of the files of each stem, and build validation songs from them.

    Files of the same name are takes of one song, also across stems, and are held out together: the
    mixture of an instrumental has the vocals that may be in the other library.
    """
    libraries = _libraries(songs)
    few = [stem for stem, names in libraries.items() if len(names) < FEWEST]
    if few or not share:
        return Split(songs, (), (_too_few(few, songs),) if share and songs else ())
    names = _held_together(tuple(libraries.values()), share)
    mixed = pair(tuple(song for song in songs if _own_name(song) in names))
    words = f"Validation mixes of held-out files: {listed(song.name for song in mixed)}"
    rest = tuple(song for song in songs if _own_name(song) not in names)
    return _apart(rest, mixed, (words,), "file")


def _libraries(songs: tuple[Track, ...]) -> dict[str, set[str]]:
    """Return the names of the files of each stem."""
    found: dict[str, set[str]] = {}
    for song in songs:
        for stem in song.stems:
            found.setdefault(stem, set()).add(_own_name(song))
    return found


def _held_together(libraries: tuple[set[str], ...], share: float) -> set[str]:
    """Choose a share of all names, at least one per library, without emptying any library."""
    held: set[str] = set()
    for name in sorted(set().union(*libraries), key=draw):
        lacks = any(name in library and not library & held for library in libraries)
        if (lacks or draw(name) < share) and all(each - held - {name} for each in libraries):
            held.add(name)
    return held


def _own_name(song: Track) -> str:
    """Return the name of a file within its library."""
    return folded(song.name.partition("/")[2])


def _too_few(stems: list[str], songs: tuple[Track, ...]) -> str:
    places = library_folders(song.name for song in songs if song.stems.keys() & {*stems})
    return (
        f"Nothing held out for validation: there are fewer than {FEWEST} files in"
        f" {' and '.join(places)}. Use --validation DIR"
    )


def hold_out(songs: tuple[Track, ...], share: float) -> tuple[tuple[Track, ...], tuple[Track, ...]]:
    """Hold out songs by a hash of their names, so that adding songs does not move others.

    Args:
        songs: all songs.
        share: approximate share of songs to hold out; from three songs on, at least one is held out
            and at least one is kept for training.

    Returns:
        The training songs, and the held-out songs.
    """
    if not share or len(songs) < FEWEST:
        return songs, ()
    count = sum(draw(song.name) < share for song in songs)
    ranked = sorted({song.name for song in songs}, key=draw)
    held = ranked[: min(max(count, 1), len(ranked) - 1)]
    training = tuple(song for song in songs if song.name not in held)
    return training, tuple(song for song in songs if song.name in held)


def draw(name: str) -> float:
    """Map a song's name to a number from 0 to below 1."""
    digest = sha256(name.encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


def _as_named(listing: Listing, named: tuple[Track, ...], noun: str) -> Split:
    training = _without_files_of(named, listing.training)
    left_out, unused = len(listing.training) - len(training), len(listing.validation)
    notes = {
        f"{counted(left_out, noun)} of the data used by --validation, not for training": left_out,
        f"{counted(unused, 'song')} reserved for validation by the data not used, because of"
        " --validation": unused,
    }
    return Split(training, named, tuple(note for note, count in notes.items() if count))


def _apart(
    training: tuple[Track, ...],
    held: tuple[Track, ...],
    notes: tuple[str, ...],
    noun: str = "song",
) -> Split:
    """Remove training songs that share files with validation songs; note equal names (leakage)."""
    kept = _without_files_of(held, training)
    names, left_out = {song.name for song in kept}, len(training) - len(kept)
    both = [song.name for song in held if song.name in names]
    oddities = {
        f"{counted(left_out, noun)} with files of validation songs not used for training": left_out,
        f"Songs with the same name in training and validation: {listed(both)}": len(both),
    }
    return Split(kept, held, (*notes, *(note for note, count in oddities.items() if count)))


def _without_files_of(held: tuple[Track, ...], songs: tuple[Track, ...]) -> tuple[Track, ...]:
    """Return the songs that share no file with the held-out ones."""
    taken = {path for song in held for path in _paths(song)}
    return tuple(song for song in songs if not _paths(song) & taken)


def _paths(song: Track) -> set[Path]:
    return {source.path.resolve() for source in song.sources}
