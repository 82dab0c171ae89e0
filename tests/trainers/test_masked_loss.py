"""The loss without the worst items. Truth: quantiles worked by hand, and laws.

The trap: with one item, or equal ones, the quantile is the error itself, so that all would be
dropped and the loss would be 0 (or NaN, as a mean over none).
"""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from model_zoo.errors import ConfigError
from trainers.losses import make_loss
from trainers.losses.waveform import mean_square

LENGTH = 6


def sounds(*errors: list[float]) -> tuple[Tensor, Tensor]:
    """Waves whose mean squared differences are these: a row for each item, stems within."""
    levels = torch.tensor(errors).sqrt()
    reference = torch.ones(*levels.shape, 2, LENGTH)
    return reference + levels[..., None, None], reference


def masked(pair: tuple[Tensor, Tensor], quantile: float = 0.95) -> float:
    return make_loss("masked", 44_100, {"quantile": quantile})(*pair).item()


def test_the_worst_item_is_left_out() -> None:
    """Of 1, 2, 3 and 100 the 95th percentile is 3 + 0.85 (100 - 3) = 85.45."""
    assert masked(sounds([1.0], [100.0], [2.0], [3.0])) == pytest.approx(2)


def test_quantiles_are_interpolated() -> None:
    """Of 1 to 5 the quantile 0.6 lies at 3.4: 4 and 5 are left out; 0.5 is 3 itself, out too."""
    five = sounds([5.0], [1.0], [4.0], [2.0], [3.0])
    assert masked(five, 0.6) == pytest.approx(2)
    assert masked(five, 0.5) == pytest.approx(1.5)


def test_every_stem_has_a_quantile_of_its_own() -> None:
    """A stem that is harder throughout loses its own worst item, and the easy one its own."""
    pair = sounds([1.0, 10.0], [2.0, 30.0], [3.0, 20.0])
    assert masked(pair) == pytest.approx((1 + 2 + 10 + 20) / 4)


@pytest.mark.parametrize("quantile", [0.01, 0.5, 0.95, 1.0])
def test_one_item_counts_whatever_the_quantile(quantile: float) -> None:
    assert masked(sounds([4.0, 2.0]), quantile) == pytest.approx(3)


@pytest.mark.parametrize("quantile", [0.01, 0.5, 0.95, 1.0])
@pytest.mark.parametrize("items", [2, 3, 16])
def test_equal_items_all_count(items: int, quantile: float) -> None:
    assert masked(sounds(*[[0.3, 0.3]] * items), quantile) == pytest.approx(0.3, rel=1e-5)


def test_no_error_is_no_loss() -> None:
    assert masked(sounds([0.0], [0.0], [0.0])) == 0


def test_a_quantile_of_one_leaves_nothing_out() -> None:
    pair = sounds([1.0], [100.0], [2.0])
    assert masked(pair, 1.0) == pytest.approx(mean_square(*pair).item())


@given(
    errors=st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=9),
    quantile=st.floats(0.001, 1),
)
def test_errors_never_give_nothing_nor_more_than_their_mean(
    errors: list[float], quantile: float
) -> None:
    pair = sounds(*([error] for error in errors))
    value = masked(pair, quantile)
    assert min(errors) * 0.999 <= value <= mean_square(*pair).item() * 1.001


def test_a_wrong_label_teaches_nothing() -> None:
    estimate, reference = sounds([1.0], [2.0], [50.0])
    estimate.requires_grad_()
    make_loss("masked", 44_100)(estimate, reference).backward()
    moved = estimate.grad.abs().amax((1, 2, 3))
    # d/dx of (x - 1)^2, over 2 items of 2 channels of six samples.
    torch.testing.assert_close(moved[:2], 2 * torch.tensor([1.0, 2.0]).sqrt() / (2 * 2 * LENGTH))
    assert moved[2] == 0


def test_nan_is_not_left_out() -> None:
    """Comparisons with NaN are false, so it would count as an item to drop."""
    pair = sounds([1.0], [float("nan")], [2.0])
    assert torch.tensor(masked(pair)).isnan()


def test_no_quantile_below_zero() -> None:
    with pytest.raises(ConfigError, match="above 0 and at most 1"):
        make_loss("masked", 44_100, {"quantile": -0.1})
