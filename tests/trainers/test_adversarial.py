"""Adversarial losses, against numbers worked by hand and sums over an ensemble."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from model_zoo.discriminators.base import DiscriminatorOutput
from tests.model_zoo.discriminator_files import spec
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
def test_generator_loss_by_hand(kind: Kind, expected: float) -> None:
    assert generator_loss(maps([0.0, 3.0], [-1.0]), kind).item() == pytest.approx(expected)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        # Real: 1 - 0.5 = 0.5; fake: 1 + 0.5 = 1.5 and nothing for -2, mean 0.75.
        ("hinge", 0.5 + 0.75),
        # Real: 0.5^2 = 0.25; fake: 0.25 and 4, mean 2.125.
        ("lsgan", 0.25 + 2.125),
    ],
)
def test_discriminator_loss_by_hand(kind: Kind, expected: float) -> None:
    loss = discriminator_loss(maps([0.5]), maps([0.5, -2.0]), kind)
    assert loss.item() == pytest.approx(expected)


def test_features_are_compared_layer_by_layer_and_summed() -> None:
    real = [maps([1.0, 2.0], [0.0]), maps([5.0])]
    fake = [maps([2.0, 2.0], [3.0]), maps([4.0])]
    assert feature_matching(real, fake).item() == pytest.approx(0.5 + 3.0 + 1.0)


def test_feature_matching_has_no_gradient_for_real_features() -> None:
    real, fake = (torch.ones(3, requires_grad=True) for _ in range(2))
    feature_matching([[2 * real]], [[3 * fake]]).backward()
    assert real.grad is None
    assert fake.grad is not None
    torch.testing.assert_close(fake.grad, torch.ones(3))  # 3 x sign(3 - 2) / 3


def test_features_must_have_the_same_number_of_layers() -> None:
    with pytest.raises(ValueError, match="zip"):
        feature_matching([maps([1.0])], [maps([1.0], [1.0])])


@pytest.mark.parametrize("kind", ["hinge", "lsgan"])
def test_perfect_scores_have_no_loss(kind: Kind) -> None:
    below = -1.0 if kind == "hinge" else 0.0
    assert discriminator_loss(maps([1.0]), maps([below]), kind).item() == 0
    assert generator_loss(maps([1.0, 1.0]), kind).item() == 0


def split_output(output: DiscriminatorOutput) -> list[DiscriminatorOutput]:
    """The output of the first sub-discriminator, and that of the others."""
    return [
        DiscriminatorOutput(output.scores[:1], output.features[:1]),
        DiscriminatorOutput(output.scores[1:], output.features[1:]),
    ]


@pytest.mark.parametrize("kind", ["hinge", "lsgan"])
def test_ensemble_losses_are_sums_over_its_sub_discriminators(kind: Kind) -> None:
    ensemble = spec().build().eval()
    with torch.no_grad():
        real, fake = ensemble(torch.randn(2, 1, 999)), ensemble(torch.randn(2, 1, 999))
    parts = [*zip(split_output(real), split_output(fake), strict=True)]
    assert len(real.scores) == 3
    totals = [
        (
            generator_loss(f.scores, kind),
            discriminator_loss(r.scores, f.scores, kind),
            feature_matching(r.features, f.features),
        )
        for r, f in [(real, fake), *parts]
    ]
    for total, first, rest in zip(*totals, strict=True):
        assert total.item() == pytest.approx((first + rest).item(), rel=1e-5)


def test_score_maps_have_equal_weight_whatever_their_size() -> None:
    """Means within a map, sums over maps: a map of 1000 weighs as much as one of 2."""
    small, large = torch.full((1, 1, 2), 3.0), torch.full((1, 1, 1000), -1.0)
    assert generator_loss([small, large], "lsgan").item() == pytest.approx(4 + 4)
    assert feature_matching([[small, large]], [[small + 1, large - 2]]).item() == pytest.approx(3)


@pytest.mark.parametrize(("kind", "slope"), [("hinge", -0.5), ("lsgan", 2 * (0.5 - 1) / 2)])
def test_generator_gradient_raises_the_scores(kind: Kind, slope: float) -> None:
    """Expected: d/ds of 1 - s, or of (s - 1)^2, over two numbers."""
    scores = torch.full((2,), 0.5, requires_grad=True)
    generator_loss([scores], kind).backward()
    assert scores.grad.tolist() == pytest.approx([slope, slope])


@pytest.mark.parametrize(("kind", "outside"), [("hinge", 1.5), ("lsgan", 1.0)])
def test_scores_beyond_their_target_have_no_gradient(kind: Kind, outside: float) -> None:
    real, fake = (torch.full((2,), level, requires_grad=True) for level in (outside, -1.5))
    discriminator_loss([real], [fake if kind == "hinge" else 0 * fake], kind).backward()
    assert (real.grad.tolist(), fake.grad.tolist()) == ([0, 0], [0, 0])


@pytest.mark.parametrize("kind", ["hinge", "lsgan"])
def test_losses_are_computed_in_float32(kind: Kind) -> None:
    """The mean of bfloat16 scores would be rounded to eight bits."""
    real, fake = (torch.randn(300).bfloat16() for _ in range(2))
    for loss, exact in [
        (generator_loss([fake], kind), generator_loss([fake.float()], kind)),
        (
            discriminator_loss([real], [fake], kind),
            discriminator_loss([real.float()], [fake.float()], kind),
        ),
        (
            feature_matching([[real]], [[fake]]),
            feature_matching([[real.float()]], [[fake.float()]]),
        ),
    ]:
        assert loss.dtype == torch.float32
        assert torch.equal(loss, exact)
