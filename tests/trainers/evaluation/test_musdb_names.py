"""What songs of MUSDB18 are called, and what to type where there are none: without ffmpeg."""

from __future__ import annotations

from pathlib import Path

import pytest

from model_zoo.errors import UsageError
from trainers.evaluation.musdb import MusdbTrack, dataset, is_musdb18, musdb_tracks


@pytest.mark.parametrize(
    ("count", "seconds", "named"),
    [
        (50, 240, "MUSDB18-HQ test"),
        (1, 30, "song 0 in the form of MUSDB18-HQ test"),
        (49, 240, "49 songs in the form of MUSDB18-HQ test"),
        (50, 7, "50 excerpts of 7 s in the form of MUSDB18-HQ test"),
    ],
)
def test_only_all_songs_have_the_name_of_the_data_set(
    count: int, seconds: float, named: str
) -> None:
    """MUSDB18 has 50 songs for tests, of four minutes on the mean (Rafii et al. 2017)."""
    places = [Path("test") / f"song {number}" / "mixture.wav" for number in range(count)]
    tracks = [MusdbTrack(place, "test", {}) for place in places]
    assert dataset(tracks, "test", seconds) == named
    assert is_musdb18(tracks, "test", seconds) == (named == "MUSDB18-HQ test")


def test_where_there_are_no_songs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What to type, and where to get them."""
    monkeypatch.delenv("MUSDB_PATH", raising=False)
    with pytest.raises(UsageError, match=r"neither --root nor MUSDB_PATH .*zenodo.*--sample"):
        musdb_tracks(None)
    with pytest.raises(UsageError, match=r"--root is .*nowhere, not a folder"):
        musdb_tracks(tmp_path / "nowhere")
