"""Stems of the network that are sums of stems of the data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from trainers.data.songs import Song

Groups = Mapping[str, tuple[str, ...]]
"""Name of the sum to the names of its parts, which may include its own."""


def parts_of(stem: str, groups: Groups) -> tuple[str, ...]:
    """What adds up to a stem of the network, as far as it is there: its group, and itself.

    Both count, because clips mix songs that hold the whole with songs that hold its parts.
    """
    return tuple(dict.fromkeys((*groups.get(stem, ()), stem)))


def each_once(song: Song, groups: Groups) -> Song:
    """The song without what it holds twice, so that its stems add up to one mixture.

    Where all parts of a sum are there, the sum goes; where some are missing, these parts go.
    """
    stems = dict(song.stems)
    for whole, parts in groups.items():
        if whole in stems and whole not in parts:
            for name in (whole,) if stems.keys() >= {*parts} else parts:
                stems.pop(name, None)
    return replace(song, stems=stems)


def missing_parts(song: Song, stem: str, groups: Groups) -> list[str]:
    """The stems that a song lacks for a stem of the network, whose parts or whole it may hold.

    Args:
        song: as :func:`each_once` leaves it.
        stem: of the network.
        groups: sums and their parts.
    """
    if stem in song.stems and stem not in groups.get(stem, ()):
        return []
    return [part for part in groups.get(stem, (stem,)) if part not in song.stems]
