"""LSTMs as one node of an exported graph.

torch's own capture of an LSTM fixes the number of steps to that of the example.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Callable

GATES = {"torch": "ifgo", "onnx": "iofg"}
"""Order of the gates in weights: input, forget, cell (g, called c in ONNX) and output."""


def run_as_one_node(lstm: nn.LSTM, x: Tensor) -> tuple[Tensor, tuple[()]]:
    """Output of all layers of an LSTM that starts from zeros, and no states."""
    order = (1, 0, 2)
    hidden = x.permute(order) if lstm.batch_first else x
    for layer in range(lstm.num_layers):
        directions = ("", "_reverse")[: 1 + lstm.bidirectional]
        stacked = [
            torch.stack([_onnx_order(getattr(lstm, f"{kind}_l{layer}{way}")) for way in directions])
            for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        ]
        biases = torch.cat(stacked[2:], dim=1)
        hidden = lstm_layer()(hidden, stacked[0], stacked[1], biases)
    return hidden.permute(order) if lstm.batch_first else hidden, ()


def _onnx_order(tensor: Tensor) -> Tensor:
    gates = dict(zip(GATES["torch"], tensor.chunk(4), strict=True))
    return torch.cat([gates[gate] for gate in GATES["onnx"]])


def _torch_order(tensor: Tensor) -> Tensor:
    gates = dict(zip(GATES["onnx"], tensor.chunk(4), strict=True))
    return torch.cat([gates[gate] for gate in GATES["torch"]])


@cache
def lstm_layer() -> Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]:
    """The operator ``stem::lstm_layer``, with the arguments of ONNX's LSTM.

    It takes ``(step, batch, feature)`` and weights ``(direction, 4 * hidden, ...)``, and returns
    ``(step, batch, direction * hidden)``.
    """

    def layer(x: Tensor, weights: Tensor, recurrent: Tensor, biases: Tensor) -> Tensor:
        directions, hidden = len(weights), recurrent.shape[-1]
        network = nn.LSTM(x.shape[-1], hidden, bidirectional=directions == 2)
        values = {}
        for number, way in enumerate(("", "_reverse")[:directions]):
            inner, outer = biases[number].chunk(2)
            values[f"weight_ih_l0{way}"] = _torch_order(weights[number])
            values[f"weight_hh_l0{way}"] = _torch_order(recurrent[number])
            values[f"bias_ih_l0{way}"] = _torch_order(inner)
            values[f"bias_hh_l0{way}"] = _torch_order(outer)
        network.load_state_dict(values)
        return network(x)[0].detach().clone()

    signature = "(Tensor x, Tensor weights, Tensor recurrent, Tensor biases) -> Tensor"
    operator = torch.library.custom_op("stem::lstm_layer", layer, mutates_args=(), schema=signature)

    def shape(x: Tensor, weights: Tensor, recurrent: Tensor, biases: Tensor) -> Tensor:
        return x.new_empty(*x.shape[:2], len(weights) * recurrent.shape[-1])

    operator.register_fake(shape)
    return operator


def to_onnx() -> dict[Any, Any]:
    """Translation of the operator, for ``torch.onnx.export``."""
    import onnxscript

    lstm_layer()
    op: Any = onnxscript.opset20

    def translated(x: Any, weights: Any, recurrent: Any, biases: Any) -> Any:
        directions, _, hidden = recurrent.shape
        way = "bidirectional" if directions == 2 else "forward"
        steps, _, _ = op.LSTM(x, weights, recurrent, biases, direction=way, hidden_size=hidden)
        by_batch = op.Transpose(steps, perm=[0, 2, 1, 3])
        return op.Reshape(by_batch, op.Constant(value_ints=[0, 0, -1]))

    return {torch.ops.stem.lstm_layer.default: translated}
