"""The Wiener filter. Reference: its formulas in NumPy, one bin at a time, and laws that follow.

Open-Unmix's own is run beside it in tests/model_zoo/architectures/test_open_unmix_peer.py.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from model_zoo.ops import wiener
from model_zoo.ops.wiener import soft_masks, wiener_filter
from tests.model_zoo.blocks.weights import pattern

Array = NDArray[np.complex128]
EPS = 1e-10


def spectra(*shape: int, phase: float = 0.0) -> Tensor:
    return torch.complex(pattern(*shape, phase=phase), pattern(*shape, phase=phase + 1))


def mixture_and_estimates(
    stems: int, channels: int, frames: int = 12, batch: int = 1
) -> tuple[Tensor, Tensor]:
    """A mixture, and estimates of its stems that add up to something near it."""
    true = spectra(batch, stems, channels, 5, frames)
    return true.sum(1), true + 0.3 * spectra(batch, stems, channels, 5, frames, phase=3)


def in_numpy(estimates: Array, mixture: Array, iterations: int) -> Array:
    """Formulas of the module, for arrays (stem, channel, freq, frame) and one window."""
    scale = max(1.0, float(abs(mixture).max()) / 10)
    y, x = estimates / scale, mixture / scale
    stems, channels, bins, frames = y.shape
    for _ in range(iterations):
        new = np.zeros_like(y)
        for f in range(bins):
            v = (abs(y[:, :, f]) ** 2).mean(1)
            outer = np.einsum("sct,sdt->scd", y[:, :, f], y[:, :, f].conj())
            r = outer / (EPS + v.sum(1))[:, None, None]
            for t in range(frames):
                model = np.einsum("s,scd->cd", v[:, t], r) + EPS**0.5 * np.eye(channels)
                for s in range(stems):
                    new[s, :, f, t] = v[s, t] * r[s] @ np.linalg.inv(model) @ x[:, f, t]
        y = new
    return y * scale


def relative_error(found: Tensor, expected: Any) -> float:
    expected = torch.as_tensor(expected)
    return float((found - expected).abs().square().sum() / expected.abs().square().sum()) ** 0.5


@pytest.mark.parametrize("level", [0.01, 1.0, 100.0])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("iterations", [1, 3])
def test_the_formulas_bin_by_bin(iterations: int, channels: int, level: float) -> None:
    mixture, estimates = (level * part for part in mixture_and_estimates(3, channels))
    expected = in_numpy(
        estimates[0].to(torch.complex128).numpy(),
        mixture[0].to(torch.complex128).numpy(),
        iterations,
    )
    assert relative_error(wiener_filter(estimates, mixture, iterations)[0], expected) < 1e-5


def test_stems_add_up_to_a_loud_mixture() -> None:
    """The filters of all stems add up to ``C (C + floor)⁻¹``, nearly the identity."""
    mixture, estimates = mixture_and_estimates(4, 2)
    assert relative_error(wiener_filter(estimates, mixture, 2).sum(1), mixture) < 1e-3


def test_a_rotation_of_the_channels_passes_through() -> None:
    """Powers do not change, and covariances turn along, if left and right become mid and side."""
    mixture, estimates = mixture_and_estimates(3, 2)
    rotation = torch.tensor([[1, 1], [1, -1]], dtype=torch.complex64) / 2**0.5
    turned = torch.einsum("cd,bsdft->bscft", rotation, wiener_filter(estimates, mixture, 2))
    x = torch.einsum("cd,bdft->bcft", rotation, mixture)
    y = torch.einsum("cd,bsdft->bscft", rotation, estimates)
    assert relative_error(wiener_filter(y, x, 2), turned) < 1e-5


def test_equal_channels_are_filtered_like_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """By hand: two channels have twice the power in one direction, so the floor counts half."""
    mixture, estimates = mixture_and_estimates(3, 1)
    stereo = wiener_filter(estimates.repeat(1, 1, 2, 1, 1), mixture.repeat(1, 2, 1, 1), 2)
    monkeypatch.setattr(wiener, "FLOOR", wiener.FLOOR / 2)
    mono = wiener_filter(estimates, mixture, 2)
    assert relative_error(stereo, mono.repeat(1, 1, 2, 1, 1)) < 1e-5


def test_equal_estimates_share_the_mixture() -> None:
    """By hand: ``v R (J v R)⁻¹ = I / J``."""
    mixture, _ = mixture_and_estimates(3, 2)
    estimates = 0.7 * mixture.unsqueeze(1).repeat(1, 3, 1, 1, 1)
    for stem in wiener_filter(estimates, mixture, 1).unbind(1):
        assert relative_error(stem, mixture / 3) < 1e-3


@pytest.mark.parametrize("frames", [7, 8, 20, 24])
def test_windows_are_filtered_one_by_one(frames: int) -> None:
    mixture, estimates = mixture_and_estimates(3, 2, frames, batch=2)
    pieces = zip(estimates.split(8, -1), mixture.split(8, -1), strict=True)
    expected = torch.cat([wiener_filter(y, x, 2) for y, x in pieces], dim=-1)
    assert relative_error(wiener_filter(estimates, mixture, 2, window=8), expected) < 1e-5


def test_items_of_a_batch_are_scaled_on_their_own() -> None:
    mixture, estimates = mixture_and_estimates(2, 2, batch=2)
    levels = torch.tensor([1.0, 300.0])
    x, y = mixture * levels.view(2, 1, 1, 1), estimates * levels.view(2, 1, 1, 1, 1)
    both = wiener_filter(y, x, 1)
    for item in range(2):
        alone = wiener_filter(y[item : item + 1], x[item : item + 1], 1)
        assert relative_error(both[item : item + 1], alone) < 1e-5


def test_without_iterations_nothing_changes() -> None:
    mixture, estimates = mixture_and_estimates(2, 2)
    assert torch.equal(wiener_filter(estimates, mixture, 0, window=4), estimates)


@pytest.mark.parametrize("channels", [1, 2])
def test_silence_stays_silent(channels: int) -> None:
    mixture, estimates = mixture_and_estimates(3, channels)
    assert not wiener_filter(0 * estimates, mixture, 2).any()
    assert not wiener_filter(0 * estimates, 0 * mixture, 2).any()


def panned(size: float) -> tuple[Tensor, Tensor]:
    """One sound from one direction, and estimates of three stems in it."""
    mixture = 10 * spectra(1, 1, 5, 12) * torch.tensor([1.0, 0.37]).view(1, 2, 1, 1)
    return mixture, size * pattern(1, 3, 1, 5, 12).abs() * mixture.unsqueeze(1)


@pytest.mark.parametrize("size", [0.3, 1.0, 3.0])
def test_the_formulas_for_a_single_direction(size: float) -> None:
    """In float32, Open-Unmix's filter is wrong by percents here, or has no result."""
    mixture, estimates = panned(size)
    expected = in_numpy(
        estimates[0].to(torch.complex128).numpy(), mixture[0].to(torch.complex128).numpy(), 2
    )
    assert relative_error(wiener_filter(estimates, mixture, 2)[0], expected) < 1e-5


@pytest.mark.parametrize("size", [0.3, 3.0, 1000.0])
def test_without_float64_the_result_is_near(size: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reference: the same in float64, which Apple's GPUs do not have."""
    mixture, estimates = panned(size)
    expected = wiener_filter(estimates, mixture, 2)
    monkeypatch.setattr(wiener, "_precise", lambda spectrum: spectrum)
    assert relative_error(wiener_filter(estimates, mixture, 2), expected) < 0.02


@pytest.mark.parametrize(
    ("magnitudes", "masks"),
    [((3.0, 1.0), (0.75, 0.25)), ((0.0, 2.0), (0.0, 1.0)), ((0.0, 0.0), (0.0, 0.0))],
)
def test_soft_masks_by_hand(magnitudes: tuple[float, ...], masks: tuple[float, ...]) -> None:
    result = soft_masks(torch.tensor(magnitudes).reshape(1, 2, 1, 1, 1)).flatten()
    torch.testing.assert_close(result, torch.tensor(masks))
