"""The optimizer of one network: scaling and clipping of gradients, against numbers by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from model_zoo.errors import NumericalError
from trainers.config import OptimizerRecipe
from trainers.loop.optimizer import NetworkOptimizer


def make_optimizer(*, half: bool = False, clip: float = 1.0) -> NetworkOptimizer:
    network = nn.Linear(2, 1, bias=False)
    with torch.no_grad():
        network.weight.fill_(1.0)
    recipe = OptimizerRecipe(lr=0.1, weight_decay=0.0, max_grad_norm=clip)
    return NetworkOptimizer("network", network, recipe, half=half)


def weights(optimizer: NetworkOptimizer) -> list[float]:
    return optimizer.network.weight.detach().flatten().tolist()


def test_a_step_by_hand() -> None:
    """AdamW's first step is the learning rate against the sign; the norm of (3, 4) is 5."""
    optimizer = make_optimizer()
    optimizer.backward(optimizer.network(torch.tensor([3.0, -4.0])).sum())
    assert optimizer.step() == pytest.approx(5.0)
    assert weights(optimizer) == pytest.approx([0.9, 1.1], abs=1e-5)


def test_gradients_are_clipped_to_the_maximal_norm() -> None:
    optimizer = make_optimizer(clip=0.5)
    optimizer.backward(optimizer.network(torch.tensor([3.0, -4.0])).sum())
    optimizer.step()
    assert optimizer.network.weight.grad.flatten().tolist() == pytest.approx([0.3, -0.4], abs=1e-5)


def test_the_lr_factor_scales_the_initial_rate() -> None:
    optimizer = make_optimizer()
    optimizer.set_lr_factor(0.5)
    optimizer.set_lr_factor(0.25)
    assert optimizer.lr == pytest.approx(0.025)


def test_non_finite_gradients_change_no_weights() -> None:
    optimizer = make_optimizer()
    optimizer.backward(optimizer.network(torch.tensor([float("nan"), 1.0])).sum())
    with pytest.raises(NumericalError, match="gradient of the network is not finite"):
        optimizer.step()
    assert weights(optimizer) == [1.0, 1.0]


def test_loss_scaling_does_not_change_gradients() -> None:
    """Property: the loss scale is divided out again before the step."""
    plain, scaled = make_optimizer(), make_optimizer(half=True)
    norms = []
    for optimizer in (plain, scaled):
        optimizer.backward(optimizer.network(torch.tensor([3.0, -4.0])).sum())
        norms.append(optimizer.step())
    assert norms[1] == pytest.approx(norms[0])
    assert weights(scaled) == pytest.approx(weights(plain))


def test_a_half_precision_overflow_halves_the_scale_and_skips_the_step() -> None:
    optimizer = make_optimizer(half=True)
    before = optimizer.scaler.get_scale()
    optimizer.backward(optimizer.network(torch.tensor([float("inf"), 1.0])).sum())
    optimizer.step()
    assert weights(optimizer) == [1.0, 1.0]
    assert optimizer.scaler.get_scale() == before / 2


def test_repeated_half_precision_overflows_are_an_error() -> None:
    optimizer = make_optimizer(half=True)
    with pytest.raises(NumericalError, match="not finite"):  # noqa: PT012 - one of many steps
        for _ in range(100):
            optimizer.zero_grad()
            optimizer.backward(optimizer.network(torch.tensor([float("inf"), 1.0])).sum())
            optimizer.step()
    assert weights(optimizer) == [1.0, 1.0]


def test_a_frozen_network_gets_no_gradients() -> None:
    optimizer = make_optimizer()
    wave = torch.tensor([3.0, -4.0], requires_grad=True)
    with optimizer.frozen() as network:
        network(wave).sum().backward()
        assert not network.training
    assert wave.grad.tolist() == [1.0, 1.0]
    assert optimizer.network.weight.grad is None
    assert optimizer.network.training
    assert optimizer.network.weight.requires_grad
