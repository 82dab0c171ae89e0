"""The readers of all layouts, by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from trainers.data.layouts.csv_file import read_csv
from trainers.data.layouts.listing import Listing
from trainers.data.layouts.musdb18 import read_musdb18, read_musdb18_hq
from trainers.data.layouts.pairs import read_pairs
from trainers.data.layouts.stems import read_stems
from trainers.data.layouts.tracks import read_tracks
from trainers.data.layouts.voxaug import pair_up, read_voxaug
from trainers.data.songs import Song


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
    pair: Callable[[tuple[Song, ...]], tuple[Song, ...]] | None = None


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
