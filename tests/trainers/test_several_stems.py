"""Networks with several stems, and several workers. Truth: sums by hand, and one worker alone."""

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
    """Takes every stem for half of the mixture."""

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
    """An estimate that misses the first stem by 1 and the second by 3."""
    made = torch.stack([torch.ones(1, 2, 50), 3 * torch.ones(1, 2, 50)], dim=1)
    return made, torch.zeros_like(made)


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
    ("weights", "sentence"),
    [
        ({"piano": 1.0}, "no stem 'piano'; the network has vocals, drums"),
        ({"vocals": 0.0, "drums": 0.0}, "at least one stem must have a weight above 0"),
    ],
)
def test_weights_of_stems_that_do_not_do(weights: dict[str, float], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        objective(weights)


def test_pairs_are_of_one_level() -> None:
    """A mixture of 4 and 4 has the level 4: estimate 2 and truth 1 are heard as 1/2 and 1/4."""
    batch = Batch(torch.full((1, 2, 50), 4.0), torch.ones(1, 2, 2, 50))
    exercise, network = objective().make_example(Half(), batch), Half()
    made, true = exercise.pair(network(exercise.inputs))
    assert made.unique().tolist() == [0.5]
    assert true.unique().tolist() == [0.25]


def validated(songs: Sequence[ValidationTrack], strategy: Strategy = CPU) -> dict[str, float]:
    return validate(objective(), Half(), songs, strategy, FULL)


class Song(ValidationTrack):
    """A song whose vocals are ``level`` times its mixture of ones; its drums are silent or not."""

    def __init__(self, level: float, drums: float = 1.0) -> None:
        object.__setattr__(self, "level", level)
        object.__setattr__(self, "drums", drums)

    def read(self) -> ValidationAudio:
        ones = torch.ones(2, 250)
        return ValidationAudio("song", ones, torch.stack([self.level * ones, self.drums * ones]))


@dataclass(frozen=True)
class Colleague(DDPStrategy):
    """One of two workers that add up what they have, as processes do."""

    board: dict[int, Mapping[str, float]]
    barrier: Barrier

    def all_reduce(self, values: Mapping[str, float]) -> dict[str, float]:
        self.board[self.rank] = values
        self.barrier.wait()
        return {name: sum(part[name] for part in self.board.values()) for name in values}


SONGS = [Song(1.0), Song(1.0, drums=0.0), Song(0.5 / 0.9)]


def test_scores_by_hand() -> None:
    """Half of the truth is 6.02 dB; nine tenths are 20 dB; silent drums are in no mean."""
    found = validated(SONGS)
    assert found["vocals"] == pytest.approx((6.0206 + 6.0206 + 20) / 3, abs=1e-3)
    assert found["drums"] == pytest.approx(6.0206, abs=1e-3)


def test_a_stem_that_no_song_has_is_not_scored() -> None:
    assert validated([Song(1.0, drums=0.0)]).keys() == {"vocals"}


def test_workers_share_the_songs_and_agree() -> None:
    """Law: every worker gets the means of one worker alone, whoever heard which song."""
    board: dict[int, Mapping[str, float]] = {}
    barrier = Barrier(2)
    found: dict[int, dict[str, float]] = {}

    def work(rank: int) -> None:
        found[rank] = validated(SONGS, Colleague(CPU.device, rank, 2, board, barrier))

    threads = [Thread(target=work, args=(rank,)) for rank in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert found[0] == found[1] == pytest.approx(validated(SONGS))
