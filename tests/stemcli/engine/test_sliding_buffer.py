"""The sliding buffer, compared with the complete signal that passed through it."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stemcli.engine.overlap_add import SlidingBuffer
from tests.stemcli.engine.stubs import noise


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 25)), max_size=20))
def test_the_buffer_is_a_queue(steps: list[tuple[int, int]]) -> None:
    """Property: first in, first out, for any sizes."""
    song = noise(sum(size for size, _ in steps))
    buffer, taken, fed = SlidingBuffer(2), [np.zeros((0, 2), np.float32)], 0
    for size, count in steps:
        buffer.append(song[fed : fed + size])
        fed += size
        taken.append(buffer.take(count))
        assert buffer.end == fed
        assert len(taken[-1]) <= count
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
    buffer, total = SlidingBuffer(2), np.zeros((60, 2), np.float32)
    for number, position in enumerate(positions):
        block = noise(size, seed=number)
        buffer.add(position, block)
        visible = block[max(0, -position) :]
        total[max(0, position) : max(0, position) + len(visible)] += visible
    np.testing.assert_array_equal(buffer.take(60), total[: buffer.end])


def test_taken_blocks_are_not_changed_later() -> None:
    """Property: the buffer never writes to a block it has returned."""
    buffer = SlidingBuffer()
    buffer.add(0, np.ones(4, np.float32))
    first_block = buffer.take(2)
    buffer.add(2, np.ones(4, np.float32))
    np.testing.assert_array_equal(first_block, [1, 1])
    np.testing.assert_array_equal(buffer.take(9), [2, 2, 1, 1])
