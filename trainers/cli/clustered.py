"""``stem train --cluster``: what was typed, checked, and what a cluster makes of it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from model_zoo.errors import MissingExtraError, OutputError, UsageError
from stemcli.batch.url_path import UrlPath, absolute
from stemcli.cli.console import Console
from stemcli.cli.words import quoted
from trainers.cluster.count import WAIT, WorkerCount
from trainers.cluster.order import Order
from trainers.loop.events import Report


@dataclass(frozen=True)
class Wish:
    """What was typed about a cluster.

    Attributes:
        cluster: whether to train on one.
        workers: ``N``, ``MIN:MAX`` or None.
        wait: seconds for room to appear; None for :data:`WAIT`, and for none on this machine alone.
        fsdp: whether each worker holds a part of the network.
    """

    cluster: bool
    workers: str | None
    wait: float | None
    fsdp: bool

    def check(self, data: Path | None, output: Path, dry_run: bool) -> None:
        """Refuse what does not go together.

        Raises:
            UsageError: an option wants a cluster, or a cluster does not want it.
        """
        typed = {"--workers": self.workers, "--wait": self.wait, "--fsdp": self.fsdp or None}
        lonely = [name for name, value in typed.items() if value is not None]
        if self.cluster and dry_run:
            raise UsageError("--dry-run takes its steps on this machine. Leave out --cluster")
        if self.workers is not None:
            WorkerCount.parse(self.workers)
        if self.cluster:
            return
        if lonely:
            verb = "wants" if len(lonely) == 1 else "want"
            raise UsageError(f"{' and '.join(lonely)} {verb} a cluster. Add --cluster")
        if isinstance(output, UrlPath):
            raise UsageError(f"--output {output} is no folder of this machine. Add --cluster")
        if data is None:
            raise UsageError(
                "Nothing to learn from. Type --data DIR with the folder of your songs; "
                "stem data render songs makes some to try with"
            )


def train_clustered(
    order: Order, wish: Wish, device: str, console: Console, report: Report
) -> None:
    """Train on a cluster; the folder of the run then holds what a run on one machine leaves.

    Raises:
        MissingExtraError: Ray is not installed.
        StemError: as :func:`trainers.cluster.run.run_on_cluster` and
            :func:`trainers.loop.run.run`.
    """
    try:
        from trainers.cluster.run import run_on_cluster
    except ImportError as error:
        raise MissingExtraError("Ray 2.56 or newer, which --cluster needs,", "cluster") from error
    from trainers.loop.lock import alone_in

    announce(console)
    order = _everywhere(order)
    place = order.place
    with nullcontext() if isinstance(place, UrlPath) else alone_in(place):
        # Nothing is added to a cluster of this machine alone.
        usual = WAIT if os.environ.get("RAY_ADDRESS") else 0.0
        wait = usual if wish.wait is None else wish.wait
        run_on_cluster(order, wish.workers or "", wait, device, report, verbose=console.verbose)


def announce(console: Console, alone: bool = False) -> None:
    """Say what takes the next seconds."""
    address = "" if alone else os.environ.get("RAY_ADDRESS")
    console.line(f"Joining the cluster at {address}" if address else "Starting Ray")


def check_place(output: Path, data: Path | None, resume: bool) -> None:
    """Refuse what cannot be the folder of this run.

    Raises:
        OutputError: it already holds a run and ``resume`` is off, or cannot be written.
        UsageError: there is nothing to resume from, or the run learned from songs that were not
            named again.
        StorageError: it cannot be reached.
    """
    from model_zoo.whereabouts import LAST, no_run
    from trainers.loop.conditions import check_folder
    from trainers.search.plan import PLAN

    if (output / PLAN).exists():
        raise OutputError(f"{output} holds a search of stem tune. Name another --output")
    if not isinstance(output, UrlPath):
        check_folder(output, resume)
    elif not resume and (output / LAST).exists():
        raise OutputError(f"{output} already holds a run. Add --resume or name another --output.")
    if resume and not (output / LAST).exists():
        raise no_run(output)
    if resume and data is None:
        _check_songs(output)


def _check_songs(output: Path) -> None:
    """A run of real songs must not go on with made ones."""
    from model_zoo.adoption import read_summary
    from model_zoo.whereabouts import SUMMARY
    from trainers.data.sample_set import is_sample_set

    if not (output / SUMMARY).exists():
        return
    with nearby(output, SUMMARY) as folder:
        learned = read_summary(folder).data
    if learned and not is_sample_set(learned):
        raise UsageError(f"{output} learned from {learned}. Type --data with that folder again")


def _everywhere(order: Order) -> Order:
    """The order with absolute paths, which have to be the same on all machines."""
    from model_zoo.whereabouts import is_place

    origin = order.origin
    return replace(
        order,
        data=absolute(order.data) if order.data else None,
        validation=tuple(map(absolute, order.validation)),
        place=absolute(order.place),
        origin=os.path.abspath(origin) if is_place(origin) else origin,
    )


@contextmanager
def nearby(run: Path, *names: str) -> Iterator[Path]:
    """The folder of a run, or a copy of some of its files where it lies behind a URL.

    Raises:
        StorageError: it cannot be reached.
    """
    if not isinstance(run, UrlPath):
        yield run
        return
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            if (run / name).exists():
                (run / name).fetch(Path(folder) / name)
        yield Path(folder)


def advice(learned: Path | str, objective: str) -> str:
    """What to type next, to hear what was learned by an objective, or to go on from it.

    Args:
        learned: the folder of the run, or the name of the model that it became.
        objective: by which.
    """
    from model_zoo.adoption import PRETRAINING
    from model_zoo.whereabouts import BEST, as_typed
    from stemcli.engine.roles import use_of
    from trainers.objectives import OBJECTIVES

    if isinstance(learned, UrlPath):
        best = learned / BEST
        return f"Type: stem models add FILE --name NAME, with a copy of {best} on this machine"
    model = quoted(as_typed(learned) if isinstance(learned, Path) else learned)
    if objective in PRETRAINING:
        return f"Type: stem train --data DIR --from {model}"
    return f"Type: {use_of(model, OBJECTIVES[objective].roles[0])}"
