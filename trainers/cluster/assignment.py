"""What every worker of a run is handed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainers.config import Recipe


@dataclass(frozen=True)
class Assignment:
    """One run.

    Attributes:
        recipe: what to do.
        data: folder with what is learned from, the same on all machines; None for the songs that
            each machine makes by formula.
        validation: folders with songs to be judged by.
        place: folder of the run, which all machines see.
        origin: model or weights file to start from.
        fsdp: whether each worker holds a part of the network, instead of the whole.
        name: of this start of the run, unlike any other.
        post: Ray's handle of the :class:`~trainers.cluster.post.Post`.
        cores: that each worker computes with.
        version: of this package where the run was started.
    """

    recipe: Recipe
    data: Path | None
    validation: tuple[Path, ...]
    place: Path
    origin: str
    fsdp: bool
    name: str
    post: Any
    cores: int
    version: str
