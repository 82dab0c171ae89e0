from __future__ import annotations

from itertools import takewhile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stemcli.engine.chunks import CenteredPlan, hann, plan_chunks
from stemcli.engine.overlap_add import Block, OverlapAdd
from tests.stemcli.engine.stubs import MidSide, Positional, Scaling, Stub, network, noise, stream

plans = st.builds(
    plan_chunks, st.integers(1, 64), st.floats(0, 0.9), st.integers(1, 3), st.integers(0, 9)
)
songs = st.builds(noise, st.integers(1, 150), st.integers(1, 5))
sizes = st.integers(1, 120)


def whole_signal(song: Block, plan: CenteredPlan, stems: int) -> Block:
    """Reference: Positional over the padded song, chunk after chunk on one array."""
    pad = plan.length + plan.hop
    padded = np.pad(song, ((pad, pad), (0, 0)), mode="reflect").astype(np.float64)
    total = np.zeros((len(padded) + pad, stems, song.shape[1]))
    weight = np.zeros((len(padded) + pad, 1, 1))
    ramps = np.stack([np.linspace(k, 1 + k, plan.length) for k in range(stems)], axis=1)
    for start in takewhile(lambda start: plan.covers(start, len(song)), plan.starts()):
        chunk = slice(pad + start, pad + start + plan.length)
        shape = hann(plan.length)[:, None, None]
        total[chunk] += shape * ramps[:, :, None] * padded[chunk][:, None]
        weight[chunk] += shape
    song_slice = slice(pad, pad + len(song))
    return (total[song_slice] / weight[song_slice]).astype(np.float32)


@given(songs, plans, sizes, st.integers(1, 3))
def test_an_identity_network_returns_the_song(
    song: Block, plan: CenteredPlan, size: int, batch: int
) -> None:
    """Property: partition of unity, for any chunk plan, song, block size and batch size."""
    engine = OverlapAdd(network(Stub()), plan, song.shape[1], batch)
    out = stream(engine, song, size)
    assert out.shape == (len(song), 1, song.shape[1])
    np.testing.assert_allclose(out[:, 0], song, rtol=1e-6, atol=0)


@given(songs, plans, sizes, st.integers(1, 3))
def test_streaming_equals_the_whole_signal(
    song: Block, plan: CenteredPlan, size: int, batch: int
) -> None:
    engine = OverlapAdd(network(Positional(stems=("a", "b"))), plan, song.shape[1], batch)
    expected = whole_signal(song, plan, stems=2)
    np.testing.assert_allclose(stream(engine, song, size), expected, rtol=1e-5, atol=1e-6)


@given(songs, plans, sizes, sizes)
def test_block_size_does_not_matter(song: Block, plan: CenteredPlan, one: int, other: int) -> None:
    """Property: bit for bit."""

    def run(size: int) -> Block:
        return stream(OverlapAdd(network(Positional()), plan, song.shape[1], 2), song, size)

    np.testing.assert_array_equal(run(one), run(other))


@given(songs, plans)
def test_batch_size_does_not_matter(song: Block, plan: CenteredPlan) -> None:
    """Property: bit for bit, for a network that treats items independently."""

    def run(batch: int) -> Block:
        return stream(OverlapAdd(network(Positional()), plan, song.shape[1], batch), song)

    np.testing.assert_array_equal(run(1), run(5))


@given(songs, plans)
def test_a_stereo_network_keeps_mono_and_surround_channels(song: Block, plan: CenteredPlan) -> None:
    """Property: mid and side of each pair add up to its channels; nothing is downmixed."""
    engine = OverlapAdd(network(MidSide(stems=("mid", "side"), channels=2)), plan, song.shape[1])
    np.testing.assert_allclose(stream(engine, song).sum(axis=1), song, atol=1e-6)


@given(plans, st.integers(1, 4), st.integers(1, 5))
@settings(max_examples=15)
def test_memory_is_bounded_by_the_chunk(plan: CenteredPlan, batch: int, longer: int) -> None:
    """Property: at most two chunks of song, as much of sums per grid, and one batch are held."""
    size = 16
    engine = OverlapAdd(network(Scaling()), plan, 1, batch)
    song = noise(200 * longer, 1)
    bound = (3 + 2 * batch) * plan.length + (1 + batch) * plan.hop + size
    for start in range(0, len(song), size):
        engine.push(song[start : start + size])
        assert engine.buffered <= bound


def test_samples_leave_as_soon_as_they_are_final() -> None:
    """By hand: length 8, hop 4; after 6 samples the first chunk ends and the next begins at 2."""
    engine = OverlapAdd(network(Stub()), plan_chunks(8, 0.5), 1)
    song = noise(10, 1)
    assert len(engine.push(song[:5])) == 0
    assert len(engine.push(song[5:6])) == 2
    assert len(engine.push(song[6:])) == 4
    assert len(engine.finish()) == 4


def test_chunks_are_batched() -> None:
    """By hand: 10 hops of a mono song are 10 chunks, in batches of 4, 4 and 2."""
    separator = Stub()
    stream(OverlapAdd(network(separator), plan_chunks(8, 0.5), 1, batch=4), noise(40, 1))
    assert separator.batches == [4, 4, 2]


@pytest.mark.parametrize("frames", [1, 2, 7, 63, 64, 65])
def test_songs_shorter_than_a_chunk(frames: int) -> None:
    song = noise(frames, 2)
    out = stream(OverlapAdd(network(Stub()), plan_chunks(64, 0.5), 2), song)
    np.testing.assert_allclose(out[:, 0], song, rtol=1e-6)


def test_silence_stays_silent() -> None:
    out = stream(OverlapAdd(network(Scaling()), plan_chunks(64, 0.5), 2), np.zeros((200, 2), "f4"))
    assert out.shape == (200, 1, 2)
    assert not out.any()
