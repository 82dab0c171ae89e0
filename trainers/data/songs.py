"""Songs of a data set: which file holds which stem."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
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
class Song:
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
    training: tuple[Song, ...]
    validation: tuple[Song, ...]
    summary: tuple[str, ...] = field(default=())
