"""Parts of the RoFormers over bands. Reference: their definitions in plain torch, and hand-worked
numbers. The whole networks are compared with the originals in
tests/model_zoo/architectures/test_roformer_peers.py.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from model_zoo.blocks.attention import Rotary
from model_zoo.blocks.band_split import (
    AxialLayer,
    BandSplit,
    BandSplitNetwork,
    FeedForward,
    GatedAttention,
    GatedBlock,
    GatedTransformer,
    LengthNorm,
    MaskEstimator,
    mlp,
)
from tests.model_zoo.blocks.test_attention import rotated
from tests.model_zoo.blocks.weights import fill, pattern


def attention(bias: bool = False) -> GatedAttention:
    return fill(GatedAttention(6, 2, 4, Rotary(4, 3), dropout=0.0, bias=bias))


def test_length_norm_by_hand() -> None:
    """A vector of length 5 becomes one of length sqrt(2)."""
    norm = LengthNorm(2)
    with torch.no_grad():
        norm.gamma.copy_(torch.tensor([1.0, 10.0]))
    expected = 2**0.5 * torch.tensor([[0.6, 8.0]])
    torch.testing.assert_close(norm(torch.tensor([[3.0, 4.0]])), expected)


def test_length_norm_raises_quiet_vectors_as_far_as_loud_ones() -> None:
    """Property: only the direction counts, down to -200 dB."""
    norm, x = LengthNorm(8), pattern(3, 8)
    torch.testing.assert_close(norm(1e-10 * x), norm(x))
    assert not norm(torch.zeros(1, 8)).any()


@pytest.mark.parametrize("bias", [False, True])
def test_gated_attention_is_its_definition(bias: bool) -> None:
    """Each head separately: softmax of rotated products, times its gate (arXiv 2306.12929)."""
    layer, x = attention(bias), pattern(1, 5, 6)
    normed = layer.norm(x)[0]
    query, key, value = layer.to_qkv(normed).chunk(3, dim=-1)
    heads = []
    for head in range(2):
        q, k, v = (part[:, 4 * head : 4 * head + 4] for part in (query, key, value))
        weights = (rotated(q) @ rotated(k).T / 2).softmax(-1)  # the root of 4 features is 2
        gate = torch.sigmoid(layer.to_gates(normed)[:, head])
        heads.append(gate[:, None] * (weights @ v))
        torch.testing.assert_close(layer.weights(x)[0, head], weights)
    output = layer.to_out[0]
    assert (output.bias is not None) is bias
    expected = nn.functional.linear(torch.cat(heads, dim=-1), output.weight, output.bias)
    torch.testing.assert_close(layer(x)[0], expected)


def test_feed_forward_is_its_definition() -> None:
    layer, x = fill(FeedForward(4, dropout=0.0)), pattern(2, 3, 4)
    norm, first, *_, last, _ = layer.net
    hidden = norm(x) @ first.weight.T + first.bias
    expected = nn.functional.gelu(hidden) @ last.weight.T + last.bias
    torch.testing.assert_close(layer(x), expected)


def test_axial_layers_mix_frames_first_then_bands() -> None:
    """One sequence at a time."""
    along = [
        GatedTransformer([GatedBlock(attention(), fill(FeedForward(6, 0.0)))], fill(LengthNorm(6)))
        for _ in range(2)
    ]
    x = pattern(2, 3, 4, 6)
    expected = torch.empty_like(x)
    for item in range(2):
        for band in range(4):
            expected[item, :, band] = along[0](x[item, None, :, band])[0]
        for frame in range(3):
            expected[item, frame] = along[1](expected[item, frame, None])[0]
    with torch.no_grad():
        torch.testing.assert_close(AxialLayer(*along)(x), expected)


def test_bands_are_split_at_their_widths() -> None:
    split, x = fill(BandSplit([2, 3], 4)), pattern(1, 2, 5)
    tokens = split(x)
    assert tokens.shape == (1, 2, 2, 4)
    torch.testing.assert_close(tokens[:, :, 1], split.to_features[1](x[..., 2:]))


def test_tokens_are_as_precise_as_the_input_under_autocast() -> None:
    """All layers add to them; sums in bfloat16 cost the full-size BS-RoFormer 5 dB."""
    split = fill(BandSplit([2, 3], 4))
    with torch.autocast("cpu", torch.bfloat16):
        tokens = split(pattern(1, 2, 5))
        assert split.to_features[0](pattern(1, 2)).dtype == torch.bfloat16
    assert tokens.dtype == torch.float32


def test_mask_estimators_by_hand() -> None:
    """With one linear layer, the second half of its output gates the first."""
    estimator = MaskEstimator([1, 2], dim=1, hidden=9, layers=1)
    with torch.no_grad():
        for number, band in enumerate(estimator.to_freqs):
            band[0][0].weight.fill_(number + 1.0)
            band[0][0].bias.zero_()
    gated = [2 * number * torch.sigmoid(torch.tensor(2.0 * number)) for number in (1, 2, 2)]
    values = estimator(torch.full((1, 1, 2, 1), 2.0))
    torch.testing.assert_close(values, torch.stack(gated).reshape(1, 1, 3))


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_an_mlp_has_a_tanh_between_linear_layers(layers: int) -> None:
    network = fill(mlp([3, *[5] * (layers - 1), 2]))
    assert [type(part) for part in network] == [nn.Linear, *[nn.Tanh, nn.Linear] * (layers - 1)]
    x: Tensor = network[0](pattern(4, 3))
    for number in range(2, 2 * layers, 2):
        x = network[number](x.tanh())
    torch.testing.assert_close(network(pattern(4, 3)), x)


@pytest.mark.parametrize(("skip", "factor"), [(False, 1), (True, 5)])
def test_skip_connections_by_hand(skip: bool, factor: int) -> None:
    """Three layers that change nothing: x, then x + x, then 2 x + (x + 2 x)."""
    same = nn.Identity()
    network = BandSplitNetwork(same, nn.ModuleList([same] * 3), same, nn.ModuleList([same]), skip)
    x = pattern(1, 2, 3)
    torch.testing.assert_close(network(x)[:, 0], factor * x)
