"""Where a loop runs: the one thing it is told about its surroundings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar, runtime_checkable

import torch
from torch import Tensor, nn

from model_zoo.separator import Separator

T = TypeVar("T")


@runtime_checkable
class Worker(Protocol):
    """The process that a training loop runs in, one of ``world_size`` that take the same steps."""

    @property
    def device(self) -> torch.device:
        """Where the network lives."""

    @property
    def rank(self) -> int:
        """Number of this worker; the first writes and reports."""

    @property
    def world_size(self) -> int:
        """How many workers there are."""

    @property
    def is_independent(self) -> bool:
        """Whether it can run and save the networks without the others.

        It cannot where each worker holds a part of them: then all must run them together.
        """

    def place(self, separator: Separator) -> None:
        """Bring a network to the device, or as much of it as this worker holds."""

    def wrap(self, network: nn.Module) -> nn.Module:
        """The network with gradients that are means over all workers."""

    def total(self, values: Mapping[str, float]) -> dict[str, float]:
        """Sums over all workers; every worker gets them."""

    def keep(self, folder: Path) -> None:
        """Let what lies in ``folder`` outlive this machine; asked of the first worker alone."""

    def share(self, songs: Sequence[T]) -> Sequence[T]:
        """The songs that this worker is judged by; each counts as often as every other."""

    def gather(self, tensors: Iterable[tuple[str, Tensor]]) -> dict[str, Tensor]:
        """Whole tensors by name, on the processor; only the first worker gets any.

        All workers call it at the same point, with the same names in the same order.
        """


@dataclass(frozen=True)
class LocalWorker:
    """The only process of a run on one machine.

    Attributes:
        device: where the network lives.
    """

    device: torch.device
    rank: int = 0
    world_size: int = 1
    is_independent: bool = True

    def place(self, separator: Separator) -> None:
        """Bring all of the network to the device."""
        separator.to(self.device)

    def wrap(self, network: nn.Module) -> nn.Module:
        """The network as it is."""
        return network

    def total(self, values: Mapping[str, float]) -> dict[str, float]:
        """The values as they are."""
        return dict(values)

    def keep(self, folder: Path) -> None:
        """It lies where it shall be."""

    def share(self, songs: Sequence[T]) -> Sequence[T]:
        """All of them."""
        return songs

    def gather(self, tensors: Iterable[tuple[str, Tensor]]) -> dict[str, Tensor]:
        """The tensors, on the processor."""
        return on_processor(tensors)


def on_processor(tensors: Iterable[tuple[str, Tensor]]) -> dict[str, Tensor]:
    """Tensors as files take them: without a gradient, contiguous, on the processor."""
    return {name: value.detach().cpu().contiguous() for name, value in tensors}
