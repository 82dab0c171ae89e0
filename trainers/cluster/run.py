"""A run on a cluster, from its first check to its end."""

from __future__ import annotations

from stemcli.batch.slots import check_device
from stemcli.cluster import joined
from trainers.cluster.count import WorkerCount
from trainers.cluster.events import CrewAwaited
from trainers.cluster.launch import train_on_cluster
from trainers.cluster.muster import muster
from trainers.cluster.order import Order
from trainers.cluster.workers import Crew, await_room
from trainers.loop.events import Report


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

    def tell(crew: Crew) -> None:
        event = CrewAwaited(crew.room, crew.count.least)
        if event not in told:
            told.add(event)
            report(event)

    with joined(verbose):
        crew = await_room(device, count, wait, tell)
        muster(order.place, order.paths, crew.candidates)
        train_on_cluster(order, crew, report)
