"""Which songs are trained on and which are not."""

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
"""Songs of which one is held out; fewer are all needed to learn from."""


@dataclass(frozen=True)
class Split:
    """Songs to train on and to validate, and what is said about it."""

    training: tuple[Track, ...]
    validation: tuple[Track, ...]
    notes: tuple[str, ...] = ()

    @property
    def songs(self) -> tuple[Track, ...]:
        """All of them."""
        return (*self.training, *self.validation)


NO_MIXTURE = "Single stems have no mixture to validate on: type --validation DIR"


Pairing = Callable[[tuple[Track, ...]], tuple[Track, ...]]
"""From files that were held out to songs made of them."""


def split(
    listing: Listing,
    named: tuple[Track, ...],
    share: float,
    *,
    holds_songs: bool = True,
    pair: Pairing | None = None,
) -> Split:
    """Songs for validation: those the user named, else those the data names, else a share.

    Args:
        listing: what the data folder holds.
        named: songs of ``--validation``; they are not trained on, wherever they lie.
        share: of the songs, where nothing names any; 0 keeps none.
        holds_songs: whether the data has songs rather than single stems, which are all trained on.
        pair: makes songs to validate of single stems, of which it then holds out a share.
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
    words = f"Held out to validate, by name: {listed(song.name for song in held)}"
    return _apart(training, held, (words,) if held else ())


def _paired(songs: tuple[Track, ...], share: float, pair: Pairing) -> Split:
    """A share of the files of each stem held out, and songs made of these.

    Files of one name are takes of one song, also of different stems, and are held out together:
    the mixture of an instrumental has the vocals that may lie in the other library.
    """
    libraries = _libraries(songs)
    few = [stem for stem, names in libraries.items() if len(names) < FEWEST]
    if few or not share:
        return Split(songs, (), (_too_few(few, songs),) if share and songs else ())
    names = _held_together(tuple(libraries.values()), share)
    made = pair(tuple(song for song in songs if _own_name(song) in names))
    words = f"Made to validate, of files held out: {listed(song.name for song in made)}"
    rest = tuple(song for song in songs if _own_name(song) not in names)
    return _apart(rest, made, (words,), "file")


def _libraries(songs: tuple[Track, ...]) -> dict[str, set[str]]:
    """Names of the files of each stem."""
    found: dict[str, set[str]] = {}
    for song in songs:
        for stem in song.stems:
            found.setdefault(stem, set()).add(_own_name(song))
    return found


def _held_together(libraries: tuple[set[str], ...], share: float) -> set[str]:
    """A share of all names, and one at least of each library, of which none is left empty."""
    held: set[str] = set()
    for name in sorted(set().union(*libraries), key=draw):
        lacks = any(name in library and not library & held for library in libraries)
        if (lacks or draw(name) < share) and all(each - held - {name} for each in libraries):
            held.add(name)
    return held


def _own_name(song: Track) -> str:
    """That of a file below the folder of its library."""
    return folded(song.name.partition("/")[2])


def _too_few(stems: list[str], songs: tuple[Track, ...]) -> str:
    places = library_folders(song.name for song in songs if song.stems.keys() & {*stems})
    return (
        f"None held out to validate, for there are fewer than {FEWEST} files in"
        f" {' and '.join(places)}: type --validation DIR"
    )


def hold_out(songs: tuple[Track, ...], share: float) -> tuple[tuple[Track, ...], tuple[Track, ...]]:
    """Split by the names of the songs, so that further songs do not move these.

    Args:
        songs: all of them.
        share: of the songs, about; at least one song is held out of three or more, and one is
            left to train on.

    Returns:
        The songs to train on, and those held out.
    """
    if not share or len(songs) < FEWEST:
        return songs, ()
    count = sum(draw(song.name) < share for song in songs)
    ranked = sorted({song.name for song in songs}, key=draw)
    held = ranked[: min(max(count, 1), len(ranked) - 1)]
    training = tuple(song for song in songs if song.name not in held)
    return training, tuple(song for song in songs if song.name in held)


def draw(name: str) -> float:
    """A number from 0 to below 1 that depends on a song's name alone."""
    digest = sha256(name.encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


def _as_named(listing: Listing, named: tuple[Track, ...], noun: str) -> Split:
    training = _without_files_of(named, listing.training)
    left_out, unused = len(listing.training) - len(training), len(listing.validation)
    notes = {
        f"{counted(left_out, noun)} of the data named by --validation, not trained on": left_out,
        f"{counted(unused, 'song')} that the data keeps for validation not used, for"
        " --validation names others": unused,
    }
    return Split(training, named, tuple(note for note, count in notes.items() if count))


def _apart(
    training: tuple[Track, ...],
    held: tuple[Track, ...],
    notes: tuple[str, ...],
    noun: str = "song",
) -> Split:
    """No file in both parts, which would be judged by heart; names in both are told."""
    kept = _without_files_of(held, training)
    names, left_out = {song.name for song in kept}, len(training) - len(kept)
    both = [song.name for song in held if song.name in names]
    oddities = {
        f"{counted(left_out, noun)} with files of songs to validate not trained on": left_out,
        f"Songs of one name to train on and to validate: {listed(both)}": len(both),
    }
    return Split(kept, held, (*notes, *(note for note, count in oddities.items() if count)))


def _without_files_of(held: tuple[Track, ...], songs: tuple[Track, ...]) -> tuple[Track, ...]:
    """The songs that share no file with those held."""
    taken = {path for song in held for path in _paths(song)}
    return tuple(song for song in songs if not _paths(song) & taken)


def _paths(song: Track) -> set[Path]:
    return {source.path.resolve() for source in song.sources}
