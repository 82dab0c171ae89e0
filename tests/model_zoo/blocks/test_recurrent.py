"""Recurrent blocks. Reference: torch's own networks, one group at a time."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from model_zoo.blocks.recurrent import GroupedRNN, RNNBlock
from model_zoo.errors import ConfigError
from tests.model_zoo.blocks.weights import fill, pattern


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("rnn_type", ["gru", "lstm"])
def test_groups_are_separate_networks(rnn_type: str, bidirectional: bool) -> None:
    grouped = fill(GroupedRNN(12, 2, 3, rnn_type, bidirectional))
    x = pattern(2, 7, 12)
    hidden = 2 if bidirectional else 4
    outputs = []
    for group in range(3):
        single = {"gru": nn.GRU, "lstm": nn.LSTM}[rnn_type](
            4, hidden, num_layers=2, bias=False, batch_first=True, bidirectional=bidirectional
        )
        single.load_state_dict(grouped.rnns[group].state_dict())
        outputs.append(single(x[..., 4 * group : 4 * group + 4])[0])
    torch.testing.assert_close(grouped(x), torch.cat(outputs, dim=-1))


def test_groups_are_independent() -> None:
    grouped = fill(GroupedRNN(8, 1, 2))
    x = pattern(1, 5, 8)
    changed = x.clone()
    changed[..., :4] += 1
    assert torch.equal(grouped(x)[..., 4:], grouped(changed)[..., 4:])
    assert not torch.equal(grouped(x)[..., :4], grouped(changed)[..., :4])


@pytest.mark.parametrize("bidirectional", [False, True])
def test_only_bidirectional_networks_see_the_future(bidirectional: bool) -> None:
    grouped = fill(GroupedRNN(8, 1, 2, bidirectional=bidirectional))
    x = pattern(1, 5, 8)
    later = x.clone()
    later[:, -1] += 1
    assert torch.equal(grouped(x)[:, :-1], grouped(later)[:, :-1]) is not bidirectional


def test_block_has_two_residual_branches() -> None:
    block, x = fill(RNNBlock(8, 2, 2, bidirectional=True)), pattern(2, 5, 8)
    half = x + block.rnn(block.rnn_norm(x))
    assert torch.equal(block(x), half + block.mlp(block.ffn_norm(half)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((10, 1, 3), "n_embd=10 must be a multiple of 1 x n_groups=3"),
        ((6, 1, 2, "gru", True), "n_embd=6 must be a multiple of 2 x n_groups=2"),
        ((8, 1, 0), "n_groups must be at least 1, found 0"),
        ((8, 1, 2, "rnn"), "rnn_type must be one of gru, lstm, found 'rnn'"),
    ],
)
def test_invalid_arguments_are_refused(arguments: tuple, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        GroupedRNN(*arguments)
