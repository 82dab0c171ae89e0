"""Spectral losses, against numbers worked by hand and auraloss 0.4.

With a Hann window of n samples, a cosine on bin k has the magnitude n/4 in that bin, n/8 in its
neighbors and 0 elsewhere; a constant has n/2 in bin 0 and n/4 in bin 1. Cosines whose first and
last samples are maxima equal their reflections, so that this holds for every frame.
"""

from __future__ import annotations

import math

import auraloss
import pytest
import torch
from torch import Tensor

from tests.golden.losses.formula import waves
from trainers.losses import make_loss
from trainers.losses.spectral import magnitudes, multi_resolution_stft, spectral_convergence

RATE = 44_100
N_FFT, HOP, BINS = 64, 16, 33
ENERGY = 3 / 8 * N_FFT
"""Energy of a Hann window, whose mean square is 3/8."""


def cosine(level: float) -> Tensor:
    """A cosine with five periods per window, eight windows and one sample long."""
    time = torch.arange(8 * N_FFT + 1, dtype=torch.float64)
    return (level * torch.cos(2 * math.pi * 5 * time / N_FFT)).float().view(1, 1, 1, -1)


def pair() -> tuple[Tensor, Tensor]:
    """An estimate and a reference of one item and stem, in stereo."""
    estimate, reference = (torch.from_numpy(wave)[None, None] for wave in waves(RATE))
    return estimate, reference


def test_scaled_magnitudes_of_noise_equal_its_level() -> None:
    """Magnitudes of a complex Gaussian with power s^2 have mean s sqrt(pi)/2 (Rayleigh)."""
    noise = 0.3 * torch.randn(60_000, generator=torch.Generator().manual_seed(0))
    for n_fft in (256, 1024):
        mean = magnitudes(noise, n_fft, n_fft // 4).mean().item()
        assert mean == pytest.approx(0.3 * math.sqrt(math.pi) / 2, rel=0.02)


def test_magnitude_l1_by_hand() -> None:
    loss = make_loss("magnitude_l1", RATE, {"n_fft": N_FFT, "hop": HOP})
    silence = torch.zeros_like(cosine(1))
    expected = 0.6 * (N_FFT / 4 + 2 * N_FFT / 8) / BINS / math.sqrt(ENERGY)
    assert loss(cosine(0.6), silence).item() == pytest.approx(expected, rel=1e-4)
    assert loss(cosine(0.9), cosine(0.3)).item() == pytest.approx(expected, rel=1e-4)
    constant = torch.full_like(silence, 0.2)
    expected = 0.2 * (N_FFT / 2 + N_FFT / 4) / BINS / math.sqrt(ENERGY)
    assert loss(constant, silence).item() == pytest.approx(expected, rel=1e-4)


def test_magnitude_mse_by_hand() -> None:
    """A cosine on a bin has a fourth of the window there, and an eighth in both neighbours."""
    loss = make_loss("magnitude_mse", RATE, {"n_fft": N_FFT, "hop": HOP})
    expected = 0.36 * ((N_FFT / 4) ** 2 + 2 * (N_FFT / 8) ** 2) / BINS / ENERGY
    assert loss(cosine(0.6), torch.zeros_like(cosine(1))).item() == pytest.approx(
        expected, rel=1e-4
    )
    assert loss(cosine(0.9), cosine(0.3)).item() == pytest.approx(expected, rel=1e-4)


def test_only_the_complex_loss_depends_on_phase() -> None:
    wave = torch.randn(1, 1, 1, 6000, generator=torch.Generator().manual_seed(1))
    for name in ("magnitude_l1", "magnitude_mse", "multi_resolution_magnitude"):
        assert make_loss(name, RATE)(-wave, wave).item() == 0
    assert multi_resolution_stft(-wave, wave).item() > 1


def test_multi_resolution_magnitude_by_hand() -> None:
    """One resolution: three bins are 12 dB too quiet, the others are below the floor in both."""
    options = {"n_fft": [N_FFT], "hop": [HOP]}
    l1_term = 0.6 * (N_FFT / 4 + 2 * N_FFT / 8) / BINS / math.sqrt(ENERGY)
    log_term = 3 * math.log(4) / BINS
    for signals in ((cosine(0.2), cosine(0.8)), (cosine(0.8), cosine(0.2))):
        value = make_loss("multi_resolution_magnitude", RATE, options)(*signals).item()
        assert value == pytest.approx(l1_term + log_term, rel=1e-4)
    loss = make_loss("multi_resolution_magnitude", RATE, {**options, "convergence": True})
    # Norm of the error over that of the reference: 0.6 / 0.8, then 0.6 / 0.2.
    relative = loss(cosine(0.2), cosine(0.8)).item()
    assert relative == pytest.approx(0.75 + log_term, rel=1e-3)
    relative = loss(cosine(0.8), cosine(0.2)).item()
    assert relative == pytest.approx(3 + log_term, rel=1e-3)


def test_spectral_convergence_to_silence_uses_the_floor() -> None:
    """The norms of a constant 0.1 and of the floor, whose square is 1e-5."""
    found = torch.full((1, 7, 9), 0.1)
    value = spectral_convergence(found, torch.zeros_like(found)).item()
    assert value == pytest.approx(0.1 / math.sqrt(1e-5))


def test_the_loss_is_the_mean_of_all_resolutions() -> None:
    estimate, reference = pair()
    options = {"n_fft": [512, 128], "hop": [100, 32]}
    both = make_loss("multi_resolution_magnitude", RATE, options)(estimate, reference).item()
    alone = [
        make_loss("multi_resolution_magnitude", RATE, {"n_fft": [n_fft], "hop": [hop]})
        for n_fft, hop in zip(options["n_fft"], options["hop"], strict=True)
    ]
    assert both == pytest.approx(sum(loss(estimate, reference).item() for loss in alone) / 2)


@pytest.mark.parametrize(("n_fft", "hop"), [(4096, 1024), (512, 200)])
def test_magnitude_l1_equals_auraloss(n_fft: int, hop: int) -> None:
    """auraloss does not divide by the window's energy, so its input is scaled beforehand."""
    estimate, reference = pair()
    auraloss_loss = auraloss.freq.STFTLoss(
        n_fft, hop, n_fft, w_sc=0, w_log_mag=0, w_lin_mag=1, eps=1e-12
    )
    scale = math.sqrt(3 / 8 * n_fft)
    expected = auraloss_loss(estimate[0] / scale, reference[0] / scale).item()
    loss = make_loss("magnitude_l1", RATE, {"n_fft": n_fft, "hop": hop})
    assert loss(estimate, reference).item() == pytest.approx(expected, rel=1e-5)


def test_multi_resolution_magnitude_equals_auraloss() -> None:
    """Reference: the mean of auraloss's single resolutions, on waves scaled beforehand."""
    estimate, reference = pair()
    expected = []
    for n_fft in (2048, 1024, 512):
        auraloss_loss = auraloss.freq.STFTLoss(
            n_fft, n_fft // 4, n_fft, w_sc=0, w_log_mag=1, w_lin_mag=1, eps=1e-10
        )
        scale = math.sqrt(3 / 8 * n_fft)
        expected.append(auraloss_loss(estimate[0] / scale, reference[0] / scale).item())
    value = make_loss("multi_resolution_magnitude", RATE)(estimate, reference).item()
    assert value == pytest.approx(sum(expected) / 3, rel=1e-5)


def test_spectral_convergence_equals_auraloss() -> None:
    """Neither term depends on a common gain, and a large gain makes the floors negligible."""
    estimate, reference = (100 * wave for wave in pair())
    auraloss_loss = auraloss.freq.MultiResolutionSTFTLoss(
        fft_sizes=[2048, 1024, 512], hop_sizes=[512, 256, 128], win_lengths=[2048, 1024, 512]
    )
    loss = make_loss("multi_resolution_magnitude", RATE, {"convergence": True})
    expected = auraloss_loss(estimate[0], reference[0]).item()
    assert loss(estimate, reference).item() == pytest.approx(expected, rel=1e-5)
