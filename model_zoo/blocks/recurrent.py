"""Recurrent blocks: small recurrent networks over groups of features, in parallel.

Splitting one recurrent layer into groups divides its weights by their number (Gao et al. 2018,
https://aclanthology.org/N18-1073).
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from model_zoo.blocks.attention import MLP, RMSNorm
from model_zoo.errors import ConfigError

CELLS: dict[str, type[nn.GRU | nn.LSTM]] = {"gru": nn.GRU, "lstm": nn.LSTM}


class GroupedRNN(nn.Module):
    """Recurrent networks without bias, one for each group of adjacent features.

    Args:
        n_embd: width of a token.
        n_layer: layers of every network.
        n_groups: number of networks; must divide ``n_embd``.
        rnn_type: ``"gru"`` or ``"lstm"``.
        bidirectional: run in both directions, with half of the width for each.

    Raises:
        ConfigError: the groups are uneven, or there is no such ``rnn_type``.
    """

    def __init__(
        self,
        n_embd: int,
        n_layer: int,
        n_groups: int,
        rnn_type: str = "gru",
        bidirectional: bool = False,
    ) -> None:
        super().__init__()
        directions = 2 if bidirectional else 1
        _check(n_embd, n_groups, rnn_type, directions)
        self.width = n_embd // n_groups
        self.rnns = nn.ModuleList(
            CELLS[rnn_type](
                self.width,
                self.width // directions,
                num_layers=n_layer,
                bias=False,
                batch_first=True,
                bidirectional=bidirectional,
            )
            for _ in range(n_groups)
        )

    def forward(
        self, x: Float[Tensor, "batch token feature"]
    ) -> Float[Tensor, "batch token feature"]:
        """Run over every sequence, each group of features on its own."""
        groups = torch.split(x, self.width, dim=-1)
        return torch.cat([rnn(part)[0] for rnn, part in zip(self.rnns, groups, strict=True)], -1)


class RNNBlock(nn.Module):
    """Pre-norm block like a transformer's, with recurrent networks in place of attention.

    Takes the arguments of :class:`GroupedRNN`.
    """

    def __init__(
        self,
        n_embd: int,
        n_layer: int,
        n_groups: int,
        rnn_type: str = "gru",
        bidirectional: bool = False,
    ) -> None:
        super().__init__()
        self.rnn_norm = RMSNorm(n_embd)
        self.rnn = GroupedRNN(n_embd, n_layer, n_groups, rnn_type, bidirectional)
        self.ffn_norm = RMSNorm(n_embd)
        self.mlp = MLP(n_embd)

    def forward(
        self, x: Float[Tensor, "batch token feature"]
    ) -> Float[Tensor, "batch token feature"]:
        """Mix the tokens of each sequence, then transform each token."""
        x = x + self.rnn(self.rnn_norm(x))
        return x + self.mlp(self.ffn_norm(x))


def _check(n_embd: int, n_groups: int, rnn_type: str, directions: int) -> None:
    mistakes = []
    if rnn_type not in CELLS:
        mistakes.append(f"rnn_type must be one of {', '.join(CELLS)}, found {rnn_type!r}")
    if n_groups < 1:
        mistakes.append(f"n_groups must be at least 1, found {n_groups}")
    elif n_embd % (n_groups * directions):
        mistakes.append(f"n_embd={n_embd} must be a multiple of {directions} x n_groups={n_groups}")
    if mistakes:
        raise ConfigError("GroupedRNN", mistakes)
