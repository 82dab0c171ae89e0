"""Combinations of estimates, by hand, by laws, and against an STFT over the whole signal."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from model_zoo.grids import Combination
from stemcli.engine.combine import COMBINATIONS, HOP, N_FFT, Combiner, combiner

SPECTRAL = [how for how in COMBINATIONS if how.endswith("-spectrum")]


def estimates(members: int, frames: int, stems: int = 2, seed: int = 0) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((members, frames, stems, 2)).astype(np.float32)


def equal(members: int, stems: int = 2) -> NDArray[np.float32]:
    return np.ones((members, stems), np.float32)


def run(engine: Combiner, waves: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    parts = [engine.push(waves[:, at : at + size]) for at in range(0, waves.shape[1], size)]
    return np.concatenate([*parts, engine.finish()])


@pytest.mark.parametrize(
    ("how", "expected"),
    [("mean", 0.0), ("median", 1.0), ("min", 1.0), ("max", -4.0)],
)
def test_samples_by_hand(how: Combination, expected: float) -> None:
    """Members with 3, 1 and -4: the mean is 0, and by magnitude 1 is smallest and -4 largest."""
    waves = np.repeat(np.array([3, 1, -4], np.float32), 5).reshape(3, 5, 1, 1)
    found = run(combiner(how, equal(3, 1), 1), waves, 2)
    np.testing.assert_array_equal(found, np.full((5, 1, 1), expected))


def test_weights_by_hand() -> None:
    """Weights 3 and 1 for the first stem; the second is of the second member alone."""
    waves = np.zeros((2, 1, 2, 1), np.float32)
    waves[:, 0, :, 0] = [[4, 10], [8, 20]]
    found = combiner("mean", np.array([[3, 0], [1, 2]], np.float32), 1).push(waves)
    assert found[0, :, 0].tolist() == [5, 20]


@pytest.mark.parametrize("how", ["median", "min", "max", "median-spectrum", "max-spectrum"])
def test_members_without_a_weight_do_not_take_part(how: Combination) -> None:
    """Property: a member with the weight 0 may be anything."""
    waves, weights = estimates(3, 5000), np.array([[1, 1], [0, 0], [1, 1]], np.float32)
    found = run(combiner(how, weights, 2), waves, 999)
    waves[1] = 1000
    np.testing.assert_array_equal(run(combiner(how, weights, 2), waves, 999), found)


@given(st.sampled_from(COMBINATIONS), st.integers(1, 6000), st.integers(1, 4000), st.integers(1, 3))
@settings(max_examples=40)
def test_equal_members_give_themselves(
    how: Combination, frames: int, size: int, members: int
) -> None:
    """Property: every combination of one signal with itself is that signal."""
    one = estimates(1, frames)
    found = run(combiner(how, equal(members), 2), np.repeat(one, members, axis=0), size)
    np.testing.assert_allclose(found, one[0], atol=3e-6)


@pytest.mark.parametrize("frames", [1, HOP, HOP + 1, N_FFT, 5000, 8192])
def test_the_mean_of_spectra_is_that_of_waves(frames: int) -> None:
    """Property: the STFT is linear."""
    waves = estimates(3, frames)
    found = run(combiner("mean-spectrum", equal(3), 2), waves, 700)
    np.testing.assert_allclose(found, waves.mean(axis=0), atol=3e-6)


@pytest.mark.parametrize("how", SPECTRAL)
def test_spectra_equal_those_of_scipy(how: Combination) -> None:
    """Reference: SciPy's STFT and its inverse over the whole signal, with silence around it."""
    from scipy.signal import istft, stft

    waves = estimates(3, 6000, stems=1)[:, :, 0, 0]
    arguments = {"window": "hann", "nperseg": N_FFT, "noverlap": N_FFT - HOP, "boundary": "zeros"}
    spectra = stft(waves, padded=True, **arguments)[2]
    name = how.removesuffix("-spectrum")
    if name == "mean":
        combined = spectra.mean(axis=0)
    elif name == "median":
        combined = np.median(spectra.real, axis=0) + 1j * np.median(spectra.imag, axis=0)
    else:
        order = np.argsort(np.abs(spectra), axis=0)
        index = order[0 if name == "min" else -1]
        combined = np.take_along_axis(spectra, index[None], axis=0)[0]
    del arguments["boundary"]
    expected = istft(combined, boundary=True, **arguments)[1][: waves.shape[1]]
    found = run(combiner(how, equal(3, 1), 1), waves[:, :, None, None], 1234)[:, 0, 0]
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("how", SPECTRAL)
def test_block_sizes_do_not_matter(how: Combination) -> None:
    """Property: bit for bit."""
    waves = estimates(2, 7001)
    expected = run(combiner(how, equal(2), 2), waves, 7001)
    for size in (1, 700, 2048, 5000):
        np.testing.assert_array_equal(run(combiner(how, equal(2), 2), waves, size), expected)
