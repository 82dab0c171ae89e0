"""Multichannel layers. Reference: the same sums as loops over plain linear layers.

Other values are worked by hand, or follow from properties of rotations and normalized vectors.
"""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from model_zoo.blocks.frame_attention import (
    FrameNorm,
    LearnedRotary,
    MultichannelLinear,
    MultichannelMultiheadAttention,
    SquaredReLU,
)
from model_zoo.errors import ConfigError
from tests.model_zoo.blocks.weights import fill, pattern

CHANNELS, HEADS, BINS = 2, 2, 16
DIM = BINS // HEADS


def attention() -> MultichannelMultiheadAttention:
    layer = fill(MultichannelMultiheadAttention(CHANNELS, HEADS, BINS))
    with torch.no_grad():
        layer.rotary_embedding.freqs.copy_(torch.tensor([1.0, 0.1]))
    return layer


def with_unit_norms(layer: MultichannelMultiheadAttention) -> MultichannelMultiheadAttention:
    for norm in (layer.q_norm, layer.k_norm):
        norm.reset_parameters()
    return layer


@pytest.mark.parametrize(("out_channels", "out_bins"), [(3, 5), (2, 5), (3, 4), (2, 4)])
def test_multichannel_linear_is_a_linear_per_channel_and_a_mix(
    out_channels: int, out_bins: int
) -> None:
    layer, x = fill(MultichannelLinear(2, out_channels, 4, out_bins)), pattern(2, 2, 4, 7)
    assert layer.weight_pw is not None
    assert layer.weight_dw is not None
    for item in range(2):
        each = [F.linear(x[item, c].T, layer.weight_pw[c]).T for c in range(2)]
        for out in range(out_channels):
            mixed = sum(layer.weight_dw[out, c] * each[c] for c in range(2))
            torch.testing.assert_close(layer(x)[item, out], mixed)


@pytest.mark.parametrize(
    ("sizes", "switches", "names"),
    [
        ((2, 2, 4, 4), (True, True), ["weight_pw", "weight_dw"]),
        ((2, 2, 4, 4), (True, False), ["weight_pw"]),
        ((2, 2, 4, 4), (False, True), ["weight_dw"]),
        ((2, 3, 4, 4), (True, False), ["weight_pw", "weight_dw"]),
        ((2, 2, 4, 6), (False, True), ["weight_pw", "weight_dw"]),
        ((2, 2, 4, 4), (False, False), []),
    ],
)
def test_weights_exist_where_requested_or_needed_for_the_size(
    sizes: tuple[int, ...], switches: tuple[bool, ...], names: list[str]
) -> None:
    assert [name for name, _ in MultichannelLinear(*sizes, *switches).named_parameters()] == names


def test_without_weights_it_is_the_identity() -> None:
    x = pattern(1, 2, 4, 3)
    layer = MultichannelLinear(2, 2, 4, 4, positionwise=False, depthwise=False)
    assert torch.equal(layer(x), x)


def test_weights_start_within_their_bounds() -> None:
    layer = MultichannelLinear(9, 3, 100, 50)
    assert layer.weight_pw is not None
    assert layer.weight_dw is not None
    assert 0.099 < layer.weight_pw.abs().max() <= 0.1  # 1 / sqrt(100)
    assert 0.2 < layer.weight_dw.abs().max() <= 1 / 3  # 1 / sqrt(9)


def test_frame_norm_by_hand() -> None:
    # The frame (1, 3) has mean 2 and variance 1, the frame (0, 8) mean 4 and variance 16.
    norm = FrameNorm(2)
    with torch.no_grad():
        norm.norm.weight.copy_(torch.tensor([2.0, 3.0]))
        norm.norm.bias.copy_(torch.tensor([0.5, 0.0]))
    x = torch.tensor([[1.0, 0.0], [3.0, 8.0]])  # rows are bins, columns are frames
    expected = torch.tensor([[-1.5, -1.5], [3.0, 3.0]])
    planes = torch.stack([x, 5 * x])[None]
    torch.testing.assert_close(norm(planes), expected.expand(1, 2, 2, 2), atol=1e-4, rtol=0)


def test_squared_relu_by_hand() -> None:
    x = torch.tensor([-2.0, 0.0, 0.5, 3.0])
    assert SquaredReLU()(x).tolist() == [0.0, 0.0, 0.25, 9.0]


def rotated(x: Tensor, rates: Tensor) -> Tensor:
    """Pairs as complex numbers, rotated by position times rate (arXiv 2104.09864, eq. 34)."""
    turns = torch.polar(torch.ones(1), torch.arange(x.shape[-2])[:, None] * rates)
    count = 2 * len(rates)
    pairs = torch.view_as_complex(x[..., :count].unflatten(-1, (-1, 2)).contiguous())
    return torch.cat([torch.view_as_real(pairs * turns).flatten(-2), x[..., count:]], dim=-1)


@pytest.mark.parametrize(("dim", "rotated_dims"), [(8, 8), (5, 4), (2, 2), (1, 0), (0, 0)])
def test_learned_rotary_rotates_complete_pairs(dim: int, rotated_dims: int) -> None:
    rotary, x = LearnedRotary(dim), pattern(1, 2, 30, 9)
    rates = 10000.0 ** (-torch.arange(0, rotated_dims, 2) / max(dim, 1))
    torch.testing.assert_close(rotary.freqs.detach(), rates)
    torch.testing.assert_close(rotary(x), rotated(x, rates))
    assert torch.equal(rotary(x)[..., rotated_dims:], x[..., rotated_dims:])


@given(shift=st.integers(1, 40), first=st.floats(-2, 2), second=st.floats(-2, 2))
def test_a_shifted_sequence_has_the_same_scores(shift: int, first: float, second: float) -> None:
    rotary = LearnedRotary(4)
    with torch.no_grad():
        rotary.freqs.copy_(torch.tensor([first, second]))
    query, key = pattern(1, 1, 12, 6), pattern(1, 1, 12, 6, phase=1.0)
    shifted_query, shifted_key = (F.pad(x, (0, 0, shift, 0)) for x in (query, key))
    scores = rotary(query) @ rotary(key).transpose(-1, -2)
    shifted_scores = rotary(shifted_query) @ rotary(shifted_key).transpose(-1, -2)
    torch.testing.assert_close(shifted_scores[..., shift:, shift:], scores, atol=1e-4, rtol=1e-4)


@given(exponent=st.floats(-2, 6))
def test_normalized_queries_and_keys_bound_the_scores(exponent: float) -> None:
    """The squares of d numbers with mean 0 and variance 1 add up to d; Cauchy-Schwarz."""
    layer, x = with_unit_norms(attention()), pattern(1, CHANNELS, BINS, 9) * 10**exponent
    query, key, _ = layer._heads(x, None)
    assert (query @ key.transpose(-1, -2)).abs().max() <= DIM * (1 + 1e-5)
    bound = DIM / math.sqrt(BINS)
    shares = 9 * layer.weights(x)
    assert math.exp(-2 * bound) * (1 - 1e-5) <= shares.min()
    assert shares.max() <= math.exp(2 * bound) * (1 + 1e-5)


def test_a_key_equal_to_the_query_reaches_the_bound() -> None:
    layer = with_unit_norms(attention())
    layer.k_proj.load_state_dict(layer.q_proj.state_dict())
    query, key, _ = layer._heads(100 * pattern(1, CHANNELS, BINS, 9), None)
    torch.testing.assert_close((query * key).sum(-1), torch.full((1, 4, 9), float(DIM)))


def projected(layer: torch.nn.Module, plane: Tensor, channel: int) -> Tensor:
    """One channel through its matrix and its filter, as a loop."""
    linear, conv = layer[0], layer[1]
    bins = linear.weight_pw[channel] @ plane
    frames = plane.shape[-1]
    padded = F.pad(bins, (4, 4))
    taps = conv.weight[channel, 0, 0]
    return sum(taps[k] * padded[:, k : k + frames] for k in range(9))


def attended(layer: MultichannelMultiheadAttention, x: Tensor, memory: Tensor) -> Tensor:
    """Attention by its definition, one channel, head and frame at a time."""
    channels = []
    for c in range(CHANNELS):
        query = projected(layer.q_proj, x[0, c], c)
        key, value = (projected(p, memory[0, c], c) for p in (layer.k_proj, layer.v_proj))
        heads = []
        for h in range(HEADS):
            part = slice(h * DIM, (h + 1) * DIM)
            q, k = (rotated(p[part].T, layer.rotary_embedding.freqs) for p in (query, key))
            q, k = layer.q_norm(q), layer.k_norm(k)
            rows = [torch.softmax(k @ row / math.sqrt(BINS), 0) @ value[part].T for row in q]
            heads.append(torch.stack(rows).T)
        channels.append(layer.out_proj.weight_pw[c] @ torch.cat(heads))
    return torch.stack(channels)[None]


@pytest.mark.parametrize("other_frames", [None, 11, 4])
def test_attention_matches_its_definition(other_frames: int | None) -> None:
    layer, x = attention(), pattern(1, CHANNELS, BINS, 7)
    memory = None if other_frames is None else pattern(1, CHANNELS, BINS, other_frames, phase=2.0)
    expected = attended(layer, x, x if memory is None else memory)
    torch.testing.assert_close(layer(x, memory), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("other_frames", [None, 11])
def test_forward_uses_the_reported_weights(other_frames: int | None) -> None:
    layer, x = attention(), pattern(2, CHANNELS, BINS, 7)
    memory = None if other_frames is None else pattern(2, CHANNELS, BINS, other_frames, phase=2.0)
    weights = layer.weights(x, memory)
    heads = CHANNELS * HEADS
    assert weights.shape == (2, heads, 7, other_frames or 7)
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, heads, 7))
    values = layer.v_proj(x if memory is None else memory).unflatten(2, (HEADS, DIM)).flatten(1, 2)
    mixed = torch.einsum("bhqk,bhdk->bhdq", weights, values).reshape(x.shape)
    torch.testing.assert_close(layer.out_proj(mixed), layer(x, memory), atol=1e-5, rtol=1e-4)


def test_channels_do_not_attend_to_each_other() -> None:
    layer, x = attention(), pattern(1, CHANNELS, BINS, 7)
    other = x.clone()
    other[:, 1] *= -3
    assert torch.equal(layer(x)[:, 0], layer(other)[:, 0])
    assert not torch.equal(layer(x)[:, 1], layer(other)[:, 1])


def test_attention_is_computed_in_single_precision() -> None:
    layer, x = attention(), pattern(1, CHANNELS, BINS, 7)
    with torch.autocast("cpu", torch.bfloat16):
        assert layer.weights(x).dtype == torch.float32
        half = layer(x)
    torch.testing.assert_close(half.float(), layer(x), atol=0.05, rtol=0.05)


def test_features_must_divide_evenly_among_heads() -> None:
    with pytest.raises(ConfigError, match="features=10 must be a multiple of num_heads=4"):
        MultichannelMultiheadAttention(2, 4, 10)
