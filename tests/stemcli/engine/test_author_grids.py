"""Chunk plans of other programs, by hand and against these programs.

References: ``apply_model`` of demucs 4.1.0 and ``demix`` of msst 0.1.0, with networks whose output
depends on position and context, on songs of every length relative to a chunk.
"""

from __future__ import annotations

from itertools import takewhile
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from model_zoo.grids import Grid
from stemcli.engine.chunks import SILENT, DemucsPlan, MSSTPlan, plan_chunks
from stemcli.engine.overlap_add import Block, OverlapAdd
from tests.stemcli.engine.stubs import Stub, network, noise, stream

LENGTH = 40
STEMS = ("a", "b")
FRAMES = (1, 7, 20, 21, 39, 40, 41, 59, 60, 61, 79, 80, 81, 120, 121, 137, 160, 300, 301)


class Mixing(Stub):
    """Samples times a ramp, and the mixture backwards: position and context both matter."""

    def estimate(self, mixture: Tensor, stem: int) -> Tensor:
        ramp = torch.linspace(0.5, 1.5, mixture.shape[-1])
        return mixture * ramp if stem == 0 else mixture.flip(-1) + mixture.roll(1, dims=1)


class Foreign(nn.Module):
    """The same network with the attributes that demucs expects."""

    sources, samplerate, segment = STEMS, LENGTH, 1.0

    def __init__(self, fixed: bool) -> None:
        super().__init__()
        self.separator = Mixing(stems=STEMS, channels=2)
        self.device = nn.Parameter(torch.zeros(1))
        if fixed:
            self.valid_length = lambda length: LENGTH

    def forward(self, mixture: Tensor) -> Tensor:
        return self.separator(mixture)


def ours(song: Block, grid: Grid, overlap: float, size: int = 17) -> Block:
    plan = plan_chunks(LENGTH, overlap, grid=grid)
    separator = Mixing(stems=STEMS, channels=2)
    return stream(OverlapAdd(network(separator), plan, 2), song, size)


def as_tensor(song: Block) -> Tensor:
    return torch.from_numpy(song.T.copy())


@pytest.mark.peers
@pytest.mark.parametrize("overlap", [0.0, 0.1, 0.25, 0.5, 0.75])
@pytest.mark.parametrize("grid", ["htdemucs", "hdemucs"])
def test_chunks_equal_those_of_demucs(grid: Grid, overlap: float) -> None:
    from demucs.apply import apply_model

    for frames in FRAMES:
        song = noise(frames, 2, seed=frames)
        foreign = Foreign(fixed=grid == "htdemucs")
        theirs = apply_model(foreign, as_tensor(song)[None], shifts=0, overlap=overlap)[0]
        expected = theirs.permute(2, 0, 1).numpy()
        np.testing.assert_allclose(
            ours(song, grid, overlap), expected, atol=2e-6, err_msg=str(frames)
        )


@pytest.mark.peers
@pytest.mark.parametrize("parts", [1, 2, 4])
def test_chunks_equal_those_of_msst(parts: int) -> None:
    from msst.utils.model_utils import demix

    class Dictionary(dict[str, Any]):
        __getattr__ = dict.__getitem__

    inference = Dictionary(chunk_size=LENGTH, num_overlap=parts, batch_size=1)
    training = SimpleNamespace(instruments=[*STEMS], use_amp=False)
    config = SimpleNamespace(inference=inference, training=training)
    for frames in FRAMES:
        song = noise(frames, 2, seed=frames)
        separator = Mixing(stems=STEMS, channels=2)
        theirs = demix(config, separator, as_tensor(song).numpy(), torch.device("cpu"), "scnet")
        expected = np.stack([theirs[stem].T for stem in STEMS], axis=1)
        found = ours(song, "msst", 1 - 1 / parts)
        np.testing.assert_allclose(found, expected, atol=2e-6, err_msg=str(frames))


def test_a_short_chunk_of_htdemucs_by_hand() -> None:
    """Length 8, hop 6, 15 samples: the chunk at 12 has 3, and 2 before and 3 after fill it up."""
    plan = plan_chunks(8, 0.25, grid="htdemucs")
    assert isinstance(plan, DemucsPlan)
    assert list(takewhile(lambda start: plan.covers(start, 15), plan.starts())) == [0, 6, 12]
    chunk = plan.cut(12, 15)
    assert chunk.first == 10
    assert chunk.sources.tolist() == [10, 11, 12, 13, 14, SILENT, SILENT, SILENT]
    np.testing.assert_allclose(chunk.weights, [0, 0, 0.25, 0.5, 0.75, 0, 0, 0])


def test_the_last_chunks_of_msst_by_hand() -> None:
    """Length 8, hop 4, border 4, 10 samples: 5 chunks, the last with half of its samples.

    The reflected song is 4 3 2 1 | 0 ... 9 | 8 7 6 5, so that of 18 samples the last chunk has the
    two from position 12, and 6 of silence.
    """
    unknown = plan_chunks(8, 0.5, grid="msst")
    assert unknown.resolve(8, ended=False) is None
    plan = unknown.resolve(9, ended=False)
    assert isinstance(plan, MSSTPlan)
    starts = list(takewhile(lambda start: plan.covers(start, 10), plan.starts()))
    assert starts == [-4, 0, 4, 8, 12]
    assert plan.cut(-4, 10).sources.tolist() == [4, 3, 2, 1, 0, 1, 2, 3]
    assert plan.cut(12, 10).sources.tolist() == [6, 5, *[SILENT] * 6]
    assert plan.cut(8, 10).sources.tolist() == [8, 9, 8, 7, 6, 5, 6, 7]


@pytest.mark.parametrize("grid", ["htdemucs", "hdemucs", "msst"])
@pytest.mark.parametrize("frames", FRAMES)
def test_block_sizes_do_not_matter(grid: Grid, frames: int) -> None:
    """Property: bit for bit, also with several shifted grids and in batches."""
    song = noise(frames, 2)
    plan = plan_chunks(LENGTH, 0.5, 2, seed=3, grid=grid)

    def run(size: int, batch: int) -> Block:
        separator = Mixing(stems=STEMS, channels=2)
        return stream(OverlapAdd(network(separator), plan, 2, batch), song, size)

    expected = run(1000, 1)
    assert expected.shape == (frames, 2, 2)
    for size, batch in ((1, 1), (13, 3), (64, 4)):
        np.testing.assert_array_equal(run(size, batch), expected)


@pytest.mark.parametrize("grid", ["htdemucs", "hdemucs", "msst"])
def test_memory_does_not_grow_with_the_song(grid: Grid) -> None:
    """Property: at most four chunks of song, sums and waiting chunks are held."""
    engine = OverlapAdd(network(Stub()), plan_chunks(LENGTH, 0.5, grid=grid), 1)
    for _ in range(100):
        engine.push(noise(10, 1))
        assert engine.buffered <= 5 * LENGTH
