"""Readers for all layouts of data folders, and the checks that they share.

====================  ==========================================================================
``tracks``            ``SONG/vocals.wav``, ``SONG/drums.wav``, also below ``train/`` and ``valid/``
``stems``             ``vocals/*.wav``, ``drums/*.wav``: all combinations are mixed
``pairs``             ``mixture/NAME.wav`` and ``vocals/NAME.wav``
``voxaug``            ``instrumentals/*.wav`` and ``vocals/*.wav``: any vocals with any instrumental
``csv``               a table of songs with one column per stem
``musdb18``           ``train/NAME.stem.mp4``, as distributed
``musdb18_hq``        ``train/NAME/vocals.wav``, as distributed
``voices``            the files that the recipe lists
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
    """Reader of a layout.

    Attributes:
        read: function that reads the songs of a folder.
        example: what such a folder looks like, in a few words.
        holds_songs: whether stems belong together as songs; otherwise each file stands alone.
        pair: function that builds validation songs from held-out files that are not songs; None if
            that is impossible.
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
    """Return "song", or "file" for layouts whose files do not belong to songs."""
    reader = READERS.get(layout)
    return "song" if reader is None or reader.holds_songs else "file"


def examples() -> str:
    """List all layouts with examples in one line."""
    return "; ".join(f"{name}: {reader.example}" for name, reader in READERS.items())
