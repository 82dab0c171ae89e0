"""Adversarial losses. Truth: numbers worked by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from trainers.losses.adversarial import (
    Kind,
    discriminator_loss,
    feature_matching,
    generator_loss,
)


def maps(*values: list[float]) -> list[Tensor]:
    return [torch.tensor(row) for row in values]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        # First map: 1 - 0 = 1 and nothing, mean 0.5; second: 1 + 1 = 2.
        ("hinge", 0.5 + 2.0),
        # First: 1 and (3 - 1)^2 = 4, mean 2.5; second: (-1 - 1)^2 = 4.
        ("lsgan", 2.5 + 4.0),
    ],
)
def test_the_network_wants_to_be_taken_for_real(kind: Kind, expected: float) -> None:
    assert generator_loss(maps([0.0, 3.0], [-1.0]), kind).item() == pytest.approx(expected)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        # Real: 1 - 0.5 = 0.5; made: 1 + 0.5 = 1.5 and nothing for -2, mean 0.75.
        ("hinge", 0.5 + 0.75),
        # Real: 0.5^2 = 0.25; made: 0.25 and 4, mean 2.125.
        ("lsgan", 0.25 + 2.125),
    ],
)
def test_the_discriminator_tells_them_apart(kind: Kind, expected: float) -> None:
    loss = discriminator_loss(maps([0.5]), maps([0.5, -2.0]), kind)
    assert loss.item() == pytest.approx(expected)


def test_features_are_compared_layer_by_layer_and_summed() -> None:
    real = [maps([1.0, 2.0], [0.0]), maps([5.0])]
    made = [maps([2.0, 2.0], [3.0]), maps([4.0])]
    assert feature_matching(real, made).item() == pytest.approx(0.5 + 3.0 + 1.0)


def test_real_sound_is_a_target_and_gets_no_gradient() -> None:
    real, made = (torch.ones(3, requires_grad=True) for _ in range(2))
    feature_matching([[2 * real]], [[3 * made]]).backward()
    assert real.grad is None
    assert made.grad is not None
    torch.testing.assert_close(made.grad, torch.ones(3))  # 3 x sign(3 - 2) / 3


def test_features_of_another_number_of_layers_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="zip"):
        feature_matching([maps([1.0])], [maps([1.0], [1.0])])


@pytest.mark.parametrize("kind", ["hinge", "lsgan"])
def test_a_perfect_discriminator_and_a_perfect_network_have_no_loss(kind: Kind) -> None:
    below = -1.0 if kind == "hinge" else 0.0
    assert discriminator_loss(maps([1.0]), maps([below]), kind).item() == 0
    assert generator_loss(maps([1.0, 1.0]), kind).item() == 0
