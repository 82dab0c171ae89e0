"""Batches of clips, prepared by helper processes."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from trainers.data.clips import Clips, numbers


def load_batches(
    clips: Clips,
    first_step: int,
    steps: int,
    batch_size: int,
    workers: int,
    *,
    rank: int = 0,
    world_size: int = 1,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of one worker from ``first_step`` on: mixtures and stems."""
    loader: DataLoader[tuple[Tensor, Tensor]] = DataLoader(
        clips,
        batch_size=batch_size,
        sampler=numbers(first_step, steps, batch_size, rank, world_size),
        num_workers=workers,
        prefetch_factor=4 if workers else None,
        pin_memory=torch.cuda.is_available(),
        # Its seeds shall not come from the generator that dropout draws from.
        generator=torch.Generator(),
    )
    yield from map(tuple, loader)
