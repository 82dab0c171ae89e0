"""BSSEval, compared with museval frame by frame, and with algebra where museval has no result."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from _pytest.mark import ParameterSet
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from model_zoo.errors import UsageError
from tests.trainers.bsseval_reference import museval_scores
from trainers.data.recording import read_wave
from trainers.metrics.bsseval import (
    BLOCK,
    FrameScores,
    bss_eval,
    correlate,
    count_frames,
    fast_length,
    find_filters,
)

TOLERANCE = 1e-3
"""Tolerance in dB between two programs that compute in double precision."""

DEMO = Path(__file__).parents[2] / "docs" / "demo" / "stems"


@dataclass(frozen=True)
class Case:
    """A song of colored noise, and estimates with spatial, interference and artifact errors."""

    name: str
    stems: int = 2
    channels: int = 1
    seconds: float = 1.5
    window: float = 0.25
    hop: float = 0.25
    leak: float = 0.3
    noise: float = 0.1
    quiet: tuple[float, float] = (0.0, 0.0)
    faint: float = 1.0

    rate = 8000

    def songs(self) -> tuple[Tensor, Tensor]:
        """Estimate and reference."""
        torch.manual_seed(sum(map(ord, self.name)))
        length = round(self.seconds * self.rate)
        white = torch.randn(self.stems, self.channels, length + 63, dtype=torch.float64)
        color = torch.randn(self.stems * self.channels, 1, 64) * torch.logspace(0, -2, 64)
        reference = F.conv1d(white.flatten(0, 1), color.double(), groups=len(color))
        reference = reference.unflatten(0, (self.stems, self.channels))
        reference[-1] *= self.faint
        begin, end = (round(place * self.rate) for place in self.quiet)
        reference[0, :, begin:end] = 0
        return self._separated(reference), reference

    def _separated(self, reference: Tensor) -> Tensor:
        """Estimates: the filtered stems, with leakage of the next stem and noise."""
        filtered = reference + 0.3 * reference.roll(3, -1) - 0.1 * reference.flip(1).roll(40, -1)
        leaked = self.leak * reference.roll(1, 0).roll(7, -1)
        return filtered + leaked + self.noise * torch.randn_like(reference)


CASES = [
    Case("two stems, mono"),
    Case("two stems, stereo", channels=2),
    Case("three stems, mono", stems=3),
    Case("four stems, mono", stems=4, seconds=1),
    Case("four stems, stereo", stems=4, channels=2),
    Case("one stem, stereo", stems=1, channels=2),
    Case("three channels", channels=3, seconds=1),
    Case("one second, one window", seconds=1, window=1, hop=1),
    Case("a window longer than the song", seconds=0.6, window=1, hop=1),
    Case("a song of a fifth of a second", seconds=0.2, window=1, hop=1),
    Case("windows that overlap", window=0.5, hop=0.125),
    Case("windows with gaps", window=0.125, hop=0.3),
    Case("a window of an odd number of samples", window=0.2501250, hop=0.2501250),
    Case("a rest in the end", seconds=1.37),
    Case("a stem silent for a while", quiet=(0.4, 1.1)),
    Case("a stem silent for less than a window", quiet=(0.3, 0.4)),
    Case("a stereo stem silent for a while", channels=2, quiet=(0.2, 0.8)),
    Case("a faint stem", faint=1e-3),
    Case("hardly an error", leak=1e-3, noise=1e-4),
    Case("more error than stem", leak=3, noise=2),
    Case("nothing but noise", leak=0, noise=20),
    Case("long against the blocks", seconds=6.5, window=1, hop=1),
]


def as_param(case: Case) -> ParameterSet:
    """The case under its name; large ones are marked slow because museval is."""
    is_large = case.stems * case.channels > 4
    return pytest.param(case, id=case.name, marks=[pytest.mark.slow] if is_large else [])


def stacked(scores: FrameScores) -> Float[Tensor, "ratio stem frame"]:
    return torch.stack([scores.sdr, scores.isr, scores.sir, scores.sar])


def assert_equal(
    scores: FrameScores, expected: Float[Tensor, "ratio stem frame"], atol: float = TOLERANCE
) -> None:
    torch.testing.assert_close(stacked(scores), expected, atol=atol, rtol=0, equal_nan=True)


@pytest.mark.parametrize("case", [*map(as_param, CASES)])
def test_frames_equal_museval(case: Case) -> None:
    estimate, reference = case.songs()
    window, hop = int(case.window * case.rate), int(case.hop * case.rate)
    expected = museval_scores(estimate, reference, window, hop)
    assert expected.isfinite().any()
    assert expected.isnan().any() == ("silent for a while" in case.name)
    assert_equal(bss_eval(estimate, reference, window, hop), expected)


def read_demo(seconds: float) -> Float[Tensor, "stem channel time"]:
    """The two stems of the demo song, starting at ten seconds."""
    waves = [
        torch.from_numpy(read_wave(DEMO / f"{stem}.flac")[0]) for stem in ("vocals", "instrumental")
    ]
    return torch.stack(waves)[..., 441_000 : 441_000 + round(44100 * seconds)]


def test_the_demo_song_scores_equal_museval() -> None:
    """Two stereo stems at 44.1 kHz, windows of one second; each estimate leaks the other stem."""
    reference = read_demo(3.2)
    estimate = 0.8 * reference + 0.2 * reference.flip(0).roll(5, -1)
    expected = museval_scores(estimate, reference, 44100, 44100)
    assert_equal(bss_eval(estimate, reference), expected)


def test_twenty_decibels_by_hand() -> None:
    """Noise at a tenth of the stem's amplitude, which no filter explains: 20 dB SDR and SAR."""
    torch.manual_seed(0)
    reference, noise = torch.randn(2, 1, 2, 40_000, dtype=torch.float64)
    scores = bss_eval(reference + 0.1 * noise, reference, 40_000, 40_000)
    assert scores.sdr.item() == pytest.approx(20, abs=0.1)
    assert scores.sar.item() == pytest.approx(20, abs=0.3)


def test_a_delay_is_not_an_artifact() -> None:
    """A filter of the stem is spatial distortion only: no interference, no artifacts."""
    torch.manual_seed(1)
    reference = torch.randn(2, 1, 8000)
    scores = bss_eval(F.pad(reference, (5, -5)), reference, 8000, 8000)
    assert scores.isr.max() < 0
    assert scores.sir.min() > 40
    assert scores.sar.min() > 25  # the last five samples are cut off


@pytest.mark.parametrize("gain", [1.0, 0.5, -2.0])
def test_stems_with_proportional_channels(gain: float) -> None:
    """A channel and its copy with a gain span the same filters as the channel alone.

    museval fails in this case ("Singular matrix"), or returns rounding errors.
    """
    torch.manual_seed(2)
    mono = torch.randn(2, 1, 4000, dtype=torch.float64)
    estimate = mono + 0.3 * mono.roll(1, 0) + 0.1 * torch.randn_like(mono)
    both = (torch.cat([wave, gain * wave], 1) for wave in (estimate, mono))
    assert_equal(bss_eval(*both, 2000, 2000), stacked(bss_eval(estimate, mono, 2000, 2000)), 1e-6)


def test_a_silent_stem_makes_all_scores_nan() -> None:
    """The reference implementation does the same for windows, but fails for whole songs."""
    reference = torch.stack([torch.zeros(2, 4000), torch.randn(2, 4000)])
    assert stacked(bss_eval(torch.randn(2, 2, 4000), reference, 1000, 1000)).isnan().all()


def test_a_perfect_estimate_has_no_error() -> None:
    """Only rounding remains, as in museval: double precision has 16 digits."""
    torch.manual_seed(7)
    reference = torch.randn(2, 1, 4000)
    assert bss_eval(reference, reference, 1000, 1000).sdr.min() > 280


@pytest.mark.parametrize("lengths", [(3000, 4000), (5000, 4000)])
def test_estimates_have_the_length_of_the_reference(lengths: tuple[int, int]) -> None:
    """Shorter estimates are padded with silence and longer ones cut, as in museval."""
    torch.manual_seed(3)
    length, target = lengths
    estimate, reference = torch.randn(2, 1, length), torch.randn(2, 1, target)
    expected = museval_scores(F.pad(estimate, (0, target - length)), reference, 2000, 2000)
    assert_equal(bss_eval(estimate, reference, 2000, 2000), expected)


@pytest.mark.parametrize("length", [1, 700, BLOCK, 70 * BLOCK + 5])
def test_correlations_are_sums_of_products(length: int) -> None:
    """Reference: the definition, for signals shorter and longer than the blocks."""
    torch.manual_seed(4)
    left, right = torch.randn(2, 2, length, dtype=torch.float64)
    auto, cross = correlate(left, right, 9)
    for lag in range(9):
        for found, others in ((auto, left), (cross, right)):
            products = left[:, None] * F.pad(others, (0, lag))[None, :, lag:]
            torch.testing.assert_close(found[..., lag], products.sum(-1))


@pytest.mark.parametrize(
    ("length", "window", "hop", "count"),
    [(10, 4, 4, 2), (12, 4, 4, 3), (10, 4, 2, 4), (4, 4, 4, 1), (3, 4, 4, 1), (11, 4, 3, 3)],
)
def test_number_of_windows(length: int, window: int, hop: int, count: int) -> None:
    """Expected numbers are counted by hand."""
    assert count_frames(length, window, hop) == count


@pytest.mark.parametrize(("length", "window", "hop"), [(0, 4, 4), (9, 0, 4), (9, 4, 0)])
def test_empty_signals_and_windows_are_refused(length: int, window: int, hop: int) -> None:
    with pytest.raises(UsageError, match=f"found {length}, {window} and {hop}"):
        bss_eval(torch.ones(1, 1, length), torch.ones(1, 1, length), window, hop)


def test_the_residual_is_orthogonal_to_the_sources() -> None:
    """Property of least squares: the residual is orthogonal to all delayed sources."""
    torch.manual_seed(5)
    reference, estimate = torch.randn(2, 2, 1, 3000, dtype=torch.float64)
    filters = find_filters(estimate, reference)
    sources = F.pad(reference[:, 0], (511, 511))
    projected = F.conv1d(sources[None], filters.joint.transpose(0, 1).flip(-1))[0]
    residual = F.pad(estimate[:, 0], (0, 511)) - projected
    delayed = F.pad(reference[:, 0], (0, 511)).roll(300, -1)
    assert (residual @ delayed.mT).abs().max() < 1e-8


@pytest.mark.parametrize(("least", "length"), [(1, 2), (44611, 45000), (97, 100), (512, 512)])
def test_fast_fft_lengths(least: int, length: int) -> None:
    """45000 is 2^3 3^2 5^4."""
    assert fast_length(least) == length


def test_a_stem_that_is_a_sum_of_others_changes_no_artifacts() -> None:
    """Property: A, B and A + B span the same filters as A and B, so artifacts are equal."""
    torch.manual_seed(6)
    reference = torch.randn(2, 1, 4000, dtype=torch.float64)
    estimate = reference + 0.2 * torch.randn_like(reference)
    both, all_three = (
        torch.cat([side, side.sum(0, keepdim=True)]) for side in (estimate, reference)
    )
    three = bss_eval(both, all_three, 4000, 4000)
    two = bss_eval(estimate, reference, 4000, 4000)
    torch.testing.assert_close(three.sar[:2], two.sar, atol=1e-6, rtol=0)


def low_passed(bits: int) -> tuple[Tensor, Tensor]:
    """Estimates and stems with only rounding noise above a tenth of the sample rate."""
    torch.manual_seed(8)
    spectra = torch.fft.rfft(torch.randn(2, 1, 12_000, dtype=torch.float64))
    spectra[..., 1200:] = 0
    waves = torch.fft.irfft(spectra)
    waves *= 0.1 / waves.std()
    mixed = waves + 0.2 * waves.roll(5, -1) + 0.3 * waves.flip(0)
    estimate, reference = ((wave * 2**bits).round() / 2**bits for wave in (mixed, waves))
    return estimate, reference


@pytest.mark.parametrize(("bits", "tolerance"), [(15, TOLERANCE), (23, 0.1)])
def test_stems_without_high_frequencies(bits: int, tolerance: float) -> None:
    """Rounding to 16 bits fills the empty band; to 24 bits hardly, so filters are ambiguous there.

    SDR and ISR are not affected.
    """
    estimate, reference = low_passed(bits)
    expected = museval_scores(estimate, reference, 4000, 4000)
    found = bss_eval(estimate, reference, 4000, 4000)
    assert_equal(found, expected, tolerance)
    torch.testing.assert_close(stacked(found)[:2], expected[:2], atol=TOLERANCE, rtol=0)
