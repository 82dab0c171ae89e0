"""Losses and validation of several stems, and validation by several workers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from threading import Barrier, Thread

import pytest
import torch
from torch import Tensor, nn

from model_zoo.errors import ConfigError
from model_zoo.separator import Separator
from tests.trainers.runs import CPU, FULL
from trainers.config import ObjectiveRecipe, Recipe
from trainers.data.multitrack import ValidationAudio, ValidationTrack
from trainers.loop.execution import DDPStrategy, Strategy
from trainers.loop.validation import validate
from trainers.objectives.base import Batch
from trainers.objectives.separation import SeparationObjective

STEMS = ("vocals", "drums")


class Half(Separator):
    """Estimates every stem as half of the mixture."""

    stems, channels, segment, sample_rate = STEMS, 2, 100, 44_100

    def __init__(self) -> None:
        nn.Module.__init__(self)
        self.share = nn.Parameter(torch.tensor(0.5))

    def forward(self, mixture: Tensor) -> Tensor:
        return torch.stack([self.share * mixture] * 2, dim=1)


def objective(weights: dict[str, float] | None = None) -> SeparationObjective:
    recipe = Recipe(losses={"waveform_l1": 1.0}, objective=ObjectiveRecipe(stems=weights or {}))
    return SeparationObjective(recipe, Half())


def pair() -> tuple[Tensor, Tensor]:
    """An estimate with an error of 1 in the first stem and 3 in the second."""
    estimate = torch.stack([torch.ones(1, 2, 50), 3 * torch.ones(1, 2, 50)], dim=1)
    return estimate, torch.zeros_like(estimate)


@pytest.mark.parametrize(
    ("weights", "mean"), [(None, 2.0), ({"drums": 3.0}, 2.5), ({"vocals": 0.0}, 3.0)]
)
def test_a_loss_is_the_weighted_mean_of_its_stems(
    weights: dict[str, float] | None, mean: float
) -> None:
    losses = {name: loss.item() for name, loss in objective(weights)(pair()).items()}
    parts = {"waveform_l1/vocals": 1.0, "waveform_l1/drums": 3.0}
    assert losses == pytest.approx({"waveform_l1": mean, **parts})


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"piano": 1.0}, "no stem 'piano'; the network has vocals, drums"),
        ({"vocals": 0.0, "drums": 0.0}, "at least one stem must have a weight above 0"),
    ],
)
def test_invalid_stem_weights_are_refused(weights: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        objective(weights)


def test_pairs_are_divided_by_the_level_of_the_mixture() -> None:
    """A mixture of constant 4 has the level 4: estimate 2 and reference 1 become 1/2 and 1/4."""
    batch = Batch(torch.full((1, 2, 50), 4.0), torch.ones(1, 2, 2, 50))
    example, network = objective().make_example(Half(), batch), Half()
    estimate, reference = example.pair(network(example.inputs))
    assert estimate.unique().tolist() == [0.5]
    assert reference.unique().tolist() == [0.25]


def validated(songs: Sequence[ValidationTrack], strategy: Strategy = CPU) -> dict[str, float]:
    return validate(objective(), Half(), songs, strategy, FULL)


class ConstantSong(ValidationTrack):
    """A song with a mixture of ones, vocals of ``level`` and drums of ``drums``."""

    def __init__(self, level: float, drums: float = 1.0) -> None:
        object.__setattr__(self, "level", level)
        object.__setattr__(self, "drums", drums)

    def read(self) -> ValidationAudio:
        ones = torch.ones(2, 250)
        return ValidationAudio("song", ones, torch.stack([self.level * ones, self.drums * ones]))


@dataclass(frozen=True)
class ThreadWorker(DDPStrategy):
    """One of two workers in threads, which sum values as processes would."""

    shared: dict[int, Mapping[str, float]]
    barrier: Barrier

    def all_reduce(self, values: Mapping[str, float]) -> dict[str, float]:
        self.shared[self.rank] = values
        self.barrier.wait()
        return {name: sum(part[name] for part in self.shared.values()) for name in values}


SONGS = [ConstantSong(1.0), ConstantSong(1.0, drums=0.0), ConstantSong(0.5 / 0.9)]


def test_scores_by_hand() -> None:
    """Half of the reference is 6.02 dB, nine tenths 20 dB; silent drums are left out."""
    found = validated(SONGS)
    assert found["vocals"] == pytest.approx((6.0206 + 6.0206 + 20) / 3, abs=1e-3)
    assert found["drums"] == pytest.approx(6.0206, abs=1e-3)


def test_a_stem_that_is_silent_in_all_songs_has_no_score() -> None:
    assert validated([ConstantSong(1.0, drums=0.0)]).keys() == {"vocals"}


def test_workers_share_the_songs_and_agree() -> None:
    """Every worker gets the means that a single worker gets."""
    shared: dict[int, Mapping[str, float]] = {}
    barrier = Barrier(2)
    found: dict[int, dict[str, float]] = {}

    def work(rank: int) -> None:
        found[rank] = validated(SONGS, ThreadWorker(CPU.device, rank, 2, shared, barrier))

    threads = [Thread(target=work, args=(rank,)) for rank in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert found[0] == found[1] == pytest.approx(validated(SONGS))
