"""Steps with discriminators. Truth: laws of who learns from what, and losses computed apart."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from model_zoo.discriminators.base import DiscriminatorOutput
from model_zoo.errors import ConfigError, NumericalError
from tests.trainers.runs import batch, fresh, run_steps
from trainers.config import AdversaryRecipe, Recipe
from trainers.loop.state import TrainState
from trainers.loop.step import TrainingTask, training_step
from trainers.losses.adversarial import LEVEL, AdversarialLoss, stems_as_waves


class Sum(nn.Module):
    """Scores every wave by the sum of its samples times a weight, which is its only feature."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(2.0))

    def forward(self, wave: Tensor) -> DiscriminatorOutput:
        score = self.weight * wave.sum(-1, keepdim=True)
        return DiscriminatorOutput([score], [[wave.mean(-1)]])


def pair() -> tuple[Tensor, Tensor]:
    """An estimate of 0 for a true stem of 1, stereo, four samples long."""
    return torch.zeros(1, 1, 2, 4), torch.ones(1, 1, 2, 4)


def test_channels_of_stems_are_heard_alone_at_the_level_of_music() -> None:
    stems = torch.arange(24.0).reshape(2, 3, 2, 2)
    waves = stems_as_waves(stems)
    assert waves.shape == (12, 1, 2)
    assert waves[5].equal(LEVEL * stems[0, 2, 1][None])


def test_losses_by_hand() -> None:
    """Score of the real 2 x 0.1 x 4 = 0.8, of the estimate 0; features differ by 0.1."""
    judge = Sum()
    squares, hinge = AdversarialLoss("lsgan"), AdversarialLoss("hinge")
    assert squares.discriminator_loss(judge, pair()).item() == pytest.approx(0.04 + 0)
    assert hinge.discriminator_loss(judge, pair()).item() == pytest.approx(0.2 + 1)
    for adversary, expected in ((squares, 1.0), (hinge, 1.0)):
        losses = adversary.generator_losses(judge, pair())
        assert losses["generator"].item() == pytest.approx(expected)
        assert losses["feature_matching"].item() == pytest.approx(0.1)


def weights_of(state: TrainState) -> tuple[Tensor, Tensor]:
    """All weights of the network and of its adversary."""
    networks = (state.separator, state.discriminator_optimizer.network)
    joined = [nn.utils.parameters_to_vector(network.parameters()) for network in networks]
    return joined[0].detach(), joined[1].detach()


def test_both_sides_learn(recordings: Path, adversarial: Recipe) -> None:
    state, task = fresh(adversarial)
    before = weights_of(state)
    tally = training_step(state, task, batch(recordings, adversarial, range(2)))
    after = weights_of(state)
    assert not before[0].equal(after[0])
    assert not before[1].equal(after[1])
    named = {*adversarial.losses, "discriminator", "total"}
    assert tally.losses.keys() == named
    weighted = sum(weight * tally.losses[name] for name, weight in adversarial.losses.items())
    assert tally.losses["total"] == pytest.approx(weighted, rel=1e-5)
    assert tally.gradient_norms.keys() == tally.learning_rates.keys() == {"model", "discriminator"}


def test_before_its_start_the_adversary_does_nothing(recordings: Path, adversarial: Recipe) -> None:
    late = replace(adversarial, adversary=replace(adversarial.adversary, start_step=1))
    (state, task), (alone, plain) = fresh(late), fresh(supervised(adversarial))
    before, two = weights_of(state), batch(recordings, late, range(2))
    tally = training_step(state, task, two)
    assert tally.losses == training_step(alone, plain, two).losses
    assert weights_of(state)[1].equal(before[1])
    assert "generator" in training_step(state, task, two).losses


def supervised(recipe: Recipe) -> Recipe:
    return replace(recipe, losses=recipe.supervised_losses, adversary=AdversaryRecipe())


def test_without_weight_the_adversary_changes_nothing_for_the_network(
    recordings: Path, adversarial: Recipe
) -> None:
    """Law: with weights of 0 the network learns what it learns alone, bit for bit."""
    idle = replace(adversarial, losses={**adversarial.losses, "generator": 0.0})
    idle.losses["feature_matching"] = 0.0
    (state, task), (alone, plain) = fresh(idle), fresh(supervised(adversarial))
    for first in (0, 2):
        two = batch(recordings, idle, range(first, first + 2))
        training_step(state, task, two)
        training_step(alone, plain, two)
    expected = nn.utils.parameters_to_vector(alone.separator.parameters())
    assert weights_of(state)[0].equal(expected)


def test_discriminators_get_no_gradient_from_the_network(
    recordings: Path, adversarial: Recipe
) -> None:
    """What stays in their gradients after a step is that of their own loss alone."""
    state, task = fresh(adversarial)
    two = batch(recordings, adversarial, range(2))
    judged = _gradient_of_the_judge(state, task, two)
    again, task = fresh(adversarial)
    training_step(again, task, two)
    found = torch.cat(
        [p.grad.flatten() for p in again.discriminator_optimizer.network.parameters()]
    )
    torch.testing.assert_close(found, judged)


def _gradient_of_the_judge(state: TrainState, task: TrainingTask, two: object) -> Tensor:
    with torch.no_grad():
        made = task.forward(state.optimizer, two)
    judge = state.discriminator_optimizer
    task.adversary.discriminator_loss(judge.network, made).backward()
    nn.utils.clip_grad_norm_(judge.network.parameters(), judge.recipe.max_grad_norm)
    return torch.cat([p.grad.flatten() for p in judge.network.parameters()])


@pytest.mark.parametrize("parts", [2, 4])
def test_parts_of_a_batch_teach_both_sides_the_same(
    recordings: Path, adversarial: Recipe, parts: int
) -> None:
    """Law: losses are means over items; spectral norms take one iteration a step."""
    four = batch(recordings, adversarial, range(4))
    losses = []
    for accumulate in (1, parts):
        loop = replace(adversarial.loop, batch_size=4, accumulation_steps=accumulate)
        state, task = fresh(replace(adversarial, loop=loop))
        losses.append(training_step(state, task, four).losses)
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)


def test_a_run_with_an_adversary_leaves_its_judge_behind(
    recordings: Path, adversarial: Recipe
) -> None:
    done = run_steps(adversarial, 3, recordings, recordings / "run")
    assert [step.step for step in done] == [1, 2, 3]
    names = {path.name for path in (recordings / "run").iterdir()}
    assert {"best.safetensors", "discriminator.safetensors", "last.safetensors"} <= names


def test_a_judge_that_diverges_is_named(recordings: Path, adversarial: Recipe) -> None:
    state, task = fresh(adversarial)
    with torch.no_grad():
        next(state.discriminator_optimizer.network.parameters()).fill_(float("nan"))
    before = weights_of(state)[0]
    with pytest.raises(NumericalError, match=r"gradient of the discriminators .*adversary.optim"):
        training_step(state, task, batch(recordings, adversarial, range(2)))
    assert weights_of(state)[0].equal(before)


@pytest.mark.parametrize(
    ("losses", "names", "sentence"),
    [
        ({"waveform_l1": 1.0, "generator": 1.0}, (), "need adversary.discriminators"),
        ({"waveform_l1": 1.0}, ("msrkit",), "need a weight above 0 for losses.generator or"),
    ],
)
def test_half_an_adversary_is_a_contradiction(
    recipe: Recipe, losses: dict[str, float], names: tuple[str, ...], sentence: str
) -> None:
    with pytest.raises(ConfigError, match=sentence):
        replace(recipe, losses=losses, adversary=AdversaryRecipe(names))
