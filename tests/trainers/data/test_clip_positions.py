"""Slots. Truth: counting by hand, and laws of a permutation."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from trainers.data.clips import ClipPosition, ClipPositions

COUNTS = st.lists(st.integers(1, 5), min_size=1, max_size=6).map(tuple)


def test_counts_by_hand() -> None:
    """Of 0.9, 1, 2.9 and 3 clips' length: one slot at least, and no part of one."""
    assert ClipPositions.of((90, 100, 290, 300), 100, seed=1).counts == (1, 1, 2, 3)


@given(counts=COUNTS, epoch=st.integers(0, 3), seed=st.integers(0, 9))
def test_every_slot_once_per_epoch(counts: tuple[int, ...], epoch: int, seed: int) -> None:
    slots = ClipPositions(counts, seed)
    size = len(slots)
    found = [slots.at(index) for index in range(epoch * size, (epoch + 1) * size)]
    every = {
        ClipPosition(song, number, count)
        for song, count in enumerate(counts)
        for number in range(count)
    }
    assert len(found) == len(every)
    assert set(found) == every


def test_epochs_and_seeds_have_orders_of_their_own() -> None:
    slots, other = ClipPositions((20, 20), 1), ClipPositions((20, 20), 2)
    orders = [
        [one.at(index) for index in range(first, first + 40)]
        for one, first in ((slots, 0), (slots, 40), (other, 0))
    ]
    assert all(orders[i] != orders[j] for i, j in ((0, 1), (0, 2), (1, 2)))
    assert [slots.at(index) for index in range(40)] == orders[0]


@given(
    frames=st.integers(1, 500),
    length=st.integers(1, 120),
    count=st.integers(1, 5),
    seed=st.integers(0, 99),
)
def test_starts_lie_in_their_slot_and_the_song(
    frames: int, length: int, count: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    places = max(1, frames - length + 1)
    for number in range(count):
        start = ClipPosition(0, number, count).start(frames, length, rng)
        assert number * places // count <= start <= min(places - 1, (number + 1) * places / count)


def test_every_start_is_as_likely_as_any_other() -> None:
    """Ten places in three slots, 3000 epochs: each 900 times, within 5 standard deviations."""
    rng = np.random.default_rng(0)
    slots = [ClipPosition(0, number, 3) for number in range(3)]
    starts = [slot.start(19, 10, rng) for _ in range(3000) for slot in slots]
    counts = np.bincount(starts, minlength=10)
    assert len(counts) == 10
    assert np.abs(counts - 900).max() < 5 * np.sqrt(900)


def test_anywhere_draws_long_songs_more_often() -> None:
    """Of songs with 1 and 3 slots, a quarter and three quarters; others are never drawn."""
    rng = np.random.default_rng(0)
    slots = ClipPositions((1, 9, 3), 0)
    found = [slots.anywhere((0, 2), rng) for _ in range(4000)]
    shares = [sum(slot.song == song for slot in found) / 4000 for song in range(3)]
    assert np.abs(np.array(shares) - (0.25, 0, 0.75)).max() < 0.035
    assert {slot.number for slot in found if slot.song == 2} == {0, 1, 2}
    assert {slot.count for slot in found if slot.song == 2} == {3}
