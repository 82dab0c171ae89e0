"""Checks before a run that every node of a cluster can take part.

The code itself travels, so that a machine without this package answers too. So nothing of ours may
be imported here but inside of functions, and beside the version only where that is the same.

One small task goes to each machine, all at once, and one deadline holds for all of them. A machine
that cannot take part ends the run before it begins, because Ray would place workers there.
"""

from __future__ import annotations

import os
import platform
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib import metadata, util
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import ray
from ray import cloudpickle
from ray.exceptions import NodeDiedError, RayError, TaskUnschedulableError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from model_zoo.errors import ClusterError, DataError, StorageError
from stemcli.cluster.nodes import NodeResources
from stemcli.remote_path import UrlPath, absolute, require_root
from stemcli.version import how_to_install, is_same, version

PATIENCE = 5.0
"""Seconds for a file to be seen on another machine; network file systems may be late."""

Answer = dict[str, Any]
"""``python``, ``ray`` and ``stem`` are versions, the last empty where it is not installed;
``lacking`` are packages that are not installed; ``missing`` are data that are not there, ``blind``
says that the place is another one, and ``refusal`` is why it cannot be written."""

NEEDED = ("fsspec", "numpy", "pyarrow", "scipy", "soundfile", "tensorboard", "torch")
"""Packages without which a worker would end at once."""


def describe_node(ours: str, paths: Sequence[str], place: str, marker: str, own: str) -> Answer:
    """Say what this machine is and sees.

    Args:
        ours: version of the package on the machine that asks; another one ends the look.
        paths: data that should be there.
        place: where the run writes.
        marker: name of a file that lies in it.
        own: name of a file that this machine may write in it and removes again.
    """
    import ray

    answer: Answer = {
        "python": platform.python_version(),
        "ray": ray.__version__,
        "stem": _version(),
        "lacking": [name for name in NEEDED if util.find_spec(name) is None],
        "missing": [],
        "blind": False,
        "refusal": "",
    }
    if answer["stem"].rpartition("+")[2] == ours.rpartition("+")[2]:
        answer["missing"] = [path for path in paths if not os.path.exists(path)]
        in_place = _look_at_url if "://" in place else _look_at_folder
        answer["blind"], answer["refusal"] = in_place(place, marker, own)
    return answer


def _version() -> str:
    spec = util.find_spec("stemcli")
    if spec is None or not spec.origin:
        return ""
    try:
        from stemcli.version import version

        return version()
    except ImportError:
        pass
    try:
        return metadata.version("stemcli")
    except metadata.PackageNotFoundError:
        return "of a source folder"


def _look_at_folder(place: str, marker: str, own: str) -> tuple[bool, str]:
    end = time.monotonic() + PATIENCE
    while not os.path.exists(os.path.join(place, marker)):
        if time.monotonic() > end:
            return True, ""
        time.sleep(0.2)
    path = os.path.join(place, own)
    try:
        with open(path, "x") as file:
            file.write(platform.node())
        os.unlink(path)
    except OSError as error:
        return False, error.strerror or type(error).__name__
    return False, ""


def _look_at_url(place: str, marker: str, own: str) -> tuple[bool, str]:
    import tempfile
    from pathlib import Path

    from model_zoo.errors import StemError
    from stemcli.remote_path import UrlPath

    folder = UrlPath(place)
    try:
        if not (folder / marker).exists():
            return True, ""
        with tempfile.NamedTemporaryFile() as file:
            (folder / own).store(Path(file.name))
        (folder / own).unlink()
    except (StemError, OSError) as error:
        return False, str(error)
    return False, ""


DEADLINE = 25.0
"""Seconds for all machines to answer."""

EXTRAS = "train,cluster"
"""Of our package, that a machine needs."""

STORING = 15.0
"""Seconds for this machine to write a small file where the run will write."""

Answers = Mapping[NodeResources, Answer | str]
"""What each machine says, or why it says nothing."""


def preflight(
    place: Path,
    paths: Sequence[Path],
    machines: Sequence[NodeResources],
    deadline: float = DEADLINE,
) -> None:
    """Make sure that a run can work on all machines.

    The place is made where it is missing, and nothing stays in it.

    Args:
        place: where the run writes: a folder that all machines share, or a
            :class:`~stemcli.remote_path.UrlPath`.
        paths: folders and files that the run reads.
        machines: where workers may be.
        deadline: seconds for all machines to answer.

    Raises:
        ClusterError: a machine does not answer, or has another version of Python, of Ray or of
            this package, or has none.
        DataError: a machine does not see some of the paths.
        OutputError: there is no such bucket or server.
        StorageError: the place cannot be written from here or from a machine, or is not the same
            on all of them.
    """
    place, mark = absolute(place), f".stem-{uuid.uuid4().hex}"
    own = {machine: f"{mark}-{number}" for number, machine in enumerate(machines)}
    with _marked(place, mark, [*own.values()]):
        texts = [str(absolute(path)) for path in paths]
        questions = {
            machine: (version(), texts, str(place), mark, name) for machine, name in own.items()
        }
        check_answers(_ask(questions, deadline), place)


def check_answers(answers: Answers, place: Path) -> None:
    """Refuse a cluster for what its machines said.

    Args:
        answers: of all machines.
        place: where the run writes.

    Raises:
        ClusterError: see :func:`preflight`.
        DataError: see :func:`preflight`.
        StorageError: see :func:`preflight`.
    """
    unable = _grouped({machine: _unable(answer) for machine, answer in answers.items()})
    if unable:
        raise ClusterError(f"Not every machine of the cluster can take part. {'; '.join(unable)}")
    said: dict[NodeResources, Any] = dict(answers)
    missing = _grouped({machine: ", ".join(said[machine]["missing"]) for machine in said})
    if missing:
        raise DataError(
            "Not every machine sees the data. Put them under the same path everywhere, or on a "
            "disk that all machines share. Missing on",
            missing,
        )
    blind = [machine.host for machine in said if said[machine]["blind"]]
    if blind:
        raise StorageError(
            f"The output {place} is not the same place on all machines: {', '.join(blind)} did not "
            "see what this machine wrote there. Type --output with a folder that all machines "
            "share, or with an address such as s3://bucket/runs"
        )
    refusals = _grouped({machine: said[machine]["refusal"] for machine in said})
    if refusals:
        raise StorageError(
            f"The output {place} cannot be written by all machines. Check its rights, or type "
            f"--output with another. Refused on {'; '.join(refusals)}"
        )


def _unable(answer: Answer | str) -> str:
    """Why the machine that says this cannot take part; empty when it can."""
    if isinstance(answer, str):
        return answer
    here, there = (_minor(text) for text in (platform.python_version(), answer["python"]))
    for kind, ours, theirs in (("Python", here, there), ("Ray", ray.__version__, answer["ray"])):
        if ours != theirs:
            return f"it has {kind} {theirs}, and this machine {ours}. Install the same on both"
    if not answer["stem"]:
        return f"stem is not installed there. {how_to_install(extras=EXTRAS)}"
    if not is_same(answer["stem"]):
        told = f"it has stem {answer['stem']}, and this machine {version()}"
        return f"{told}. {how_to_install(answer['stem'], EXTRAS)}"
    if answer["lacking"]:
        return (
            f"{', '.join(answer['lacking'])} not installed there. {how_to_install(extras=EXTRAS)}"
        )
    return ""


def _minor(text: str) -> str:
    """What code that travels depends on: 3.11 of 3.11.7."""
    return ".".join(text.split(".")[:2])


def _grouped(reasons: Mapping[NodeResources, str]) -> list[str]:
    """Each reason once, after the machines that give it; machines without one are left out."""
    hosts: dict[str, list[str]] = {}
    for machine, reason in reasons.items():
        if reason:
            hosts.setdefault(reason, []).append(machine.host)
    return [f"{', '.join(names)}: {reason}" for reason, names in hosts.items()]


def _ask(questions: Mapping[NodeResources, tuple[Any, ...]], deadline: float) -> Answers:
    strategy: Any = NodeAffinitySchedulingStrategy
    task: Any = ray.remote(num_cpus=0, max_retries=0)(describe_node)
    with _by_value():
        asked = {
            machine: task.options(
                scheduling_strategy=strategy(machine.node, soft=False),
            ).remote(*question)
            for machine, question in questions.items()
        }
    refs = [*asked.values()]
    if refs:
        ray.wait(refs, num_returns=len(refs), timeout=deadline)
    return {machine: _answer(ref, deadline) for machine, ref in asked.items()}


@contextmanager
def _by_value() -> Iterator[None]:
    """Let the code of the task travel, not the name of its module."""
    package: Any = cloudpickle
    package.register_pickle_by_value(sys.modules[__name__])
    try:
        yield
    finally:
        package.unregister_pickle_by_value(sys.modules[__name__])


def _answer(ref: Any, deadline: float) -> Answer | str:
    """What a task returned, or a reason why it has not."""
    if not ray.wait([ref], timeout=0)[0]:
        with suppress(RayError):
            ray.cancel(ref, force=True)
        return (
            f"no answer within {deadline:g} s. Check with ray status, its network and its disks, "
            "or type there: ray stop"
        )
    try:
        answer: Answer = ray.get(ref, timeout=STORING)
        return answer
    except (NodeDiedError, TaskUnschedulableError):
        return "it has just left the cluster. Check with ray status and run it again"
    except RayError as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        reason = (lines or [type(error).__name__])[-1].rstrip(".")
        return f"it failed ({reason}). Check with ray status, or type there: ray stop"


@contextmanager
def _marked(place: Path, mark: str, others: Sequence[str]) -> Iterator[None]:
    """A small file lies in the place for a while, and no other afterwards."""
    new: list[Path] = []
    try:
        _in_time(lambda: _write(place / mark, new), place)
        yield
    except BaseException:
        _clean(place, [mark, *others], new)
        raise
    _clean(place, [mark, *others], [])


def _write(path: Path, new: list[Path]) -> None:
    """Make an empty file; folders that were missing are listed in ``new``, the innermost first."""
    if isinstance(path, UrlPath):
        require_root(path)
        with NamedTemporaryFile() as file:
            path.store(Path(file.name))
        return
    try:
        new += [folder for folder in path.parents if not folder.exists()]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(exist_ok=False)
    except OSError as error:
        raise StorageError(
            f"The output {path.parent} cannot be written ({error.strerror}). Check its rights, or "
            "type --output with a folder that all machines share"
        ) from error


def _clean(place: Path, names: Sequence[str], folders: Sequence[Path]) -> None:
    """Remove files, and folders that are empty; a place that does not answer keeps them."""

    def remove() -> None:
        for name in names:
            with suppress(OSError, StorageError):
                (place / name).unlink(missing_ok=True)
        for folder in folders:
            with suppress(OSError):
                folder.rmdir()

    with suppress(StorageError):
        _in_time(remove, place)


def _in_time(work: Callable[[], None], place: Path) -> None:
    """Do the work in a thread that may be left behind: a dead disk or address stops it for ever."""
    failed: list[Exception] = []

    def run() -> None:
        try:
            work()
        except Exception as error:
            failed.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(STORING)
    if failed:
        raise failed[0]
    if thread.is_alive():
        raise StorageError(
            f"The output {place} did not answer within {STORING:g} s. Check the address, the "
            "network and the disk behind it"
        )
