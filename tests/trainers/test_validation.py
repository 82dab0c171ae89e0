"""Validation. Truth: segments heard one by one, and the words of the messages."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from model_zoo.errors import (
    DecodeError,
)
from tests.trainers.conftest import RATE
from tests.trainers.runs import FULL, fresh
from trainers.config import Recipe
from trainers.data.validation import ValidationSong, ValidationTrack
from trainers.loop.validation import score
from trainers.metrics.sdr import global_sdr


@pytest.mark.parametrize(
    ("mixture", "vocals", "rate", "sentence"),
    [
        (None, None, RATE, r"No file mixture\.\*"),
        ((99, 2), None, RATE, r"No file vocals\.\*"),
        ((99, 2), (99, 2), 44_100, f"at 44100 Hz: convert it to {RATE} Hz"),
        ((99, 2), (98, 2), RATE, r"vocals.wav and .*mixture.wav differ in length"),
    ],
)
def test_validation_tracks_that_do_not_do(
    recordings: Path,
    recipe: Recipe,
    mixture: tuple[int, int] | None,
    vocals: tuple[int, int] | None,
    rate: int,
    sentence: str,
) -> None:
    for name, shape in (("mixture", mixture), ("vocals", vocals)):
        if shape:
            soundfile.write(recordings / f"{name}.wav", np.ones(shape), rate)
    with pytest.raises(DecodeError, match=sentence):
        ValidationSong.of_folder(recordings, ("vocals",), RATE).read()


def test_validation_joins_segments_in_order(recordings: Path, recipe: Recipe) -> None:
    """Whole segments and the rest of one, each as the network hears it alone."""
    model = fresh(recipe)[0].average.model
    length = 2 * model.segment + 100
    mixture = torch.sin(torch.arange(2 * length) ** 1.5 / 40).reshape(2, length)
    heard = [model(part[None])[0] for part in mixture.split(model.segment, dim=-1)[:2]]
    last = torch.nn.functional.pad(mixture[:, -100:], (0, model.segment - 100))
    joined = torch.cat([*heard, model(last[None])[0][..., :100]], dim=-1)
    scores = score(model, ValidationTrack("song", mixture, joined + 0.01), FULL)
    expected = global_sdr(joined[0], joined[0] + 0.01).item()
    assert scores["vocals"] == pytest.approx(expected, abs=1e-3)
