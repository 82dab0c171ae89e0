"""A run on a cluster from its first check to its end."""

from __future__ import annotations

from stemcli.cluster import joined
from trainers.cluster.launch import Crew, Order, train_on_cluster
from trainers.loop.events import Report

__all__ = ["Order", "run_on_cluster"]


def run_on_cluster(
    order: Order, workers: str, wait: float, device: str, report: Report, *, verbose: bool
) -> None:
    with joined():
        train_on_cluster(
            order, Crew(int(workers or 1), int(workers or 1), 2 // int(workers or 1), 0), report
        )
