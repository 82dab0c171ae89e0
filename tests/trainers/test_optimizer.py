"""One network and its optimizers. Truth: laws of scaling and clipping, and numbers by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from model_zoo.errors import NumericalError
from trainers.config import OptimizerRecipe
from trainers.loop.optimizer import NetworkOptimizer


def learner(*, half: bool = False, clip: float = 1.0) -> NetworkOptimizer:
    network = nn.Linear(2, 1, bias=False)
    with torch.no_grad():
        network.weight.fill_(1.0)
    recipe = OptimizerRecipe(lr=0.1, weight_decay=0.0, max_grad_norm=clip)
    return NetworkOptimizer("network", network, recipe, half=half)


def weights(optimizer: NetworkOptimizer) -> list[float]:
    return optimizer.network.weight.detach().flatten().tolist()


def test_a_step_by_hand() -> None:
    """AdamW's first step goes by the learning rate against the sign; the norm of (3, 4) is 5."""
    one = learner()
    one.backward(one.network(torch.tensor([3.0, -4.0])).sum())
    assert one.step() == pytest.approx(5.0)
    assert weights(one) == pytest.approx([0.9, 1.1], abs=1e-5)


def test_gradients_are_clipped_to_their_norm() -> None:
    one = learner(clip=0.5)
    one.backward(one.network(torch.tensor([3.0, -4.0])).sum())
    one.step()
    assert one.network.weight.grad.flatten().tolist() == pytest.approx([0.3, -0.4], abs=1e-5)


def test_rates_are_shares_of_the_full_height() -> None:
    one = learner()
    one.set_lr_factor(0.5)
    one.set_lr_factor(0.25)
    assert one.lr == pytest.approx(0.025)


def test_gradients_that_are_not_finite_move_nothing() -> None:
    one = learner()
    one.backward(one.network(torch.tensor([float("nan"), 1.0])).sum())
    with pytest.raises(NumericalError, match="gradient of the network is not finite"):
        one.step()
    assert weights(one) == [1.0, 1.0]


def test_scaled_gradients_are_those_without_a_scale() -> None:
    """Law: what is scaled up before the gradient is scaled down before the step."""
    plain, scaled = learner(), learner(half=True)
    norms = []
    for one in (plain, scaled):
        one.backward(one.network(torch.tensor([3.0, -4.0])).sum())
        norms.append(one.step())
    assert norms[1] == pytest.approx(norms[0])
    assert weights(scaled) == pytest.approx(weights(plain))


def test_an_overflow_in_half_precision_halves_the_scale_and_moves_nothing() -> None:
    one = learner(half=True)
    before = one.scaler.get_scale()
    one.backward(one.network(torch.tensor([float("inf"), 1.0])).sum())
    one.step()
    assert weights(one) == [1.0, 1.0]
    assert one.scaler.get_scale() == before / 2


def test_half_precision_that_only_overflows_is_an_error() -> None:
    one = learner(half=True)
    with pytest.raises(NumericalError, match="not finite"):  # noqa: PT012 - one of many steps
        for _ in range(100):
            one.zero_grad()
            one.backward(one.network(torch.tensor([float("inf"), 1.0])).sum())
            one.step()
    assert weights(one) == [1.0, 1.0]


def test_a_frozen_network_judges_and_keeps_its_gradients_out() -> None:
    one = learner()
    sound = torch.tensor([3.0, -4.0], requires_grad=True)
    with one.frozen() as judge:
        judge(sound).sum().backward()
        assert not judge.training
    assert sound.grad.tolist() == [1.0, 1.0]
    assert one.network.weight.grad is None
    assert one.network.training
    assert one.network.weight.requires_grad
