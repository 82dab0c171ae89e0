"""What every worker of a run is handed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from trainers.cluster.order import Order


@dataclass(frozen=True)
class Assignment:
    """One start of a run.

    Attributes:
        order: what is asked for.
        name: of this start, unlike any other.
        post: Ray's handle of the :class:`~trainers.cluster.post.Post`.
        cores: that each worker computes with.
        version: of this package where the run was started.
    """

    order: Order
    name: str
    post: Any
    cores: int
    version: str
