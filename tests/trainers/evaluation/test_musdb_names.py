"""Names of MUSDB18 data sets, and errors without songs; needs no ffmpeg."""

from __future__ import annotations

from pathlib import Path

import pytest

from model_zoo.errors import UsageError
from trainers.evaluation.musdb import MusdbTrack, dataset, is_musdb18, musdb_tracks


@pytest.mark.parametrize(
    ("count", "seconds", "name"),
    [
        (50, 240, "MUSDB18-HQ test"),
        (1, 30, "song 0 in the form of MUSDB18-HQ test"),
        (49, 240, "49 songs in the form of MUSDB18-HQ test"),
        (50, 7, "50 excerpts of 7 s in the form of MUSDB18-HQ test"),
    ],
)
def test_only_the_full_data_set_has_its_name(count: int, seconds: float, name: str) -> None:
    """MUSDB18 has 50 test songs with a mean length of four minutes (Rafii et al. 2017)."""
    paths = [Path("test") / f"song {number}" / "mixture.wav" for number in range(count)]
    tracks = [MusdbTrack(path, "test", {}) for path in paths]
    assert dataset(tracks, "test", seconds) == name
    assert is_musdb18(tracks, "test", seconds) == (name == "MUSDB18-HQ test")


def test_missing_songs_say_where_to_get_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message says what to type and where to get the songs."""
    monkeypatch.delenv("MUSDB_PATH", raising=False)
    with pytest.raises(UsageError, match=r"neither --root nor MUSDB_PATH .*zenodo.*--sample"):
        musdb_tracks(None)
    with pytest.raises(UsageError, match=r"--root is .*nowhere, not a folder"):
        musdb_tracks(tmp_path / "nowhere")
