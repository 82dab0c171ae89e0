"""Validation. Reference: the stems that the engine separates with the same network."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from model_zoo.separator import Separator
from stemcli.engine.models import LoadedModel
from stemcli.engine.stream import SeparationStream
from tests.stemcli.engine.stubs import Scaling, ensemble, stream
from tests.trainers.runs import FULL, fresh
from trainers.config import Recipe
from trainers.metrics.sdr import global_sdr
from trainers.objectives.base import sdr_of_stems


def separated_by_the_engine(model: Separator, mixture: Tensor) -> Tensor:
    """Stems from the engine, with other block sizes than in validation."""
    engine = SeparationStream(ensemble(LoadedModel("net", model)), model.sample_rate, len(mixture))
    return torch.from_numpy(stream(engine, mixture.T.numpy(), 999)).permute(1, 2, 0)


def test_validation_scores_the_stems_of_the_engine(recordings: Path, recipe: Recipe) -> None:
    """The network's output depends on context, and the song is longer than two segments."""
    model = fresh(recipe)[0].ema.model
    length = 2 * model.segment + 100
    mixture = torch.sin(torch.arange(2 * length) ** 1.5 / 40).reshape(2, length)
    estimate = separated_by_the_engine(model, mixture)[:1]
    reference = 0.9 * estimate + 0.01
    expected = global_sdr(estimate, reference).item()
    assert expected < 20
    assert sdr_of_stems(model, mixture, reference, FULL)["vocals"] == pytest.approx(
        expected, abs=1e-3
    )


def test_validation_restores_the_training_mode(recordings: Path, recipe: Recipe) -> None:
    model = fresh(recipe)[0].ema.model.train()
    mixture = torch.ones(2, 1000)
    sdr_of_stems(model, mixture, mixture[None], FULL)
    assert all(module.training for module in model.modules())


def test_a_network_that_returns_nan_has_a_score_of_nan() -> None:
    """The run itself reports the error, once all workers know of it."""
    model = NanNetwork(channels=2)
    model.register_parameter("somewhere", torch.nn.Parameter(torch.zeros(1)))
    scores = sdr_of_stems(model, torch.ones(2, 100), torch.ones(1, 2, 100), FULL)
    assert torch.tensor(scores["vocals"]).isnan()


class NanNetwork(Scaling):
    def estimate(self, mixture: Tensor, stem: int) -> Tensor:
        return mixture * torch.nan
