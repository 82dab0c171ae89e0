"""Attention of the transformer over two sequences. Reference: ``torch.nn.MultiheadAttention``."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from model_zoo.blocks.cross_transformer import PackedAttention
from tests.model_zoo.blocks.weights import fill, pattern


@pytest.mark.parametrize("tokens", [5, 3])
def test_attention_is_that_of_torch(tokens: int) -> None:
    reference = fill(nn.MultiheadAttention(6, 2, batch_first=True))
    attention = PackedAttention(6, 2, dropout=0.0)
    attention.load_state_dict(reference.state_dict())
    x, other = pattern(2, 5, 6), pattern(2, tokens, 6, phase=1.0)
    expected, _ = reference(x, other, other)
    torch.testing.assert_close(attention(x, other), expected)


def test_initial_weights_are_those_of_torch() -> None:
    """Uniform in the same interval (Xavier and Kaiming), and biases of 0."""
    torch.manual_seed(0)
    reference = nn.MultiheadAttention(64, 2)
    attention = PackedAttention(64, 2, dropout=0.0)
    assert not attention.in_proj_bias.any()
    assert not attention.out_proj.bias.any()
    for name in ("in_proj_weight", "out_proj.weight"):
        ours, theirs = attention.get_parameter(name), reference.get_parameter(name)
        assert ours.abs().max().item() == pytest.approx(theirs.abs().max().item(), rel=0.01)


def test_dropout_takes_attention_weights_in_training_only() -> None:
    attention = fill(PackedAttention(6, 2, dropout=0.5))
    x = pattern(1, 5, 6)
    assert torch.equal(attention(x, x), attention(x, x))
    attention.train()
    assert not torch.equal(attention(x, x), attention(x, x))
