"""Songs as sets of stem files, and groups of stems that add up to one stem."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path


@dataclass(frozen=True)
class Source:
    """Audio stream of one stem.

    Attributes:
        path: audio file.
        stream: index of the audio stream in it; a ``stem.mp4`` has one per stem.
    """

    path: Path
    stream: int = 0


@dataclass(frozen=True)
class Track:
    """One song.

    Attributes:
        name: display name, e.g. that of its folder.
        stems: source of each data stem; all have the same length, unless ``is_made``.
            mixture: source of the mixture; None if it is the sum of the stems.
        is_made: whether its files do not belong to one song; it is as long as the shortest file.
    """

    name: str
    stems: Mapping[str, Source]
    mixture: Source | None = None
    is_made: bool = False

    @property
    def sources(self) -> list[Source]:
        """All sources of the song, the mixture first."""
        return [*([self.mixture] if self.mixture else []), *self.stems.values()]


Groups = Mapping[str, tuple[str, ...]]
"""Name of a sum to the names of its parts, which may include its own."""


def parts_of(stem: str, groups: Groups) -> tuple[str, ...]:
    """Return the names that count as a stem of the network: its group and itself.

    Both count, because clips mix songs that have the whole with songs that have its parts.
    """
    return tuple(dict.fromkeys((*groups.get(stem, ()), stem)))


def each_once(song: Track, groups: Groups) -> Track:
    """Remove stems that contain each other, so that the stems of a song add up to one mixture.

    If all parts of a sum exist, the sum is removed; if some are missing, the parts are removed.
    """
    stems = dict(song.stems)
    for whole, parts in groups.items():
        if whole in stems and whole not in parts:
            for name in (whole,) if stems.keys() >= {*parts} else parts:
                stems.pop(name, None)
    return replace(song, stems=stems)


def missing_parts(song: Track, stem: str, groups: Groups) -> list[str]:
    """Return the parts that a song lacks for a stem of the network.

    Args:
        song: a song as :func:`each_once` returns it.
        stem: stem of the network.
        groups: sums and their parts.
    """
    if stem in song.stems and stem not in groups.get(stem, ()):
        return []
    return [part for part in groups.get(stem, (stem,)) if part not in song.stems]
