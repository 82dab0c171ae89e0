"""BSSEval beside museval, frame by frame, and where museval has no answer beside algebra."""

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
"""dB, between two programs that compute in double precision."""

DEMO = Path(__file__).parents[2] / "docs" / "demo" / "stems"


@dataclass(frozen=True)
class Case:
    """A song made of coloured noise, and estimates that are wrong in all three ways."""

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
        colour = torch.randn(self.stems * self.channels, 1, 64) * torch.logspace(0, -2, 64)
        reference = F.conv1d(white.flatten(0, 1), colour.double(), groups=len(colour))
        reference = reference.unflatten(0, (self.stems, self.channels))
        reference[-1] *= self.faint
        begin, end = (round(place * self.rate) for place in self.quiet)
        reference[0, :, begin:end] = 0
        return self._separated(reference), reference

    def _separated(self, reference: Tensor) -> Tensor:
        """Filtered, with something of the next stem and some noise."""
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


def parameter(case: Case) -> ParameterSet:
    """With its name; museval needs long for the large ones."""
    is_large = case.stems * case.channels > 4
    return pytest.param(case, id=case.name, marks=[pytest.mark.slow] if is_large else [])


def stacked(scores: FrameScores) -> Float[Tensor, "ratio stem frame"]:
    return torch.stack([scores.sdr, scores.isr, scores.sir, scores.sar])


def assert_equal(
    scores: FrameScores, expected: Float[Tensor, "ratio stem frame"], atol: float = TOLERANCE
) -> None:
    torch.testing.assert_close(stacked(scores), expected, atol=atol, rtol=0, equal_nan=True)


@pytest.mark.parametrize("case", [*map(parameter, CASES)])
def test_frames_are_musevals(case: Case) -> None:
    estimate, reference = case.songs()
    window, hop = int(case.window * case.rate), int(case.hop * case.rate)
    expected = museval_scores(estimate, reference, window, hop)
    assert expected.isfinite().any()
    assert expected.isnan().any() == ("silent for a while" in case.name)
    assert_equal(bss_eval(estimate, reference, window, hop), expected)


def read_demo(seconds: float) -> Float[Tensor, "stem channel time"]:
    """The two stems of the demo song, from ten seconds on."""
    waves = [
        torch.from_numpy(read_wave(DEMO / f"{stem}.flac")[0]) for stem in ("vocals", "instrumental")
    ]
    return torch.stack(waves)[..., 441_000 : 441_000 + round(44100 * seconds)]


def test_the_demo_song_has_musevals_scores() -> None:
    """Two stems in stereo, at 44.1 kHz, one second a window; the estimates are a bad remix."""
    reference = read_demo(3.2)
    estimate = 0.8 * reference + 0.2 * reference.flip(0).roll(5, -1)
    expected = museval_scores(estimate, reference, 44100, 44100)
    assert_equal(bss_eval(estimate, reference), expected)


def test_twenty_decibels_by_hand() -> None:
    """White noise ten times as faint as the stem, which no filter removes: 20 dB SDR and SAR."""
    torch.manual_seed(0)
    reference, noise = torch.randn(2, 1, 2, 40_000, dtype=torch.float64)
    scores = bss_eval(reference + 0.1 * noise, reference, 40_000, 40_000)
    assert scores.sdr.item() == pytest.approx(20, abs=0.1)
    assert scores.sar.item() == pytest.approx(20, abs=0.3)


def test_a_delay_is_no_artefact() -> None:
    """What a filter does to the stem is spatial distortion: e_spat alone, no other error."""
    torch.manual_seed(1)
    reference = torch.randn(2, 1, 8000)
    scores = bss_eval(F.pad(reference, (5, -5)), reference, 8000, 8000)
    assert scores.isr.max() < 0
    assert scores.sir.min() > 40
    assert scores.sar.min() > 25  # the last five samples are cut off


@pytest.mark.parametrize("gain", [1.0, 0.5, -2.0])
def test_stems_whose_channels_are_the_same(gain: float) -> None:
    """Filters of a channel, and of the same with a gain beside it, reach the same.

    museval stops in such a case ("Singular matrix"), or returns what rounding makes of it.
    """
    torch.manual_seed(2)
    mono = torch.randn(2, 1, 4000, dtype=torch.float64)
    estimate = mono + 0.3 * mono.roll(1, 0) + 0.1 * torch.randn_like(mono)
    both = (torch.cat([wave, gain * wave], 1) for wave in (estimate, mono))
    assert_equal(bss_eval(*both, 2000, 2000), stacked(bss_eval(estimate, mono, 2000, 2000)), 1e-6)


def test_a_silent_stem_leaves_no_score() -> None:
    """The rule of the reference implementation for windows; for whole songs it stops."""
    reference = torch.stack([torch.zeros(2, 4000), torch.randn(2, 4000)])
    assert stacked(bss_eval(torch.randn(2, 2, 4000), reference, 1000, 1000)).isnan().all()


def test_a_perfect_estimate_has_no_error() -> None:
    """But what rounding leaves, if anything, as in museval: double precision has 16 digits."""
    torch.manual_seed(7)
    reference = torch.randn(2, 1, 4000)
    assert bss_eval(reference, reference, 1000, 1000).sdr.min() > 280


@pytest.mark.parametrize("lengths", [(3000, 4000), (5000, 4000)])
def test_estimates_have_the_length_of_the_reference(lengths: tuple[int, int]) -> None:
    """Shorter ones end in silence, longer ones are cut, as museval does it."""
    torch.manual_seed(3)
    made, true = lengths
    estimate, reference = torch.randn(2, 1, made), torch.randn(2, 1, true)
    expected = museval_scores(F.pad(estimate, (0, true - made)), reference, 2000, 2000)
    assert_equal(bss_eval(estimate, reference, 2000, 2000), expected)


@pytest.mark.parametrize("length", [1, 700, BLOCK, 70 * BLOCK + 5])
def test_correlations_are_sums_of_products(length: int) -> None:
    """Beside the definition, for signals shorter and longer than the blocks."""
    torch.manual_seed(4)
    left, right = torch.randn(2, 2, length, dtype=torch.float64)
    among, across = correlate(left, right, 9)
    for lag in range(9):
        for found, others in ((among, left), (across, right)):
            products = left[:, None] * F.pad(others, (0, lag))[None, :, lag:]
            torch.testing.assert_close(found[..., lag], products.sum(-1))


@pytest.mark.parametrize(
    ("length", "window", "hop", "count"),
    [(10, 4, 4, 2), (12, 4, 4, 3), (10, 4, 2, 4), (4, 4, 4, 1), (3, 4, 4, 1), (11, 4, 3, 3)],
)
def test_windows_that_fit(length: int, window: int, hop: int, count: int) -> None:
    """Counted by hand."""
    assert count_frames(length, window, hop) == count


@pytest.mark.parametrize(("length", "window", "hop"), [(0, 4, 4), (9, 0, 4), (9, 4, 0)])
def test_nothing_to_measure(length: int, window: int, hop: int) -> None:
    with pytest.raises(UsageError, match=f"found {length}, {window} and {hop}"):
        bss_eval(torch.ones(1, 1, length), torch.ones(1, 1, length), window, hop)


def test_parts_of_an_estimate_are_orthogonal() -> None:
    """A law of least squares: what no filter reaches is orthogonal to all delayed sources."""
    torch.manual_seed(5)
    reference, estimate = torch.randn(2, 2, 1, 3000, dtype=torch.float64)
    filters = find_filters(estimate, reference)
    sources = F.pad(reference[:, 0], (511, 511))
    reached = F.conv1d(sources[None], filters.joint.transpose(0, 1).flip(-1))[0]
    left = F.pad(estimate[:, 0], (0, 511)) - reached
    delayed = F.pad(reference[:, 0], (0, 511)).roll(300, -1)
    assert (left @ delayed.mT).abs().max() < 1e-8


@pytest.mark.parametrize(("least", "length"), [(1, 2), (44611, 45000), (97, 100), (512, 512)])
def test_lengths_of_transforms(least: int, length: int) -> None:
    """By hand: 45000 is 2^3 3^2 5^4."""
    assert fast_length(least) == length


def test_stems_that_are_sums_of_others_get_the_same_scores() -> None:
    """Law: what filters of A, B and A + B reach, filters of A and B reach; artefacts are equal."""
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
    """Estimates and stems with nothing above a tenth of the rate but what rounding adds."""
    torch.manual_seed(8)
    spectra = torch.fft.rfft(torch.randn(2, 1, 12_000, dtype=torch.float64))
    spectra[..., 1200:] = 0
    waves = torch.fft.irfft(spectra)
    waves *= 0.1 / waves.std()
    mixed = waves + 0.2 * waves.roll(5, -1) + 0.3 * waves.flip(0)
    made, true = ((wave * 2**bits).round() / 2**bits for wave in (mixed, waves))
    return made, true


@pytest.mark.parametrize(("bits", "tolerance"), [(15, TOLERANCE), (23, 0.1)])
def test_stems_without_high_frequencies(bits: int, tolerance: float) -> None:
    """In 16 bits rounding fills the empty band; in 24 hardly, and any filter will do there.

    SDR and ISR do not mind.
    """
    made, true = low_passed(bits)
    expected = museval_scores(made, true, 4000, 4000)
    found = bss_eval(made, true, 4000, 4000)
    assert_equal(found, expected, tolerance)
    torch.testing.assert_close(stacked(found)[:2], expected[:2], atol=TOLERANCE, rtol=0)
