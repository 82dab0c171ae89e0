"""A buffer against the whole signal that passed over it."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stemcli.engine.overlap_add import SlidingBuffer
from tests.stemcli.engine.stubs import noise


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 25)), max_size=20))
def test_a_queue_gives_what_it_was_given(steps: list[tuple[int, int]]) -> None:
    """Law: first in, first out, whatever the sizes."""
    song = noise(sum(size for size, _ in steps))
    buffer, taken, fed = SlidingBuffer(2), [np.zeros((0, 2), np.float32)], 0
    for size, wanted in steps:
        buffer.append(song[fed : fed + size])
        fed += size
        taken.append(buffer.take(wanted))
        assert buffer.end == fed
        assert len(taken[-1]) <= wanted
    np.testing.assert_array_equal(np.concatenate([*taken, buffer.take(len(song))]), song)


def test_positions_stay_absolute() -> None:
    """By hand: after dropping ten frames, frame 12 is still frame 12."""
    song, buffer = noise(30), SlidingBuffer(2)
    buffer.append(song)
    buffer.drop_before(10)
    assert (buffer.start, buffer.end, len(buffer)) == (10, 30, 20)
    np.testing.assert_array_equal(buffer.at(np.array([12, 29])), song[[12, 29]])


@given(st.lists(st.integers(-8, 30), min_size=1), st.integers(0, 12))
def test_added_blocks_are_mixed(positions: list[int], size: int) -> None:
    """Reference: the same sums on an array that is long enough from the start."""
    buffer, whole = SlidingBuffer(2), np.zeros((60, 2), np.float32)
    for number, position in enumerate(positions):
        block = noise(size, seed=number)
        buffer.add(position, block)
        visible = block[max(0, -position) :]
        whole[max(0, position) : max(0, position) + len(visible)] += visible
    np.testing.assert_array_equal(buffer.take(60), whole[: buffer.end])


def test_what_was_taken_is_not_changed_later() -> None:
    """Law: a block that left the buffer is never written to again."""
    buffer = SlidingBuffer()
    buffer.add(0, np.ones(4, np.float32))
    taken = buffer.take(2)
    buffer.add(2, np.ones(4, np.float32))
    np.testing.assert_array_equal(taken, [1, 1])
    np.testing.assert_array_equal(buffer.take(9), [2, 2, 1, 1])
