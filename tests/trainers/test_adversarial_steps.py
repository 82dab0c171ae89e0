"""Training steps with discriminators, against losses computed separately and simpler runs."""

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


class SumDiscriminator(nn.Module):
    """Scores a wave by a weight times the sum of its samples; its only feature is the mean."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(2.0))

    def forward(self, wave: Tensor) -> DiscriminatorOutput:
        score = self.weight * wave.sum(-1, keepdim=True)
        return DiscriminatorOutput([score], [[wave.mean(-1)]])


def pair() -> tuple[Tensor, Tensor]:
    """An estimate of 0 for a true stem of 1, stereo, four samples long."""
    return torch.zeros(1, 1, 2, 4), torch.ones(1, 1, 2, 4)


def test_discriminators_receive_single_channels_at_music_level() -> None:
    stems = torch.arange(24.0).reshape(2, 3, 2, 2)
    waves = stems_as_waves(stems)
    assert waves.shape == (12, 1, 2)
    assert waves[5].equal(LEVEL * stems[0, 2, 1][None])


def test_losses_by_hand() -> None:
    """The real wave scores 2 x 0.1 x 4 = 0.8, the estimate 0; features differ by 0.1."""
    discriminator = SumDiscriminator()
    squares, hinge = AdversarialLoss("lsgan"), AdversarialLoss("hinge")
    assert squares.discriminator_loss(discriminator, pair()).item() == pytest.approx(0.04 + 0)
    assert hinge.discriminator_loss(discriminator, pair()).item() == pytest.approx(0.2 + 1)
    for adversary, expected in ((squares, 1.0), (hinge, 1.0)):
        losses = adversary.generator_losses(discriminator, pair())
        assert losses["generator"].item() == pytest.approx(expected)
        assert losses["feature_matching"].item() == pytest.approx(0.1)


def weights_of(state: TrainState) -> tuple[Tensor, Tensor]:
    """All weights of the separator, and of its discriminators."""
    networks = (state.separator, state.discriminator_optimizer.network)
    joined = [nn.utils.parameters_to_vector(network.parameters()) for network in networks]
    return joined[0].detach(), joined[1].detach()


def test_a_step_updates_separator_and_discriminators(recordings: Path, adversarial: Recipe) -> None:
    state, task = fresh(adversarial)
    before = weights_of(state)
    result = training_step(state, task, batch(recordings, adversarial, range(2)))
    after = weights_of(state)
    assert not before[0].equal(after[0])
    assert not before[1].equal(after[1])
    names = {*adversarial.losses, "discriminator", "total"}
    assert result.losses.keys() == names
    weighted = sum(weight * result.losses[name] for name, weight in adversarial.losses.items())
    assert result.losses["total"] == pytest.approx(weighted, rel=1e-5)
    assert (
        result.gradient_norms.keys() == result.learning_rates.keys() == {"model", "discriminator"}
    )


def test_the_adversary_is_idle_before_its_start_step(recordings: Path, adversarial: Recipe) -> None:
    late = replace(adversarial, adversary=replace(adversarial.adversary, start_step=1))
    (state, task), (reference, reference_task) = fresh(late), fresh(supervised(adversarial))
    before, two = weights_of(state), batch(recordings, late, range(2))
    result = training_step(state, task, two)
    assert result.losses == training_step(reference, reference_task, two).losses
    assert weights_of(state)[1].equal(before[1])
    assert "generator" in training_step(state, task, two).losses


def supervised(recipe: Recipe) -> Recipe:
    return replace(recipe, losses=recipe.supervised_losses, adversary=AdversaryRecipe())


def test_zero_weights_train_the_separator_as_without_an_adversary(
    recordings: Path, adversarial: Recipe
) -> None:
    """Reference: the same steps without an adversary, bit for bit."""
    idle = replace(adversarial, losses={**adversarial.losses, "generator": 0.0})
    idle.losses["feature_matching"] = 0.0
    (state, task), (reference, reference_task) = fresh(idle), fresh(supervised(adversarial))
    for first in (0, 2):
        two = batch(recordings, idle, range(first, first + 2))
        training_step(state, task, two)
        training_step(reference, reference_task, two)
    expected = nn.utils.parameters_to_vector(reference.separator.parameters())
    assert weights_of(state)[0].equal(expected)


def test_discriminators_get_no_gradient_from_the_network(
    recordings: Path, adversarial: Recipe
) -> None:
    """After a step their gradients are those of their own loss only."""
    state, task = fresh(adversarial)
    two = batch(recordings, adversarial, range(2))
    expected = _discriminator_gradient(state, task, two)
    again, task = fresh(adversarial)
    training_step(again, task, two)
    found = torch.cat(
        [p.grad.flatten() for p in again.discriminator_optimizer.network.parameters()]
    )
    torch.testing.assert_close(found, expected)


def _discriminator_gradient(state: TrainState, task: TrainingTask, two: object) -> Tensor:
    with torch.no_grad():
        pair = task.forward(state.optimizer, two)
    discriminator = state.discriminator_optimizer
    task.adversary.discriminator_loss(discriminator.network, pair).backward()
    nn.utils.clip_grad_norm_(discriminator.network.parameters(), discriminator.recipe.max_grad_norm)
    return torch.cat([p.grad.flatten() for p in discriminator.network.parameters()])


@pytest.mark.parametrize("parts", [2, 4])
def test_accumulation_does_not_change_adversarial_losses(
    recordings: Path, adversarial: Recipe, parts: int
) -> None:
    """Losses are means over items; spectral norms do one power iteration per step."""
    four = batch(recordings, adversarial, range(4))
    losses = []
    for accumulate in (1, parts):
        loop = replace(adversarial.loop, batch_size=4, accumulation_steps=accumulate)
        state, task = fresh(replace(adversarial, loop=loop))
        losses.append(training_step(state, task, four).losses)
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)


def test_an_adversarial_run_saves_its_discriminators(recordings: Path, adversarial: Recipe) -> None:
    steps = run_steps(adversarial, 3, recordings, recordings / "run")
    assert [step.step for step in steps] == [1, 2, 3]
    names = {path.name for path in (recordings / "run").iterdir()}
    assert {"best.safetensors", "discriminator.safetensors", "last.safetensors"} <= names


def test_a_diverging_discriminator_is_named(recordings: Path, adversarial: Recipe) -> None:
    state, task = fresh(adversarial)
    with torch.no_grad():
        next(state.discriminator_optimizer.network.parameters()).fill_(float("nan"))
    before = weights_of(state)[0]
    with pytest.raises(NumericalError, match=r"gradient of the discriminators .*adversary.optim"):
        training_step(state, task, batch(recordings, adversarial, range(2)))
    assert weights_of(state)[0].equal(before)


@pytest.mark.parametrize(
    ("losses", "names", "message"),
    [
        ({"waveform_l1": 1.0, "generator": 1.0}, (), "need adversary.discriminators"),
        ({"waveform_l1": 1.0}, ("msrkit",), "need a weight above 0 for losses.generator or"),
    ],
)
def test_incomplete_adversaries_are_refused(
    recipe: Recipe, losses: dict[str, float], names: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        replace(recipe, losses=losses, adversary=AdversaryRecipe(names))
