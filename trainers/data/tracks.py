"""A song as its stem files, and groups of songs that share files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path


@dataclass(frozen=True)
class Source:
    """Where the sound of one stem lies.

    Attributes:
        path: a sound file.
        stream: number of the audio stream in it; a ``stem.mp4`` has one for each stem.
    """

    path: Path
    stream: int = 0


@dataclass(frozen=True)
class Track:
    """One song.

    Attributes:
        name: what people call it, e.g. the name of its folder.
        stems: name of each stem of the data to its source; all of one length, unless the song is
            made.
        mixture: of all stems; None, where it is the sum of them.
        is_made: whether its files never were one song; it is as long as the shortest of them.
    """

    name: str
    stems: Mapping[str, Source]
    mixture: Source | None = None
    is_made: bool = False

    @property
    def sources(self) -> list[Source]:
        """All of its files, the mixture first."""
        return [*([self.mixture] if self.mixture else []), *self.stems.values()]


@dataclass(frozen=True)
class Survey:
    """What was found in a data folder, checked.

    Attributes:
        layout: how it is laid out, a value of :data:`trainers.config.data.Layout`.
        training: songs to train on. In the layout ``stems`` each has a single stem, to be mixed
            with any others.
        validation: songs that are never trained on.
        summary: counts in words, a line each, for people.
    """

    layout: str
    training: tuple[Track, ...]
    validation: tuple[Track, ...]
    summary: tuple[str, ...] = field(default=())


Groups = Mapping[str, tuple[str, ...]]
"""Name of the sum to the names of its parts, which may include its own."""


def parts_of(stem: str, groups: Groups) -> tuple[str, ...]:
    """What adds up to a stem of the network, as far as it is there: its group, and itself.

    Both count, because clips mix songs that hold the whole with songs that hold its parts.
    """
    return tuple(dict.fromkeys((*groups.get(stem, ()), stem)))


def each_once(song: Track, groups: Groups) -> Track:
    """The song without what it holds twice, so that its stems add up to one mixture.

    Where all parts of a sum are there, the sum goes; where some are missing, these parts go.
    """
    stems = dict(song.stems)
    for whole, parts in groups.items():
        if whole in stems and whole not in parts:
            for name in (whole,) if stems.keys() >= {*parts} else parts:
                stems.pop(name, None)
    return replace(song, stems=stems)


def missing_parts(song: Track, stem: str, groups: Groups) -> list[str]:
    """The stems that a song lacks for a stem of the network, whose parts or whole it may hold.

    Args:
        song: as :func:`each_once` leaves it.
        stem: of the network.
        groups: sums and their parts.
    """
    if stem in song.stems and stem not in groups.get(stem, ()):
        return []
    return [part for part in groups.get(stem, (stem,)) if part not in song.stems]
