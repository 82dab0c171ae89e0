"""Losses and metrics, against numbers worked by hand and properties."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model_zoo.errors import UnknownNameError
from tests.stemcli.engine.stubs import Scaling
from trainers.config import Recipe
from trainers.losses import make_loss
from trainers.losses.spectral import multi_resolution_stft
from trainers.losses.waveform import (
    NOISE_FLOOR,
    mean_square,
    noise_to_signal,
    root_mean_square,
    waveform_l1,
)
from trainers.metrics.sdr import global_sdr, si_sdr
from trainers.objectives.base import Batch
from trainers.objectives.separation import QUIETEST_RMS, SeparationObjective, loudness


def test_sdr_by_hand() -> None:
    """Energy 4 over error energy 0.04 is a factor of 100, 20 dB."""
    reference = torch.ones(1, 4)
    assert global_sdr(reference * 0.9, reference).item() == pytest.approx(20, abs=1e-4)


@pytest.mark.parametrize("gain", [1.0, -3.0, 0.01])
def test_si_sdr_by_hand(gain: float) -> None:
    """Half of the stem with energy 2, and an orthogonal error of energy 1: 3.01 dB at any gain."""
    reference = torch.tensor([[2.0, 2.0, 0.0, 0.0]])
    estimate = 0.5 * reference + torch.tensor([[0.0, 0.0, 1.0, 0.0]])
    expected = 10 * math.log10(2)
    assert si_sdr(gain * estimate, reference).item() == pytest.approx(expected, abs=1e-4)
    assert si_sdr(estimate, gain * reference).item() == pytest.approx(expected, abs=1e-4)


def test_si_sdr_of_silence() -> None:
    wave, silence = torch.ones(1, 9), torch.zeros(1, 9)
    assert si_sdr(silence, wave).item() == 0
    assert si_sdr(wave, silence).item() < -100


def test_mixture_sdr_is_the_level_difference() -> None:
    """With the mixture as estimate, the error is the backing: SDR is voice over backing in dB."""
    torch.manual_seed(0)
    voice, backing = torch.randn(2, 2, 4000)
    expected = 10 * math.log10(voice.square().sum() / backing.square().sum())
    assert global_sdr(voice + backing, voice).item() == pytest.approx(expected, abs=1e-4)


@given(gain=st.floats(0.01, 100))
def test_sdr_does_not_depend_on_the_common_gain(gain: float) -> None:
    torch.manual_seed(1)
    estimate, reference = torch.randn(2, 1, 500, dtype=torch.float64)
    scaled = global_sdr(gain * estimate, gain * reference)
    assert scaled.item() == pytest.approx(global_sdr(estimate, reference).item(), abs=1e-3)


def test_two_silences_give_zero_decibels() -> None:
    assert global_sdr(torch.zeros(1, 9), torch.zeros(1, 9)).item() == 0


def test_waveform_l1_by_hand() -> None:
    estimate = torch.tensor([0.0, 1.0, -2.0, 3.0]).view(1, 1, 1, 4)
    assert waveform_l1(estimate, torch.zeros(1, 1, 1, 4)).item() == pytest.approx(1.5)


def test_mean_square_by_hand() -> None:
    estimate = torch.tensor([0.0, 1.0, -2.0, 3.0]).view(1, 1, 1, 4)
    assert mean_square(estimate, torch.zeros(1, 1, 1, 4)).item() == pytest.approx(3.5)


def test_root_mean_square_by_hand() -> None:
    """The mean of two stems' roots, and not the root of their mean; less the floor of 0.0001."""
    estimate = torch.tensor([[3.0, -3.0], [0.0, 2.0]]).view(1, 2, 1, 2)
    expected = (3 + 2**0.5) / 2 - 1e-4
    assert root_mean_square(estimate, torch.zeros(1, 2, 1, 2)).item() == pytest.approx(expected)


def test_root_mean_square_is_that_of_the_spectra() -> None:
    """By Parseval: SCNet's loss, spectra of rectangular windows over the root of their length.

    A frame's spectrum has the energy of its samples, half of it in the positive frequencies, which
    have two values per two samples: the root of a half is the factor. Every window here holds
    whole periods, so that neither the ends nor the two bins without a counterpart matter.
    """
    wave = torch.sin(2 * torch.pi * torch.arange(64 * 256) / 16).view(1, 1, 1, -1)
    spectra = torch.stft(wave[0, 0], 256, 64, window=torch.ones(256) / 16, return_complex=True)
    expected = torch.view_as_real(spectra).square().mean().sqrt() * (2 * 129 / 128) ** 0.5
    loss = root_mean_square(wave, torch.zeros_like(wave))
    torch.testing.assert_close(loss, expected, rtol=0.01, atol=0)


def test_mean_square_is_least_for_the_mean() -> None:
    """With the voice in one mixture of three, the best constant estimate is a third of it."""
    voice = torch.tensor([1.0, 0.0, 0.0]).view(3, 1, 1, 1)
    estimates = torch.linspace(0, 1, 31)
    risks = [mean_square(estimate.expand(3, 1, 1, 1), voice).item() for estimate in estimates]
    assert estimates[risks.index(min(risks))].item() == pytest.approx(1 / 3)


@settings(max_examples=10)
@given(gain=st.floats(0.01, 10))
def test_losses_do_not_depend_on_the_level(gain: float) -> None:
    """Property: scaling a clip and its stems together does not change the losses."""
    torch.manual_seed(4)
    mixture, stems = torch.randn(2, 2, 5000), torch.randn(2, 1, 2, 5000)
    recipe, model = Recipe(losses={"mean_square": 1.0, "waveform_l1": 2.0}), Scaling(channels=2)
    objective = SeparationObjective(recipe, model)

    def losses_of(batch: Batch) -> dict[str, torch.Tensor]:
        example = objective.make_example(model, batch)
        return objective(example.pair(model(example.inputs)))

    losses = losses_of(Batch(mixture, stems))
    gains = torch.tensor([gain, 1.0]).view(2, 1, 1)
    changed = losses_of(Batch(mixture * gains, stems * gains.unsqueeze(-1)))
    for name, loss in losses.items():
        assert changed[name].item() == pytest.approx(loss.item(), rel=1e-4)


def test_loudness_by_hand() -> None:
    """Samples of 3 and 4 have the mean square 12.5; silence has the least level instead of 0."""
    waves = torch.stack([torch.tensor([[3.0, 4.0]]), torch.zeros(1, 2)])
    assert loudness(waves).flatten().tolist() == pytest.approx([12.5**0.5, QUIETEST_RMS])


def test_noise_to_signal_by_hand() -> None:
    """An error of a tenth is -20 dB; a leak of -20 dB full scale into silence is 30 dB."""
    ones, silence = torch.ones(1, 1, 2, 50), torch.zeros(1, 1, 2, 50)
    assert noise_to_signal(0.9 * ones, ones).item() == pytest.approx(-20, abs=0.01)
    leak_db = 10 * math.log10((0.01 + NOISE_FLOOR) / NOISE_FLOOR)
    assert noise_to_signal(0.1 * ones, silence).item() == pytest.approx(leak_db, abs=1e-4)
    both = torch.cat([0.9 * ones, 0.1 * ones]), torch.cat([ones, silence])
    assert noise_to_signal(*both).item() == pytest.approx((leak_db - 20) / 2, abs=0.01)


def test_spectral_loss_of_white_noise_is_its_level() -> None:
    """Magnitudes of a complex Gaussian with power s^2 have mean s sqrt(pi)/2 (Rayleigh)."""
    torch.manual_seed(2)
    error = 0.3 * torch.randn(1, 1, 2, 60_000)
    loss = multi_resolution_stft(error, torch.zeros_like(error)).item()
    assert loss == pytest.approx(0.3 * math.sqrt(math.pi) / 2, rel=0.01)


@settings(max_examples=10)
@given(scale=st.floats(0.1, 10))
def test_spectral_loss_is_homogeneous(scale: float) -> None:
    torch.manual_seed(3)
    estimate, reference = torch.randn(2, 1, 1, 1, 6000)
    loss = multi_resolution_stft(estimate, reference)
    scaled = multi_resolution_stft(scale * estimate, scale * reference)
    assert scaled.item() == pytest.approx(scale * loss.item(), rel=1e-4)


def test_unknown_loss_suggests_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="waveform_l1"):
        make_loss("waveform_l2", 44_100)
