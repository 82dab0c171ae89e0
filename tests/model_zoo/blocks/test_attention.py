"""Transformer blocks. Reference: attention written with loops and complex numbers.

Properties: products after rotation depend only on distances, and rotation keeps lengths.
"""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from model_zoo.blocks.attention import (
    AttentionRegisterRoFormerBlock,
    RMSNorm,
    RoFormerBlock,
    Rotary,
    SelfAttention,
)
from tests.model_zoo.blocks.weights import fill, pattern

HEADS, WIDTH = 2, 8


def rotated(x: Tensor, base: float = 10000.0) -> Tensor:
    """Pairs as complex numbers, rotated by position times rate (arXiv 2104.09864, eq. 34)."""
    tokens, dim = x.shape[-2:]
    rates = base ** (-2 * torch.arange(dim // 2, dtype=torch.float64) / dim)
    turns = torch.polar(torch.ones(1).double(), torch.arange(tokens)[:, None] * rates)
    pairs = torch.view_as_complex(x.double().reshape(*x.shape[:-1], -1, 2))
    return torch.view_as_real(pairs * turns).flatten(-2).float()


def attended(block: SelfAttention, x: Tensor, visible: Tensor, registers: int = 0) -> Tensor:
    """Attention by its definition, one head and one token at a time."""
    query, key, value = (part[0] for part in block.c_attn(x).chunk(3, dim=-1))
    heads, dim = [], WIDTH // HEADS
    for head in range(HEADS):
        q, k, v = (part[:, head * dim : (head + 1) * dim] for part in (query, key, value))
        q, k = (torch.cat([p[:registers], rotated(p[registers:])]) for p in (q, k))
        rows = []
        for token in range(len(x[0])):
            scores = (k @ q[token] / math.sqrt(dim)).masked_fill(~visible[token], -math.inf)
            rows.append(torch.softmax(scores, 0) @ v)
        heads.append(torch.stack(rows))
    return block.c_proj(torch.cat(heads, dim=-1))[None]


def block_by_definition(block: RoFormerBlock, x: Tensor, visible: Tensor, registers: int = 0):
    x = x + attended(block.att, block.att_norm(x), visible, registers)
    h, mlp = block.ffn_norm(x), block.mlp
    gate = h @ mlp.c_fc1.weight.T
    return x + (gate * torch.sigmoid(gate) * (h @ mlp.c_fc2.weight.T)) @ mlp.c_proj.weight.T


def full_mask(tokens: int) -> Tensor:
    return torch.ones(tokens, tokens, dtype=torch.bool)


def test_rms_norm_by_hand() -> None:
    # The root mean square of (3, 4) is sqrt(12.5).
    norm = RMSNorm(2)
    with torch.no_grad():
        norm.scale.copy_(torch.tensor([1.0, 2.0]))
    expected = torch.tensor([3.0, 8.0]) / math.sqrt(12.5)
    torch.testing.assert_close(norm(torch.tensor([3.0, 4.0])), expected)


@settings(deadline=None)
@given(distance=st.integers(0, 20), shift=st.integers(0, 40))
def test_rotary_products_depend_only_on_distances(distance: int, shift: int) -> None:
    rotary = Rotary(8, 64)
    query, key = (pattern(8, phase=p).expand(1, 1, 64, 8) for p in (0.1, 0.2))
    products = rotary(query)[0, 0] @ rotary(key)[0, 0].T
    torch.testing.assert_close(products[distance, 0], products[distance + shift, shift])


@settings(deadline=None)
@given(first=st.integers(1, 30), longer=st.integers(31, 100))
def test_rotary_does_not_depend_on_the_length(first: int, longer: int) -> None:
    x, short = pattern(1, 2, longer, 8), Rotary(8, first)
    assert torch.equal(short(x[:, :, :first]), Rotary(8, 100)(x)[:, :, :first])
    assert torch.equal(short(x), Rotary(8, 100)(x))


def test_rotary_is_complex_multiplication() -> None:
    x = pattern(2, 3, 50, 8)
    torch.testing.assert_close(Rotary(8, 50)(x), rotated(x))
    torch.testing.assert_close(Rotary(8, 50)(x).norm(dim=-1), x.norm(dim=-1))


def test_a_rotary_table_extended_in_inference_mode_can_be_trained_with() -> None:
    rotary, x = Rotary(8, 4), pattern(1, 1, 9, 8).requires_grad_()
    with torch.inference_mode():
        rotary(x)
    rotary(x).sum().backward()
    # Rotation is linear and keeps lengths, so its transpose applied to ones has the norm of ones.
    torch.testing.assert_close(x.grad.norm(), torch.ones(9, 8).norm())


def test_the_rotary_table_is_not_in_the_state_dict() -> None:
    assert "att.rotary.table" not in RoFormerBlock(WIDTH, HEADS, 16).state_dict()


def test_block_matches_its_definition() -> None:
    block, x = fill(RoFormerBlock(WIDTH, HEADS, 16)), pattern(1, 9, WIDTH)
    torch.testing.assert_close(block(x), block_by_definition(block, x, full_mask(9)))


@pytest.mark.parametrize(("registers", "window"), [(0, -1), (3, -1), (2, 4)])
def test_forward_uses_the_reported_weights(registers: int, window: int) -> None:
    block = AttentionRegisterRoFormerBlock(
        WIDTH, HEADS, 16, num_register_tokens=registers, window_size=window
    )
    attention, x = fill(block).att, pattern(2, 9 + registers, WIDTH)
    mask = block._mask(x)
    weights = attention.weights(x, mask, registers)
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, HEADS, 9 + registers))
    values = attention.c_attn(x)[..., 2 * WIDTH :].unflatten(-1, (HEADS, -1)).transpose(1, 2)
    mixed = (weights @ values).transpose(1, 2).flatten(2)
    torch.testing.assert_close(attention.c_proj(mixed), attention(x, mask, registers))
    if mask is not None:
        assert (weights[:, :, ~mask] == 0).all()


def test_without_registers_it_is_the_plain_block() -> None:
    plain, x = fill(RoFormerBlock(WIDTH, HEADS, 16)), pattern(2, 9, WIDTH)
    registered = AttentionRegisterRoFormerBlock(WIDTH, HEADS, 16)
    registered.load_state_dict(plain.state_dict())
    assert torch.equal(registered(x), plain(x))


@pytest.mark.parametrize("window", [-1, 0, 1, 4, 5, 40])
@pytest.mark.parametrize("registers", [0, 1, 3])
def test_a_window_is_full_attention_under_a_mask(registers: int, window: int) -> None:
    block = AttentionRegisterRoFormerBlock(
        WIDTH, HEADS, 16, num_register_tokens=registers, window_size=window
    )
    fill(block)
    x, tokens = pattern(1, 12, WIDTH), 12 + registers
    visible = full_mask(tokens)
    for i in range(registers, tokens):
        for j in range(registers, tokens):
            # With full attention (-1) this is a transformer over registers followed by tokens.
            visible[i, j] = window == -1 or abs(i - j) <= window // 2
    start = torch.cat([block.registers[None], x], dim=1) if registers else x
    expected = block_by_definition(block, start, visible, registers)[:, registers:]
    torch.testing.assert_close(block(x), expected)


def test_every_token_sees_every_register() -> None:
    block = AttentionRegisterRoFormerBlock(WIDTH, HEADS, 16, num_register_tokens=2, window_size=0)
    fill(block)
    for token in range(6):
        (gradient,) = torch.autograd.grad(
            block(pattern(1, 6, WIDTH))[0, token].sum(), block.registers
        )
        assert (gradient.abs().sum(-1) > 0).all()


def test_registers_carry_information_beyond_the_window() -> None:
    def reaches_the_first_token(registers: int) -> bool:
        block = fill(
            AttentionRegisterRoFormerBlock(
                WIDTH, HEADS, 16, num_register_tokens=registers, window_size=2
            )
        )
        start = pattern(1, 12, WIDTH).requires_grad_()
        x = torch.cat([block.registers[None], start], dim=1) if registers else start
        # The registers are kept for the second attention, as in a stack of blocks.
        for _ in range(2):
            x = x + block.att(block.att_norm(x), block._mask(x), registers=registers)
        (gradient,) = torch.autograd.grad(x[0, -1].sum(), start)
        return bool(gradient[0, 0].any())

    assert reaches_the_first_token(registers=1)
    assert not reaches_the_first_token(registers=0)
