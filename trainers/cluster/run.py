"""A run on a cluster, from its first check to its end."""

from __future__ import annotations

from stemcli.batch.slots import check_device
from stemcli.cluster import joined
from trainers.cluster.events import CrewAwaited
from trainers.cluster.launch import Order, train_on_cluster
from trainers.cluster.muster import muster
from trainers.cluster.workers import Plan, WorkerCount, await_room
from trainers.loop.events import Report

__all__ = ["Order", "run_on_cluster"]


def run_on_cluster(
    order: Order, workers: str, wait: float, device: str, report: Report, *, verbose: bool
) -> None:
    """Train on the cluster that RAY_ADDRESS names, or on this machine alone.

    Args:
        order: what is asked for.
        workers: how many, as :meth:`WorkerCount.parse` reads it; empty for the default.
        wait: seconds for machines to come.
        device: ``auto``, ``cpu`` or ``cuda``.
        report: told everything.
        verbose: show what Ray says.

    Raises:
        UsageError: ``workers`` or ``device`` is no such thing.
        ClusterError: the cluster cannot be joined, has no room, or its machines differ.
        StorageError: the folder of the run cannot be written by all of them.
        DataError: a machine does not see the data.
        StemError: as :func:`~trainers.cluster.launch.train_on_cluster`.
    """
    check_device(device)
    count = WorkerCount.parse(workers) if workers else None
    told: set[CrewAwaited] = set()

    def tell(plan: Plan) -> None:
        event = CrewAwaited(plan.room, plan.count.least)
        if event not in told:
            told.add(event)
            report(event)

    with joined(verbose):
        plan = await_room(device, count, wait, tell)
        muster(order.place, order.paths, plan.candidates)
        train_on_cluster(order, plan, report)
