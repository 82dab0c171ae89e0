"""How data folders are laid out: one reader for each layout, and the checks that all share.

====================  ==========================================================================
``tracks``            ``SONG/vocals.wav``, ``SONG/drums.wav``, also below ``train/`` and ``valid/``
``stems``             ``vocals/*.wav``, ``drums/*.wav``: anything is mixed with anything
``pairs``             ``mixture/NAME.wav`` and ``vocals/NAME.wav``
``voxaug``            ``instrumentals/*.wav`` and ``vocals/*.wav``: any vocals over any instrumental
``csv``               a table of songs with a column for each stem
``musdb18``           ``train/NAME.stem.mp4``, as MUSDB18 comes
``musdb18_hq``        ``train/NAME/vocals.wav``, as MUSDB18-HQ comes
``voices``            the files that a recipe lists
====================  ==========================================================================
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from trainers.data.layouts.folders import read_csv, read_pairs, read_stems, read_tracks
from trainers.data.layouts.listing import Listing
from trainers.data.layouts.musdb18 import read_musdb18, read_musdb18_hq
from trainers.data.layouts.voxaug import pair_up, read_voxaug
from trainers.data.tracks import Track


@dataclass(frozen=True)
class Reader:
    """How a layout is read.

    Attributes:
        read: the songs of a folder.
        example: what such a folder looks like, in a few words.
        holds_songs: whether stems belong together as songs; else every file is on its own.
        pair: songs to validate, made of files that were held out and are no songs; None where that
            cannot be done.
    """

    read: Callable[[Path], Listing]
    example: str
    holds_songs: bool = True
    pair: Callable[[tuple[Track, ...]], tuple[Track, ...]] | None = None


READERS = {
    "tracks": Reader(read_tracks, "SONG/vocals.wav, SONG/drums.wav"),
    "stems": Reader(read_stems, "vocals/*.wav, drums/*.wav", holds_songs=False),
    "pairs": Reader(read_pairs, "mixture/NAME.wav, vocals/NAME.wav"),
    "voxaug": Reader(
        read_voxaug, "instrumentals/*.wav, vocals/*.wav", holds_songs=False, pair=pair_up
    ),
    "csv": Reader(read_csv, "a .csv with the columns song,vocals,drums"),
    "musdb18": Reader(read_musdb18, "train/NAME.stem.mp4"),
    "musdb18_hq": Reader(read_musdb18_hq, "train/NAME/mixture.wav and the stems, test/"),
}


def noun_of(layout: str) -> str:
    """What the data are made of: songs, or files that belong to no song."""
    reader = READERS.get(layout)
    return "song" if reader is None or reader.holds_songs else "file"


def examples() -> str:
    """All layouts in one line."""
    return "; ".join(f"{name}: {reader.example}" for name, reader in READERS.items())
