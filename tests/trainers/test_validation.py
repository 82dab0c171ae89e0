"""Validation. Truth: segments heard one by one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.trainers.runs import FULL, fresh
from trainers.config import Recipe
from trainers.metrics.sdr import global_sdr
from trainers.objectives.base import sdr_of_stems


def test_validation_joins_segments_in_order(recordings: Path, recipe: Recipe) -> None:
    """Whole segments and the rest of one, each as the network hears it alone."""
    model = fresh(recipe)[0].ema.model
    length = 2 * model.segment + 100
    mixture = torch.sin(torch.arange(2 * length) ** 1.5 / 40).reshape(2, length)
    heard = [model(part[None])[0] for part in mixture.split(model.segment, dim=-1)[:2]]
    last = torch.nn.functional.pad(mixture[:, -100:], (0, model.segment - 100))
    joined = torch.cat([*heard, model(last[None])[0][..., :100]], dim=-1)
    scores = sdr_of_stems(model, mixture, joined + 0.01, FULL)
    expected = global_sdr(joined[0], joined[0] + 0.01).item()
    assert scores["vocals"] == pytest.approx(expected, abs=1e-3)
