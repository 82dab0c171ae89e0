"""Checks of all nodes before a run.

They are tested with answers written by hand, with Ray on this machine, and with hosts that see
other folders, have other code or lack our package.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import time
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
from ray import cloudpickle

from model_zoo.errors import ClusterError, DataError, OutputError, StemError, StorageError
from stemcli.cluster import ADDRESS, ray_session
from stemcli.cluster.nodes import NodeResources, list_nodes
from stemcli.remote_path import UrlPath
from stemcli.version import package_folders, version
from tests.stemcli.batch.hosts import Hosts, hosts
from trainers.cluster import preflight as preflight_module
from trainers.cluster.preflight import _by_value, check_answers, describe_node, preflight

MINUTE = 60.0

A, B, C = (NodeResources(name, f"{name} (ip)", 1, 0, 1, 0) for name in "abc")

GOOD_ANSWER: dict[str, Any] = {
    "stem": version(),
    "lacking": [],
    "missing": [],
    "blind": False,
    "refusal": "",
}


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"stem": ""}, ClusterError, r"take part. b \(ip\): stem is not installed there. Run the"),
        ({"stem": "0.0.1+abc"}, ClusterError, r"b \(ip\): it has stem 0.0.1\+abc, and this mac.*"),
        ({"lacking": ["torch", "pyarrow"]}, ClusterError, "torch, pyarrow not installed there. Ru"),
        ({"missing": ["/x", "/y"]}, DataError, r"Missing on: b \(ip\): /x, /y"),
        ({"blind": True}, StorageError, r"not the same place on all machines: b \(ip\) did not se"),
        ({"refusal": "Read-only"}, StorageError, r"Refused on b \(ip\): Read-only"),
    ],
)
def test_every_problem_is_one_message(
    change: dict[str, Any], error: type[StemError], message: str
) -> None:
    with pytest.raises(error, match=message):
        check_answers({A: GOOD_ANSWER, B: GOOD_ANSWER | change, C: GOOD_ANSWER}, Path("/runs"))


def test_nodes_with_the_same_problem_are_named_together() -> None:
    with pytest.raises(
        ClusterError, match=r"part. a \(ip\), c \(ip\): no answer; b \(ip\): stem is"
    ):
        check_answers(
            {A: "no answer", B: GOOD_ANSWER | {"stem": ""}, C: "no answer"}, Path("/runs")
        )


def test_nodes_without_problems_pass() -> None:
    check_answers({A: GOOD_ANSWER, B: GOOD_ANSWER}, Path("/runs"))


@pytest.fixture
def python_without_stem(tmp_path: Path) -> str:
    """A Python interpreter with Ray and other packages, but without ours."""
    venv.create(tmp_path / "bare", with_pip=False, symlinks=True)
    (packages,) = tmp_path.glob("bare/lib/python*/site-packages")
    (packages / "others.pth").write_text(str(Path(ray.__file__).parents[1]))
    return str(tmp_path / "bare/bin/python")


def test_the_check_runs_without_our_package(python_without_stem: str) -> None:
    with _by_value():
        sent = cloudpickle.dumps(describe_node)
    code = "import pickle, sys; print(pickle.load(sys.stdin.buffer)('1+a', [], '/', 'm', 'o'))"
    result = subprocess.run(
        [python_without_stem, "-I", "-c", code], input=sent, capture_output=True, check=True
    )
    expected = GOOD_ANSWER | {"stem": ""}
    assert result.stdout.decode().strip() == str(expected)
    by_name = cloudpickle.dumps(describe_node)
    assert len(by_name) < 99 < len(sent)


def test_the_check_leaves_the_output_unchanged(tmp_path: Path) -> None:
    (tmp_path / "mark").touch()
    paths = [str(tmp_path), str(tmp_path / "no")]
    answer = describe_node(version(), paths, str(tmp_path), "mark", "own")
    assert answer == GOOD_ANSWER | {"missing": [str(tmp_path / "no")]}
    assert os.listdir(tmp_path) == ["mark"]


def test_another_version_checks_nothing() -> None:
    assert describe_node("1+a", ["/no"], "/no", "mark", "own") == GOOD_ANSWER


def test_another_output_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight_module, "VISIBLE_S", 0.3)
    assert describe_node(version(), [], str(tmp_path), "mark", "own") == GOOD_ANSWER | {
        "blind": True
    }


def test_a_read_only_output(tmp_path: Path) -> None:
    (tmp_path / "mark").touch()
    answer = describe_node(version(), [], str(tmp_path), "mark", "no folder/own")
    assert answer == GOOD_ANSWER | {"refusal": "No such file or directory"}


def test_a_url_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight_module, "VISIBLE_S", 0.3)
    place = UrlPath("memory://looked/at")
    assert describe_node(version(), [], str(place), "mark", "own") == GOOD_ANSWER | {"blind": True}
    with (place / "mark").open("wb") as file:
        file.write(b"")
    assert describe_node(version(), [], str(place), "mark", "own") == GOOD_ANSWER
    assert [path.name for path in place.iterdir()] == ["mark"]
    refusal = describe_node(version(), [], "nonsense://x", "mark", "own")["refusal"]
    assert refusal.startswith("nonsense://x cannot be opened")


class FakeAsk:
    """Fakes Ray: records the files in the output while nodes are asked."""

    def __init__(self, patch: pytest.MonkeyPatch, folder: Path, answer: Any) -> None:
        self.folder, self.answer = folder, answer
        self.files: list[str] = []
        patch.setattr(preflight_module, "_ask", self.ask)

    def ask(
        self, questions: dict[NodeResources, tuple[Any, ...]], deadline: float
    ) -> dict[NodeResources, Any]:
        self.files = [*os.listdir(self.folder)]
        for _, _, place, mark, own in questions.values():
            assert mark in self.files
            (Path(place) / own).touch()  # as if a node were killed halfway
        return dict.fromkeys(questions, self.answer)


def test_the_preflight_leaves_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "runs/new"
    fake = FakeAsk(monkeypatch, place, GOOD_ANSWER)
    preflight(place, [], [A, B])
    assert len(fake.files) == 1
    assert os.listdir(place) == []


@pytest.mark.parametrize("is_there", [False, True])
def test_a_failed_preflight_leaves_no_files(
    is_there: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "runs/new"
    if is_there:
        place.mkdir(parents=True)
    FakeAsk(monkeypatch, place, "no answer")
    with pytest.raises(ClusterError, match="no answer"):
        preflight(place, [], [A, B])
    assert [*tmp_path.rglob("*")] == ([place.parent, place] if is_there else [])


def test_outputs_that_this_machine_cannot_write(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"file/runs cannot be written \(Not a"):
        preflight(tmp_path / "file/runs", [], [A])
    with pytest.raises(StorageError, match="nonsense://x cannot be opened"):
        preflight(UrlPath("nonsense://x/y"), [], [A])


def test_an_output_that_never_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight_module, "OUTPUT_TIMEOUT_S", 0.2)
    monkeypatch.setattr(preflight_module, "_write_marker", lambda *_: time.sleep(1))
    with pytest.raises(StorageError, match=r"did not answer within 0\.2 s"):
        preflight(tmp_path, [], [A])


@pytest.mark.ray
def test_preflight_of_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ADDRESS, raising=False)
    with ray_session():
        (node,) = list_nodes()
        assert node.cores == node.free_cores == os.cpu_count()
        preflight(tmp_path / "runs", [tmp_path], [node])
        with UrlPath("memory://runs/file").open("wb") as file:
            file.write(b"")
        with pytest.raises(StorageError, match=rf"not the same .* {re.escape(node.host)} did"):
            preflight(UrlPath("memory://runs"), [], [node])  # each process has its own memory
        with pytest.raises(DataError, match=re.escape(f"{node.host}: {tmp_path}/no")):
            preflight(tmp_path / "runs", [tmp_path / "no"], [node])
        with pytest.raises(ClusterError, match="no answer within 0 s"):
            preflight(tmp_path / "runs", [], [node], deadline=0)
        gone = NodeResources("a" * 56, "gone (ip)", 1, 0, 1, 0)
        with pytest.raises(ClusterError, match=r"gone \(ip\): it has just left the cluster"):
            preflight(tmp_path / "runs", [], [node, gone])
    assert os.listdir(tmp_path / "runs") == []


@pytest.mark.ray
def test_preflight_of_a_bucket(bucket: UrlPath, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ADDRESS, raising=False)
    with ray_session():
        preflight(bucket / "new", [], list_nodes())
        with pytest.raises(OutputError, match=r"There is no s3://nowhere\. Create it first"):
            preflight(UrlPath("s3://nowhere/runs"), [], list_nodes())
    assert bucket.below() == []


PREFLIGHT = """
import sys, time
from pathlib import Path
from model_zoo.errors import StemError
from stemcli.cluster import ray_session
from stemcli.cluster.nodes import list_nodes
from trainers.cluster.preflight import preflight
place, data = map(Path, sys.argv[1:])
began = time.monotonic()
try:
    with ray_session():
        nodes = list_nodes()
        print(len(nodes), "nodes")
        preflight(place, [data], nodes)
except StemError as error:
    print(type(error).__name__, error)
print(time.monotonic() - began)
"""


@pytest.fixture
def cluster() -> Iterator[Hosts]:
    """A cluster with only the head; its sockets need a short path."""
    with tempfile.TemporaryDirectory(prefix="stem") as folder, hosts(Path(folder)) as cluster_hosts:
        cluster_hosts.add()
        yield cluster_hosts


def run_preflight(cluster: Hosts, folder: Path, data: str = "songs") -> str:
    """The result of a preflight from the head in a minute, for output and data in ``folder``."""
    command = cluster.command(1, ["-c", PREFLIGHT, str(folder / "runs"), str(folder / data)])
    env = cluster.environment
    process = subprocess.run(
        command, env=env, cwd=folder, capture_output=True, text=True, check=True, timeout=120
    )
    nodes, *result, seconds = process.stdout.splitlines()
    print(process.stdout)
    assert nodes == "2 nodes"
    assert float(seconds) < MINUTE
    assert [path for path in folder.rglob(".stem-*")] == []
    return " ".join(result)


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """Folders for runs and songs."""
    for name in ("runs", "songs"):
        (tmp_path / name).mkdir()
    return tmp_path


@pytest.mark.root
def test_two_equal_hosts(cluster: Hosts, folders: Path) -> None:
    cluster.add()
    assert run_preflight(cluster, folders) == ""


@pytest.mark.root
def test_a_host_without_our_package(
    cluster: Hosts, folders: Path, python_without_stem: str
) -> None:
    cluster.add(python_without_stem, path="/nothing")
    result = run_preflight(cluster, folders)
    assert re.fullmatch(
        rf"ClusterError {PART}: stem is not installed there\. Run there: pip .*", result
    )


@pytest.mark.root
def test_a_host_with_another_checkout(
    cluster: Hosts, folders: Path, python_without_stem: str
) -> None:
    for package in package_folders():
        shutil.copytree(package, folders / "other" / package.name, ignore=UNUSED)
    with (folders / "other/trainers/__init__.py").open("a") as file:
        file.write("CHANGED = True\n")
    cluster.add(python_without_stem, path=str(folders / "other"))
    result = run_preflight(cluster, folders)
    assert re.match(rf"ClusterError {PART}: it has stem \S+, and this machine \S+\. ", result)


@pytest.mark.root
def test_a_host_that_sees_another_output(cluster: Hosts, folders: Path) -> None:
    cluster.add(private=[folders / "runs"])
    result = run_preflight(cluster, folders)
    assert re.match(
        r"StorageError The output .* not the same place .* \S+ \(10\.77\.2\.2\) did", result
    )


@pytest.mark.root
def test_a_host_that_does_not_see_the_data(cluster: Hosts, folders: Path) -> None:
    cluster.add(private=[folders / "songs"])
    (folders / "songs/b").mkdir()
    result = run_preflight(cluster, folders, "songs/b")
    assert re.match(r"DataError Not every .* \(10\.77\.2\.2\): .*/songs/b$", result)


@pytest.mark.root
def test_a_disconnected_host(cluster: Hosts, folders: Path) -> None:
    cluster.add()
    cluster.cut(2)
    result = run_preflight(cluster, folders)
    assert re.match(rf"ClusterError {PART}: (no answer within|it has just left)", result)


PART = r"Not every machine of the cluster can take part\. \S+ \(10\.77\.2\.2\)"

UNUSED = shutil.ignore_patterns("*.safetensors", "__pycache__")
