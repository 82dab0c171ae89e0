"""Networks in torch itself: layer by layer, or compiled."""

from __future__ import annotations

import copy

import torch
from jaxtyping import Float
from torch import Tensor

from model_zoo.ops.cpu_kernels import CpuKernels
from model_zoo.separator import Separator
from stemcli.engine.device import Precision


class TorchBackend:
    """Runs a separator layer by layer.

    Args:
        separator: the network, on ``device``.
        device: where it runs.
        precision: of its layers.
    """

    def __init__(self, separator: Separator, device: torch.device, precision: Precision) -> None:
        self._separator, self._device, self._precision = separator, device, precision

    @torch.inference_mode()
    def run(
        self, items: Float[Tensor, "item channel time"]
    ) -> Float[Tensor, "item stem channel time"]:
        """Stems of a batch."""
        with CpuKernels(), self._precision.autocast(self._device):
            stems = self._separator(items.to(self._device))
        return stems.float().cpu()


class CompiledBackend:
    """Runs a separator whose core is compiled on first use, which takes minutes.

    The compiler keeps its results, so that the next run with chunks of the same length starts
    sooner. https://docs.pytorch.org/docs/stable/torch.compiler.html

    Args:
        separator: the network, on ``device``.
        device: where it runs.
        precision: of its layers.
    """

    def __init__(self, separator: Separator, device: torch.device, precision: Precision) -> None:
        self._device, self._precision = device, precision
        self._separator = copy.copy(separator)
        self._separator.use_core(torch.compile(separator.core, dynamic=False))

    @torch.inference_mode()
    def run(
        self, items: Float[Tensor, "item channel time"]
    ) -> Float[Tensor, "item stem channel time"]:
        """Stems of a batch."""
        with self._precision.autocast(self._device):
            stems = self._separator(items.to(self._device))
        return stems.float().cpu()
