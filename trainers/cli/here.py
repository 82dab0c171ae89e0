"""``stem train`` on this machine, and what is done with its weights."""

from __future__ import annotations

from pathlib import Path

from stemcli.cli.console import Console
from trainers.cli.clustered import nearby
from trainers.cluster.order import Order
from trainers.loop.events import Report


def train_here(order: Order, device: str, resume: bool, report: Report) -> None:
    """Train on this machine.

    Raises:
        DeviceError: it has no such device.
        StemError: as :func:`trainers.loop.run.run`.
    """
    from stemcli.engine.device import resolve_device
    from trainers.loop.run import run
    from trainers.loop.worker import LocalWorker

    assert order.data, "asked for before"
    worker = LocalWorker(resolve_device(device))
    given = (order.recipe, order.data, order.validation, order.place, worker, report)
    run(*given, resume=resume, origin=order.origin)


def rehearse(order: Order, device: str, resume: bool, console: Console) -> None:
    """Take two steps on this machine and say what the run will need.

    Raises:
        OutputError: there is no room for it, or its folder cannot be written.
        StemError: as :func:`trainers.loop.rehearsal.rehearse`.
    """
    from model_zoo.whereabouts import LAST
    from stemcli.engine.device import resolve_device
    from trainers.cli.rehearsed import check_room, show_rehearsal
    from trainers.loop import rehearsal
    from trainers.loop.conditions import check_folder
    from trainers.loop.worker import LocalWorker

    assert order.data, "asked for before"
    worker = LocalWorker(resolve_device(device))
    check_folder(order.place, resume=True)  # nothing is written into the run that may be there
    given = (order.recipe, order.data, order.validation, worker)
    started, found = rehearsal.rehearse(*given, origin=order.origin)
    show_rehearsal(started, found, str(order.data), console)
    check_room(order.place, found.checkpoint)
    if not resume and (order.place / LAST).exists():
        console.line(f"{order.place} already holds a run. Add --resume or name another --output")


def add_to_zoo(run: Path, name: str, overwrite: bool, console: Console) -> str:
    """Put the best weights of a run into the user's zoo; returns the model's name.

    Raises:
        StemError: as :func:`model_zoo.adoption.adopt`.
    """
    from model_zoo.adoption import adopt
    from model_zoo.whereabouts import BEST, SUMMARY

    with nearby(run, BEST, SUMMARY) as folder:
        card = adopt(folder / BEST, name=name, overwrite=overwrite)
    console.document({"event": "model_added", "card": card.to_dict()})
    return card.name
