"""Positions of clips in songs: counts by hand, and every position once per epoch."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from trainers.data.clips import ClipPosition, ClipPositions

COUNTS = st.lists(st.integers(1, 5), min_size=1, max_size=6).map(tuple)


def test_counts_by_hand() -> None:
    """Songs of 0.9, 1, 2.9 and 3 clips have at least one position, and no fractions."""
    assert ClipPositions.of((90, 100, 290, 300), 100, seed=1).counts == (1, 1, 2, 3)


@given(counts=COUNTS, epoch=st.integers(0, 3), seed=st.integers(0, 9))
def test_every_position_occurs_once_per_epoch(
    counts: tuple[int, ...], epoch: int, seed: int
) -> None:
    positions = ClipPositions(counts, seed)
    size = len(positions)
    found = [positions.at(index) for index in range(epoch * size, (epoch + 1) * size)]
    expected = {
        ClipPosition(song, number, count)
        for song, count in enumerate(counts)
        for number in range(count)
    }
    assert len(found) == len(expected)
    assert set(found) == expected


def test_epochs_and_seeds_have_different_orders() -> None:
    positions, other = ClipPositions((20, 20), 1), ClipPositions((20, 20), 2)
    orders = [
        [one.at(index) for index in range(first, first + 40)]
        for one, first in ((positions, 0), (positions, 40), (other, 0))
    ]
    assert all(orders[i] != orders[j] for i, j in ((0, 1), (0, 2), (1, 2)))
    assert [positions.at(index) for index in range(40)] == orders[0]


@given(
    frames=st.integers(1, 500),
    length=st.integers(1, 120),
    count=st.integers(1, 5),
    seed=st.integers(0, 99),
)
def test_starts_are_in_their_position_and_in_the_song(
    frames: int, length: int, count: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    starts = max(1, frames - length + 1)
    for number in range(count):
        start = ClipPosition(0, number, count).start(frames, length, rng)
        assert number * starts // count <= start <= min(starts - 1, (number + 1) * starts / count)


def test_starts_are_uniform() -> None:
    """Ten starts in three positions, 3000 epochs: each 900 times, within 5 standard deviations."""
    rng = np.random.default_rng(0)
    positions = [ClipPosition(0, number, 3) for number in range(3)]
    starts = [position.start(19, 10, rng) for _ in range(3000) for position in positions]
    counts = np.bincount(starts, minlength=10)
    assert len(counts) == 10
    assert np.abs(counts - 900).max() < 5 * np.sqrt(900)


def test_anywhere_weights_songs_by_their_length() -> None:
    """Songs with 1 and 3 positions get a quarter and three quarters; others are never drawn."""
    rng = np.random.default_rng(0)
    positions = ClipPositions((1, 9, 3), 0)
    found = [positions.anywhere((0, 2), rng) for _ in range(4000)]
    shares = [sum(position.song == song for position in found) / 4000 for song in range(3)]
    assert np.abs(np.array(shares) - (0.25, 0, 0.75)).max() < 0.035
    assert {position.number for position in found if position.song == 2} == {0, 1, 2}
    assert {position.count for position in found if position.song == 2} == {3}
