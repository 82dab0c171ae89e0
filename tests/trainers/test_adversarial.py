"""Adversarial losses. Truth: numbers worked by hand, and laws of sums over an ensemble."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from model_zoo.discriminators.base import DiscriminatorOutput
from tests.model_zoo.listeners import spec
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


def halves(verdict: DiscriminatorOutput) -> list[DiscriminatorOutput]:
    """The verdict of the first sub-discriminator, and that of the others."""
    return [
        DiscriminatorOutput(verdict.scores[:1], verdict.features[:1]),
        DiscriminatorOutput(verdict.scores[1:], verdict.features[1:]),
    ]


@pytest.mark.parametrize("kind", ["hinge", "lsgan"])
def test_losses_add_up_over_the_sub_discriminators_of_an_ensemble(kind: Kind) -> None:
    ensemble = spec().build().eval()
    with torch.no_grad():
        real, made = ensemble(torch.randn(2, 1, 999)), ensemble(torch.randn(2, 1, 999))
    parts = [*zip(halves(real), halves(made), strict=True)]
    assert len(real.scores) == 3
    totals = [
        (
            generator_loss(m.scores, kind),
            discriminator_loss(r.scores, m.scores, kind),
            feature_matching(r.features, m.features),
        )
        for r, m in [(real, made), *parts]
    ]
    for whole, first, rest in zip(*totals, strict=True):
        assert whole.item() == pytest.approx((first + rest).item(), rel=1e-5)


def test_each_map_counts_once_however_large_it_is() -> None:
    """Means within a map, sums over maps: a map of 1000 weighs as much as one of 2."""
    small, large = torch.full((1, 1, 2), 3.0), torch.full((1, 1, 1000), -1.0)
    assert generator_loss([small, large], "lsgan").item() == pytest.approx(4 + 4)
    assert feature_matching([[small, large]], [[small + 1, large - 2]]).item() == pytest.approx(3)


@pytest.mark.parametrize(("kind", "slope"), [("hinge", -0.5), ("lsgan", 2 * (0.5 - 1) / 2)])
def test_the_network_learns_to_raise_its_scores(kind: Kind, slope: float) -> None:
    """By hand: d/ds of 1 - s, or of (s - 1)^2, over two numbers."""
    scores = torch.full((2,), 0.5, requires_grad=True)
    generator_loss([scores], kind).backward()
    assert scores.grad.tolist() == pytest.approx([slope, slope])


@pytest.mark.parametrize(("kind", "outside"), [("hinge", 1.5), ("lsgan", 1.0)])
def test_scores_beyond_what_is_wanted_teach_nothing(kind: Kind, outside: float) -> None:
    real, made = (torch.full((2,), level, requires_grad=True) for level in (outside, -1.5))
    discriminator_loss([real], [made if kind == "hinge" else 0 * made], kind).backward()
    assert (real.grad.tolist(), made.grad.tolist()) == ([0, 0], [0, 0])


@pytest.mark.parametrize("kind", ["hinge", "lsgan"])
def test_losses_are_computed_in_float32(kind: Kind) -> None:
    """Of bfloat16 scores, whose own mean would be rounded to eight bits."""
    real, made = (torch.randn(300).bfloat16() for _ in range(2))
    for found, exact in [
        (generator_loss([made], kind), generator_loss([made.float()], kind)),
        (
            discriminator_loss([real], [made], kind),
            discriminator_loss([real.float()], [made.float()], kind),
        ),
        (
            feature_matching([[real]], [[made]]),
            feature_matching([[real.float()]], [[made.float()]]),
        ),
    ]:
        assert found.dtype == torch.float32
        assert torch.equal(found, exact)
