"""Stems whose names are probably misspelled.

Expected: written by hand; ``brass`` is an instrument, however similar to ``bass``.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from trainers.data.layouts.misnamed import misnamed_stems
from trainers.data.tracks import Source, Track


def song(*stems: str) -> Track:
    return Track("song", {stem: Source(Path(f"{stem}.wav")) for stem in stems})


@pytest.mark.parametrize(
    ("songs", "wanted", "expected"),
    [
        (["vocal drums", "vocals drums"], "", {"vocal": "vocals"}),
        (["vocls drum", "vocals drums"], "", {"vocls": "vocals", "drum": "drums"}),
        (["lead-vocals", "lead_vocals"], "", {"lead-vocals": "lead_vocals"}),
        (["oboe", "oboes", "oboes"], "", {"oboe": "oboes"}),
        (["oboe", "oboes"], "oboe", {"oboes": "oboe"}),
        (["vocal drums", "vocals drums"], "vocal", {}),
        (["vocal vocals", "vocals drums"], "", {}),
        (["brass vocals", "bass vocals"], "", {}),
        (["vocals drums", "vocals bass"], "", {}),
    ],
)
def test_misnamed_stems(songs: list[str], wanted: str, expected: dict[str, str]) -> None:
    tracks = tuple(song(*names.split()) for names in songs)
    assert misnamed_stems(tracks, {*wanted.split()}) == expected
