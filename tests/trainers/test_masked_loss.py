"""The masked loss, which leaves out the worst items, against quantiles worked by hand.

The special case: with one item, or equal items, the quantile is the error itself. If all were
dropped, the loss would be 0, or NaN as a mean over nothing.
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


def waves_with_errors(*errors: list[float]) -> tuple[Tensor, Tensor]:
    """Estimates and references with these mean square errors, a row of stems for each item."""
    levels = torch.tensor(errors).sqrt()
    reference = torch.ones(*levels.shape, 2, LENGTH)
    return reference + levels[..., None, None], reference


def masked_loss(pair: tuple[Tensor, Tensor], quantile: float = 0.95) -> float:
    return make_loss("masked", 44_100, {"quantile": quantile})(*pair).item()


def test_the_worst_item_is_left_out() -> None:
    """The 95th percentile of 1, 2, 3 and 100 is 3 + 0.85 (100 - 3) = 85.45."""
    assert masked_loss(waves_with_errors([1.0], [100.0], [2.0], [3.0])) == pytest.approx(2)


def test_quantiles_are_interpolated() -> None:
    """The quantile 0.6 of 1 to 5 is 3.4, which drops 4 and 5; 0.5 is 3, which is dropped too."""
    five = waves_with_errors([5.0], [1.0], [4.0], [2.0], [3.0])
    assert masked_loss(five, 0.6) == pytest.approx(2)
    assert masked_loss(five, 0.5) == pytest.approx(1.5)


def test_every_stem_has_a_quantile_of_its_own() -> None:
    """A stem with larger errors drops its own worst item, and so does an easier one."""
    pair = waves_with_errors([1.0, 10.0], [2.0, 30.0], [3.0, 20.0])
    assert masked_loss(pair) == pytest.approx((1 + 2 + 10 + 20) / 4)


@pytest.mark.parametrize("quantile", [0.01, 0.5, 0.95, 1.0])
def test_a_single_item_is_never_left_out(quantile: float) -> None:
    assert masked_loss(waves_with_errors([4.0, 2.0]), quantile) == pytest.approx(3)


@pytest.mark.parametrize("quantile", [0.01, 0.5, 0.95, 1.0])
@pytest.mark.parametrize("items", [2, 3, 16])
def test_equal_items_are_never_left_out(items: int, quantile: float) -> None:
    assert masked_loss(waves_with_errors(*[[0.3, 0.3]] * items), quantile) == pytest.approx(
        0.3, rel=1e-5
    )


def test_no_error_is_no_loss() -> None:
    assert masked_loss(waves_with_errors([0.0], [0.0], [0.0])) == 0


def test_a_quantile_of_one_leaves_nothing_out() -> None:
    pair = waves_with_errors([1.0], [100.0], [2.0])
    assert masked_loss(pair, 1.0) == pytest.approx(mean_square(*pair).item())


@given(
    errors=st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=9),
    quantile=st.floats(0.001, 1),
)
def test_the_loss_is_between_the_least_error_and_the_mean(
    errors: list[float], quantile: float
) -> None:
    pair = waves_with_errors(*([error] for error in errors))
    value = masked_loss(pair, quantile)
    assert min(errors) * 0.999 <= value <= mean_square(*pair).item() * 1.001


def test_items_left_out_have_no_gradient() -> None:
    estimate, reference = waves_with_errors([1.0], [2.0], [50.0])
    estimate.requires_grad_()
    make_loss("masked", 44_100)(estimate, reference).backward()
    gradient = estimate.grad.abs().amax((1, 2, 3))
    # d/dx of (x - 1)^2, over 2 items of 2 channels of six samples.
    torch.testing.assert_close(gradient[:2], 2 * torch.tensor([1.0, 2.0]).sqrt() / (2 * 2 * LENGTH))
    assert gradient[2] == 0


def test_nan_is_not_left_out() -> None:
    """Comparisons with NaN are false, so without care its item would be dropped."""
    pair = waves_with_errors([1.0], [float("nan")], [2.0])
    assert torch.tensor(masked_loss(pair)).isnan()


def test_a_negative_quantile_is_refused() -> None:
    with pytest.raises(ConfigError, match="above 0 and at most 1"):
        make_loss("masked", 44_100, {"quantile": -0.1})
