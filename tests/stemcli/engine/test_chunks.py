from __future__ import annotations

from itertools import takewhile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_zoo.importers.family import chunk_overlap
from model_zoo.importers.settings import Settings
from stemcli.engine.chunks import CenteredPlan, hann, plan_chunks, reflect

lengths = st.integers(1, 80)
overlaps = st.floats(0, 0.97)
songs = st.integers(1, 300)


def plans() -> st.SearchStrategy[CenteredPlan]:
    return st.builds(plan_chunks, lengths, overlaps, st.integers(1, 4), st.integers(0, 9))


def chunk_starts(plan: CenteredPlan, song: int) -> list[int]:
    return list(takewhile(lambda start: plan.covers(start, song), plan.starts()))


def test_starts_by_hand() -> None:
    """By hand: length 8, overlap 0.5, so context 2; the cores at 0 and 4 cover 6 samples."""
    plan = plan_chunks(8, 0.5)
    assert (plan.hop, plan.context) == (4, 2)
    assert chunk_starts(plan, 6) == [-2, 2]
    assert chunk_starts(plan, 4) == [-2]


def test_a_second_grid_is_interleaved() -> None:
    """Offset 3 moves the cores of the second grid to -3, 1 and 5."""
    plan = CenteredPlan(length=8, hop=4, offsets=(0, 3))
    assert chunk_starts(plan, 6) == [-5, -2, -1, 2, 3]


@given(plans(), songs)
def test_cores_of_each_grid_tile_the_song(plan: CenteredPlan, song: int) -> None:
    """Property: every sample lies in exactly one core of each grid."""
    cores = np.zeros(song, int)
    for start in chunk_starts(plan, song):
        core = start + plan.context
        cores[max(0, core) : core + plan.hop] += 1
    assert (cores == len(plan.offsets)).all()


@given(plans(), songs)
def test_no_chunk_needs_samples_before_oldest(plan: CenteredPlan, song: int) -> None:
    """Property: a chunk and its reflections use no sample before ``oldest``."""
    for start in chunk_starts(plan, song):
        positions = reflect(np.arange(start, start + plan.length), song)
        assert positions.min() >= plan.oldest(start)


@given(plans(), songs, st.integers(0, 100))
def test_a_complete_chunk_does_not_depend_on_later_samples(
    plan: CenteredPlan, received: int, more: int
) -> None:
    """Property: a complete chunk is cut the same way when more of the song arrives."""
    for start in chunk_starts(plan, received):
        if plan.is_complete(start, received):
            positions = np.arange(start, start + plan.length)
            now, later = reflect(positions, received), reflect(positions, received + more)
            np.testing.assert_array_equal(now, later)


@given(st.integers(1, 60), st.integers(0, 200), st.integers(0, 200))
def test_reflection_equals_numpy(length: int, before: int, after: int) -> None:
    """Reference: numpy.pad, which reflects repeatedly too."""
    song = np.arange(length)
    expected = np.pad(song, (before, after), mode="reflect")
    np.testing.assert_array_equal(reflect(np.arange(-before, length + after), length), expected)


@given(st.integers(1, 400_000))
def test_window_is_positive_and_symmetric(length: int) -> None:
    """Property: every sample of a chunk has a positive weight, so no sum of weights is 0."""
    ends = hann(length)[[0, -1]] if length > 2000 else hann(length)
    assert (ends > 0).all()
    np.testing.assert_allclose(ends, ends[::-1], rtol=1e-4)


@given(st.integers(1, 200).map(lambda hop: 2 * hop))
def test_half_overlapping_windows_add_up_to_one(length: int) -> None:
    """Property of the Hann window: sin^2 + cos^2 = 1."""
    halves = hann(length).reshape(2, -1)
    np.testing.assert_allclose(halves.sum(axis=0), 1, rtol=1e-6)


def test_the_seed_decides_the_offsets() -> None:
    """Property: same seed, same grids; the first grid never moves."""
    one, again = plan_chunks(4000, 0.25, 5, seed=7), plan_chunks(4000, 0.25, 5, seed=7)
    assert one == again
    assert one != plan_chunks(4000, 0.25, 5, seed=8)
    assert one.offsets[0] == 0
    assert all(0 <= offset < one.hop for offset in one.offsets)


@pytest.mark.parametrize("chunks", range(1, 21))
def test_hops_are_those_of_msst(chunks: int) -> None:
    """Its ``demix`` steps by ``chunk_size // num_overlap``."""
    overlap = chunk_overlap(Settings({"inference.num_overlap": chunks}))
    assert overlap is not None
    for length in (352_800, 352_801, 131_584, 485_100, 261_120):
        assert plan_chunks(length, overlap, grid="msst").hop == length // chunks
