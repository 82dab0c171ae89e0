"""Networks on the meta device and the tree of their layers.

Reference: the same layers with real values; and a network whose tree is short enough to write out.
"""

from __future__ import annotations

import pytest
import torch
from jaxtyping import Float
from torch import Tensor, nn

from model_zoo.errors import ConfigError
from model_zoo.introspection import LayerInfo, Shapes, layer_tree
from model_zoo.ops.spectra import istft, stft
from model_zoo.separator import Separator, SeparatorConfig


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(4, width)

    def forward(
        self, x: Float[Tensor, "batch time feature"]
    ) -> Float[Tensor, "batch time feature"]:
        return self.linear(x)


class Tiny(Separator):
    Config = SeparatorConfig
    channels, segment, stems = 1, 10, ("a",)

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(3))
        self.same = nn.ModuleList([Block(4), Block(4)])
        self.others = nn.ModuleList([Block(4), Block(1)])

    def forward(self, mixture: Tensor) -> Tensor:
        x = mixture.transpose(1, 2).expand(-1, -1, 4)
        for block in (*self.same, *self.others):
            x = block(x)
        return x.unsqueeze(1).transpose(2, 3)


def test_the_tree_by_hand() -> None:
    """Equal blocks are merged; others are listed, each with its linear layer."""
    axes = ("batch", "time", "feature")
    four = LayerInfo("linear", "Linear", (1, 10, 4), (), 20)
    one = LayerInfo("linear", "Linear", (1, 10, 1), (), 5)
    blocks = (
        LayerInfo("0", "Block", (1, 10, 4), axes, 20, 1, (four,)),
        LayerInfo("1", "Block", (1, 10, 1), axes, 5, 1, (one,)),
    )
    assert layer_tree(Tiny().to("meta")) == LayerInfo(
        "",
        "Tiny",
        (1, 1, 1, 10),
        (),
        68,
        1,
        (
            LayerInfo("gain", "Parameter", (3,), (), 3),
            LayerInfo("same", "Block", (1, 10, 4), axes, 40, 2, (four,)),
            LayerInfo("others", "ModuleList", (), (), 25, 1, blocks),
        ),
    )


def test_shapes_end_where_values_are_needed() -> None:
    """Earlier layers have shapes, later ones have none; nothing fails."""

    class Deciding(Tiny):
        def forward(self, mixture: Tensor) -> Tensor:
            x = super().forward(mixture)
            return x if x.sum() > 0 else -x

    tree = layer_tree(Deciding().to("meta"))
    assert (tree.shape, tree.parts[1].shape) == ((), (1, 10, 4))


def test_a_network_with_too_many_operations_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """By hand: each of the four blocks takes at least two operations."""
    monkeypatch.setattr("model_zoo.introspection.MOST_OPERATIONS", 7)
    with pytest.raises(ConfigError, match="more than 7 operations is too large to be shown"):
        layer_tree(Tiny().to("meta"))


@pytest.mark.parametrize("kind", [nn.GRU, nn.LSTM])
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_recurrent_layers(kind: type[nn.GRU], batch_first: bool, bidirectional: bool) -> None:
    """Reference: the shapes of the same layer with real values."""
    layer = kind(3, 5, num_layers=2, batch_first=batch_first, bidirectional=bidirectional)
    x = torch.zeros(7, 4, 3)
    outputs, states = layer(x)
    with Shapes():
        meta_outputs, meta_states = layer.to("meta")(x.to("meta"))
    assert meta_outputs.shape == outputs.shape
    pairs = zip(meta_states, states, strict=True) if kind is nn.LSTM else [(meta_states, states)]
    for one, other in pairs:
        assert one.shape == other.shape


def test_the_inverse_transform() -> None:
    """Reference: the shapes with real values."""
    window = torch.hann_window(16, device="meta")
    with Shapes():
        spectrum = stft(torch.empty(2, 3, 100, device="meta"), window, 4)
        assert spectrum.shape == (2, 3, 9, 26)
        assert istft(spectrum, window, 4, 100).shape == (2, 3, 100)
