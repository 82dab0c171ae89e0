"""Networks that are too large to inspect.

Expected: lowered limits are enforced exactly for a small network.
"""

from __future__ import annotations

import pytest
import torch

from model_zoo import introspection as module
from model_zoo.errors import ConfigError
from model_zoo.introspection import Shapes, build_on_meta
from tests.model_zoo.small import SMALL_CONFIG


def parts() -> int:
    """Number of layers and tensors of the small network, without its root."""
    network = build_on_meta("melrnn", SMALL_CONFIG)
    return len([*network.modules()]) - 1 + len([*network.parameters()])


def test_a_network_with_too_many_parts_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Property: the limit itself is allowed, and counting stops after a refusal."""
    count = parts()
    monkeypatch.setattr(module, "MOST_PARTS", count - 1)
    with pytest.raises(ConfigError, match=f"a network of more than {count - 1} layers and tensors"):
        build_on_meta("melrnn", SMALL_CONFIG)
    monkeypatch.setattr(module, "MOST_PARTS", count)
    build_on_meta("melrnn", SMALL_CONFIG)
    torch.nn.Sequential(*(torch.nn.Linear(1, 1) for _ in range(count)))


def test_split_pieces_are_counted_before_splitting() -> None:
    """By hand: a tensor of 2**40 rows on the meta device, in pieces of one row."""
    rows = torch.empty(2**40, 1, device="meta")
    with Shapes(), pytest.raises(ConfigError, match="operations"):
        torch.split(rows, 1)
    with Shapes():
        assert len(torch.split(rows, 2**39)) == len(torch.split(rows, [1, 2**40 - 1])) == 2
        assert len(torch.split(rows, 1, dim=-1)) == 1
