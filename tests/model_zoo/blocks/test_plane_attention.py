"""Attention over planes. Reference: attention over all bins under a mask of their positions."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from model_zoo.blocks import plane_attention
from model_zoo.blocks.attention import Attention
from model_zoo.blocks.plane_attention import (
    FrequencySequenceAttention,
    PlaneAttention,
    ShiftedWindowAttention,
    TemporalSequenceAttention,
    padded,
)
from tests.model_zoo.blocks.weights import fill, pattern

WIDTH, HEADS = 8, 2
SIZES = [(8, 12), (9, 7), (4, 10), (3, 2), (13, 12)]
GRIDS = [((4, 4), (0, 0)), ((4, 4), (2, 2)), ((5, 4), (2, 2)), ((4, 3), (1, 0)), ((2, 5), (1, 4))]


def window_number(side: int, window: int, shift: int) -> Tensor:
    """The window number of each position; an axis of a single window is not shifted."""
    shift = shift if side > window else 0
    return (torch.arange(side) - shift).div(window, rounding_mode="floor")


def same_window(size: tuple[int, int], grid: tuple[tuple[int, int], tuple[int, int]]) -> Tensor:
    """Whether two bins lie in the same window of a shifted grid without wrap-around."""
    rows, columns = (window_number(*axis) for axis in zip(size, *grid, strict=True))
    positions = torch.cartesian_prod(rows, columns).reshape(-1, 2)
    return (positions[:, None] == positions[None]).all(-1)


def over_all_bins(layer: PlaneAttention, x: Tensor, visible: Tensor) -> Tensor:
    """The layer's definition over one sequence of all bins, masked by ``visible``."""
    tokens = x.flatten(2).mT
    query, key, value = (
        part.unflatten(-1, (HEADS, -1)).transpose(1, 2)
        for part in layer.att.c_attn(layer.att_norm(tokens)).chunk(3, dim=-1)
    )
    scores = (query @ key.mT / (WIDTH / HEADS) ** 0.5).masked_fill(~visible, -torch.inf)
    mixed = (scores.softmax(-1) @ value).transpose(1, 2).flatten(2)
    tokens = tokens + mixed @ layer.att.c_proj.weight.T + layer.att.c_proj.bias
    tokens = tokens + layer.mlp(layer.ffn_norm(tokens))
    return tokens.mT.unflatten(-1, x.shape[2:])


@pytest.mark.parametrize("grid", GRIDS, ids=str)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_shifted_windows_are_full_attention_under_a_mask(
    size: tuple[int, int], grid: tuple[tuple[int, int], tuple[int, int]]
) -> None:
    layer, x = fill(ShiftedWindowAttention(WIDTH, HEADS, *grid)), pattern(2, WIDTH, *size)
    torch.testing.assert_close(layer(x), over_all_bins(layer, x, same_window(size, grid)))


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_padding_has_no_effect(
    grid: tuple[tuple[int, int], tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    layer, x = fill(ShiftedWindowAttention(WIDTH, HEADS, *grid)), pattern(1, WIDTH, 9, 7)
    expected = layer(x)

    def padded_with_noise(plane: Tensor, window: tuple[int, int]) -> Tensor:
        padded_plane = 5 * pattern(*padded(plane, window).shape)
        padded_plane[:, :, : plane.shape[2], : plane.shape[3]] = plane
        return padded_plane

    monkeypatch.setattr(plane_attention, "padded", padded_with_noise)
    assert layer.sequences(x).abs().max() > 4
    torch.testing.assert_close(layer(x), expected)


@given(
    frames=st.integers(1, 13),
    bins=st.integers(1, 13),
    window=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    data=st.data(),
)
def test_splitting_and_joining_are_inverse(
    frames: int, bins: int, window: tuple[int, int], data: st.DataObject
) -> None:
    shift = tuple(data.draw(st.integers(0, side - 1)) for side in window)
    x = pattern(2, 4, frames, bins)
    for layer in (
        ShiftedWindowAttention(4, 1, window, (shift[0], shift[1])),
        TemporalSequenceAttention(4, 1),
        FrequencySequenceAttention(4, 1),
    ):
        assert torch.equal(layer.plane(layer.sequences(x), x), x)


def changed_by(layer: PlaneAttention, frame: int, freq: int) -> Tensor:
    """The bins whose output changes when one bin of the input changes."""
    x = pattern(1, WIDTH, 6, 5)
    other = x.clone()
    other[:, :, frame, freq] += pattern(WIDTH, phase=3)
    return (layer(other) - layer(x)).abs().amax((0, 1)) > 1e-6


@pytest.mark.parametrize(("frame", "freq"), [(0, 0), (3, 2), (5, 4)])
def test_temporal_attention_mixes_along_time_only(frame: int, freq: int) -> None:
    expected = torch.zeros(6, 5, dtype=torch.bool)
    expected[:, freq] = True
    layer = fill(TemporalSequenceAttention(WIDTH, HEADS))
    assert torch.equal(changed_by(layer, frame, freq), expected)


@pytest.mark.parametrize(("frame", "freq"), [(0, 0), (3, 2), (5, 4)])
def test_frequency_attention_mixes_along_frequency_only(frame: int, freq: int) -> None:
    expected = torch.zeros(6, 5, dtype=torch.bool)
    expected[frame] = True
    layer = fill(FrequencySequenceAttention(WIDTH, HEADS))
    assert torch.equal(changed_by(layer, frame, freq), expected)


@pytest.mark.parametrize("kind", [TemporalSequenceAttention, FrequencySequenceAttention])
def test_an_axis_is_full_attention_under_a_mask(kind: type[PlaneAttention]) -> None:
    layer, x = fill(kind(WIDTH, HEADS)), pattern(2, WIDTH, 6, 5)
    frames, bins = torch.cartesian_prod(torch.arange(6), torch.arange(5)).unbind(-1)
    axis_index = bins if kind is TemporalSequenceAttention else frames
    torch.testing.assert_close(
        layer(x), over_all_bins(layer, x, axis_index[:, None] == axis_index[None])
    )


def layers() -> list[PlaneAttention]:
    window = ShiftedWindowAttention(WIDTH, HEADS, (4, 3), (2, 1))
    axes = [TemporalSequenceAttention(WIDTH, HEADS), FrequencySequenceAttention(WIDTH, HEADS)]
    return [fill(layer) for layer in [window, *axes]]


def test_forward_uses_the_reported_weights() -> None:
    x = pattern(2, WIDTH, 7, 5)
    for layer in layers():
        assert isinstance(layer.att, Attention)
        tokens, weights = layer.att_norm(layer.sequences(x)), layer.weights(x)
        torch.testing.assert_close(weights.sum(-1), torch.ones(weights.shape[:-1]))
        values = layer.att.c_attn(tokens)[..., 2 * WIDTH :].unflatten(-1, (HEADS, -1))
        mixed = (weights @ values.transpose(1, 2)).transpose(1, 2).flatten(2)
        expected = layer.att(tokens, layer.regions(x))
        torch.testing.assert_close(layer.att.c_proj(mixed), expected)


@pytest.mark.parametrize("limit", [1, 300, 2**28])
def test_computing_in_parts_gives_the_same(limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """No part has more weights than the limit, except a single sequence."""
    x = pattern(3, WIDTH, 7, 5)
    reference = [layer(x) for layer in layers()]
    monkeypatch.setattr(plane_attention, "MOST_WEIGHTS", limit)
    for layer, expected in zip(layers(), reference, strict=True):
        shapes: list[torch.Size] = []
        layer.att.register_forward_hook(lambda _, inputs, __, to=shapes: to.append(inputs[0].shape))
        torch.testing.assert_close(layer(x), expected)
        assert all(HEADS * len_ * tokens**2 <= limit or len_ == 1 for len_, tokens, _ in shapes)
        assert sum(shape[0] for shape in shapes) == len(layer.sequences(x))
