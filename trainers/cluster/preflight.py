"""Checks before a run that every node of a cluster can take part.

One small task runs on each node, all at once and with one deadline. A node that cannot take part
ends the run before it begins, because Ray would place workers there. Ray itself refuses nodes with
another version of Python or Ray when they start (``tests/stemcli/cluster/test_connect.py``).

The code of the task is sent by value, so that a node without this package answers too: functions
that run there import this package in their bodies, and beyond its version only where it is the
same.
"""

from __future__ import annotations

import os
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib import metadata, util
from pathlib import Path
from typing import Any

import ray
from ray import cloudpickle
from ray.exceptions import NodeDiedError, RayError, TaskUnschedulableError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from model_zoo.errors import ClusterError, DataError, StorageError
from stemcli.cluster.nodes import NodeResources
from stemcli.remote_path import UrlPath, absolute, require_root
from stemcli.version import how_to_install, is_same, version

DEADLINE_S = 25.0
"""Seconds for all nodes to answer."""

VISIBLE_S = 5.0
"""Seconds for a file to be seen on another machine; network file systems may be late."""

OUTPUT_TIMEOUT_S = 15.0
"""Seconds for this machine to write a small file into the folder of the run."""

EXTRAS = "train,cluster"
"""Extras of this package that a node needs."""

NEEDED = ("fsspec", "numpy", "pyarrow", "scipy", "soundfile", "tensorboard", "torch")
"""Packages without which a worker would end at once."""

Answer = dict[str, Any]
"""Of a node: ``stem`` is the version of this package, empty where it is not installed; ``lacking``
are packages that are not installed; ``missing`` are data that it does not see; ``blind`` says that
its output is another place; ``refusal`` is why it cannot write there."""

Answers = Mapping[NodeResources, Answer | str]
"""The answer of each node, or the reason why there is none."""


def preflight(
    folder: Path,
    paths: Sequence[Path],
    nodes: Sequence[NodeResources],
    deadline: float = DEADLINE_S,
) -> None:
    """Check that a run can work on all nodes.

    The folder of the run is made where it is missing; nothing stays in it.

    Args:
        folder: folder of the run, which all machines share, or a
            :class:`~stemcli.remote_path.UrlPath`.
        paths: folders and files that the run reads.
        nodes: on which workers may be placed.
        deadline: seconds for all nodes to answer.

    Raises:
        ClusterError: a node does not answer, or has another version of this package, or none.
        DataError: a node does not see some of the paths.
        OutputError: there is no such bucket or server.
        StorageError: the folder cannot be written from here or from a node, or is not the same
            on all of them.
    """
    folder, marker = absolute(folder), f".stem-{uuid.uuid4().hex}"
    own = {node: f"{marker}-{number}" for number, node in enumerate(nodes)}
    with _marker_file(folder, marker, [*own.values()]):
        texts = [str(absolute(path)) for path in paths]
        questions = {
            node: (version(), texts, str(folder), marker, name) for node, name in own.items()
        }
        check_answers(_ask(questions, deadline), folder)


def check_answers(answers: Answers, folder: Path) -> None:
    """Refuse a cluster on which a node cannot take part.

    Args:
        answers: of all nodes.
        folder: folder of the run.

    Raises:
        ClusterError: see :func:`preflight`.
        DataError: see :func:`preflight`.
        StorageError: see :func:`preflight`.
    """
    unable = _grouped({node: _unable(answer) for node, answer in answers.items()})
    if unable:
        raise ClusterError(f"Not every machine of the cluster can take part. {'; '.join(unable)}")
    found: dict[NodeResources, Any] = dict(answers)
    missing = _grouped({node: ", ".join(found[node]["missing"]) for node in found})
    if missing:
        raise DataError(
            "Not every machine sees the data. Put them under the same path everywhere, or on a "
            "disk that all machines share. Missing on",
            missing,
        )
    blind = [node.host for node in found if found[node]["blind"]]
    if blind:
        raise StorageError(
            f"The output {folder} is not the same place on all machines: {', '.join(blind)} did "
            "not see what this machine wrote there. Use --output with a folder that all machines "
            "share, or with an address such as s3://bucket/runs"
        )
    refusals = _grouped({node: found[node]["refusal"] for node in found})
    if refusals:
        raise StorageError(
            f"The output {folder} cannot be written by all machines. Check its permissions, or use "
            f"another --output. Refused on {'; '.join(refusals)}"
        )


def _unable(answer: Answer | str) -> str:
    """Return why a node cannot take part; empty when it can."""
    if isinstance(answer, str):
        return answer
    if not answer["stem"]:
        return f"stem is not installed there. {how_to_install(extras=EXTRAS)}"
    if not is_same(answer["stem"]):
        versions = f"it has stem {answer['stem']}, and this machine {version()}"
        return f"{versions}. {how_to_install(answer['stem'], EXTRAS)}"
    if answer["lacking"]:
        return (
            f"{', '.join(answer['lacking'])} not installed there. {how_to_install(extras=EXTRAS)}"
        )
    return ""


def _grouped(reasons: Mapping[NodeResources, str]) -> list[str]:
    """List each reason once, after the hosts that give it; hosts without one are left out."""
    hosts: dict[str, list[str]] = {}
    for node, reason in reasons.items():
        if reason:
            hosts.setdefault(reason, []).append(node.host)
    return [f"{', '.join(names)}: {reason}" for reason, names in hosts.items()]


def describe_node(
    expected: str, paths: Sequence[str], output: str, marker: str, own: str
) -> Answer:
    """Describe the node that runs this.

    Args:
        expected: version of the package on the machine that asks; with another one neither data
            nor output are looked at.
        paths: data that should be there.
        output: path or URL of the folder of the run.
        marker: name of a file that lies in it.
        own: name of a file that this node may write in it and removes again.
    """
    answer: Answer = {
        "stem": _installed_version(),
        "lacking": [name for name in NEEDED if util.find_spec(name) is None],
        "missing": [],
        "blind": False,
        "refusal": "",
    }
    if answer["stem"].rpartition("+")[2] == expected.rpartition("+")[2]:
        answer["missing"] = [path for path in paths if not os.path.exists(path)]
        answer["blind"], answer["refusal"] = _try_output(output, marker, own)
    return answer


def _installed_version() -> str:
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


def _try_output(output: str, marker: str, own: str) -> tuple[bool, str]:
    """Return whether the marker is missing, and why no file can be written beside it."""
    from model_zoo.errors import StemError
    from stemcli.remote_path import as_path

    try:
        folder = as_path(output)
        end = time.monotonic() + VISIBLE_S
        while not (folder / marker).exists():
            if time.monotonic() > end:
                return True, ""
            time.sleep(0.2)
        _create(folder / own)
        (folder / own).unlink()
    except OSError as error:
        return False, error.strerror or str(error) or type(error).__name__
    except StemError as error:
        return False, str(error)
    return False, ""


def _create(path: Path) -> None:
    """Create an empty file, on a disk or behind a URL."""
    import tempfile
    from pathlib import Path

    from stemcli.remote_path import UrlPath

    if isinstance(path, UrlPath):
        with tempfile.NamedTemporaryFile() as empty:
            path.store(Path(empty.name))
    else:
        path.touch(exist_ok=False)


def _ask(questions: Mapping[NodeResources, tuple[Any, ...]], deadline: float) -> Answers:
    strategy: Any = NodeAffinitySchedulingStrategy
    task: Any = ray.remote(num_cpus=0, max_retries=0)(describe_node)
    with _by_value():
        tasks = {
            node: task.options(scheduling_strategy=strategy(node.node, soft=False)).remote(*given)
            for node, given in questions.items()
        }
    refs = [*tasks.values()]
    if refs:
        ray.wait(refs, num_returns=len(refs), timeout=deadline)
    return {node: _answer(ref, deadline) for node, ref in tasks.items()}


@contextmanager
def _by_value() -> Iterator[None]:
    """Pickle the functions of this module with their code, not by the name of the module."""
    package: Any = cloudpickle
    package.register_pickle_by_value(sys.modules[__name__])
    try:
        yield
    finally:
        package.unregister_pickle_by_value(sys.modules[__name__])


def _answer(ref: Any, deadline: float) -> Answer | str:
    """Return what a task returned, or the reason why it did not."""
    if not ray.wait([ref], timeout=0)[0]:
        with suppress(RayError):
            ray.cancel(ref, force=True)
        return (
            f"no answer within {deadline:g} s. Check with ray status, its network and its "
            "disks, or run on it: ray stop"
        )
    try:
        answer: Answer = ray.get(ref, timeout=OUTPUT_TIMEOUT_S)
        return answer
    except (NodeDiedError, TaskUnschedulableError):
        return "it has just left the cluster. Check with ray status and run it again"
    except RayError as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        reason = (lines or [type(error).__name__])[-1].rstrip(".")
        return f"it failed ({reason}). Check with ray status, or run on it: ray stop"


@contextmanager
def _marker_file(folder: Path, marker: str, others: Sequence[str]) -> Iterator[None]:
    """Keep an empty file in the output for a while; remove it and ``others`` at the end.

    After an error, folders that were made for it are removed too.
    """
    new_folders: list[Path] = []
    try:
        _in_time(lambda: _write_marker(folder / marker, new_folders), folder)
        yield
        new_folders.clear()
    finally:
        with suppress(StorageError):
            _in_time(lambda: _remove(folder, [marker, *others], new_folders), folder)


def _write_marker(path: Path, new_folders: list[Path]) -> None:
    """Create the file; folders that were missing are added to ``new_folders``, innermost first."""
    if isinstance(path, UrlPath):
        require_root(path)
        _create(path)
        return
    try:
        new_folders += [folder for folder in path.parents if not folder.exists()]
        path.parent.mkdir(parents=True, exist_ok=True)
        _create(path)
    except OSError as error:
        raise StorageError(
            f"The output {path.parent} cannot be written ({error.strerror}). Check its "
            "permissions, or use --output with a folder that all machines share"
        ) from error


def _remove(folder: Path, names: Sequence[str], folders: Sequence[Path]) -> None:
    """Remove files, and folders that are empty."""
    for name in names:
        with suppress(OSError, StorageError):
            (folder / name).unlink(missing_ok=True)
    for empty in folders:
        with suppress(OSError):
            empty.rmdir()


def _in_time(work: Callable[[], None], folder: Path) -> None:
    """Do the work in a thread that may be left behind: a dead disk would block it forever."""
    errors: list[Exception] = []

    def run() -> None:
        try:
            work()
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(OUTPUT_TIMEOUT_S)
    if errors:
        raise errors[0]
    if thread.is_alive():
        raise StorageError(
            f"The output {folder} did not answer within {OUTPUT_TIMEOUT_S:g} s. Check the address, "
            "the network and the disk behind it"
        )
