"""Checks of all nodes before a run.

Truth: the words of the refusals for answers written by hand; Ray on this machine; and hosts that
see or have something else, of which one holds no copy of our package at all.
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

GOOD: dict[str, Any] = {
    "stem": version(),
    "lacking": [],
    "missing": [],
    "blind": False,
    "refusal": "",
}


@pytest.mark.parametrize(
    ("change", "error", "sentence"),
    [
        ({"stem": ""}, ClusterError, r"take part. b \(ip\): stem is not installed there. Run the"),
        ({"stem": "0.0.1+abc"}, ClusterError, r"b \(ip\): it has stem 0.0.1\+abc, and this mac.*"),
        ({"lacking": ["torch", "pyarrow"]}, ClusterError, "torch, pyarrow not installed there. Ru"),
        ({"missing": ["/x", "/y"]}, DataError, r"Missing on: b \(ip\): /x, /y"),
        ({"blind": True}, StorageError, r"not the same place on all machines: b \(ip\) did not se"),
        ({"refusal": "Read-only"}, StorageError, r"Refused on b \(ip\): Read-only"),
    ],
)
def test_every_obstacle_is_one_sentence(
    change: dict[str, Any], error: type[StemError], sentence: str
) -> None:
    with pytest.raises(error, match=sentence):
        check_answers({A: GOOD, B: GOOD | change, C: GOOD}, Path("/runs"))


def test_machines_with_the_same_trouble_are_named_together() -> None:
    with pytest.raises(
        ClusterError, match=r"part. a \(ip\), c \(ip\): no answer; b \(ip\): stem is"
    ):
        check_answers({A: "no answer", B: GOOD | {"stem": ""}, C: "no answer"}, Path("/runs"))


def test_nodes_without_an_obstacle_pass() -> None:
    check_answers({A: GOOD, B: GOOD}, Path("/runs"))


@pytest.fixture
def stemless(tmp_path: Path) -> str:
    """A Python with Ray and the packages beside it, but without ours."""
    venv.create(tmp_path / "bare", with_pip=False, symlinks=True)
    (packages,) = tmp_path.glob("bare/lib/python*/site-packages")
    (packages / "others.pth").write_text(str(Path(ray.__file__).parents[1]))
    return str(tmp_path / "bare/bin/python")


def test_the_code_travels_without_our_package(stemless: str) -> None:
    with _by_value():
        sent = cloudpickle.dumps(describe_node)
    code = "import pickle, sys; print(pickle.load(sys.stdin.buffer)('1+a', [], '/', 'm', 'o'))"
    done = subprocess.run([stemless, "-I", "-c", code], input=sent, capture_output=True, check=True)
    expected = GOOD | {"stem": ""}
    assert done.stdout.decode().strip() == str(expected)
    by_name = cloudpickle.dumps(describe_node)
    assert len(by_name) < 99 < len(sent)


def test_a_place_is_looked_at_and_left_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "mark").touch()
    paths = [str(tmp_path), str(tmp_path / "no")]
    answer = describe_node(version(), paths, str(tmp_path), "mark", "own")
    assert answer == GOOD | {"missing": [str(tmp_path / "no")]}
    assert os.listdir(tmp_path) == ["mark"]


def test_another_version_looks_at_nothing() -> None:
    assert describe_node("1+a", ["/no"], "/no", "mark", "own") == GOOD


def test_another_place_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight_module, "VISIBLE_S", 0.3)
    assert describe_node(version(), [], str(tmp_path), "mark", "own") == GOOD | {"blind": True}


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "mark").touch()
    answer = describe_node(version(), [], str(tmp_path), "mark", "no folder/own")
    assert answer == GOOD | {"refusal": "No such file or directory"}


def test_a_url_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight_module, "VISIBLE_S", 0.3)
    place = UrlPath("memory://looked/at")
    assert describe_node(version(), [], str(place), "mark", "own") == GOOD | {"blind": True}
    with (place / "mark").open("wb") as file:
        file.write(b"")
    assert describe_node(version(), [], str(place), "mark", "own") == GOOD
    assert [path.name for path in place.iterdir()] == ["mark"]
    refusal = describe_node(version(), [], "nonsense://x", "mark", "own")["refusal"]
    assert refusal.startswith("nonsense://x cannot be opened")


class Questions:
    """In the place of Ray: what was there while the machines were asked."""

    def __init__(self, patch: pytest.MonkeyPatch, folder: Path, answer: Any) -> None:
        self.folder, self.answer = folder, answer
        self.seen: list[str] = []
        patch.setattr(preflight_module, "_ask", self.ask)

    def ask(
        self, questions: dict[NodeResources, tuple[Any, ...]], deadline: float
    ) -> dict[NodeResources, Any]:
        self.seen = [*os.listdir(self.folder)]
        for _, _, place, mark, own in questions.values():
            assert mark in self.seen
            (Path(place) / own).touch()  # as a machine that was ended in the middle
        return dict.fromkeys(questions, self.answer)


def test_nothing_stays_in_the_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "runs/new"
    asked = Questions(monkeypatch, place, GOOD)
    preflight(place, [], [A, B])
    assert len(asked.seen) == 1
    assert os.listdir(place) == []


@pytest.mark.parametrize("is_there", [False, True])
def test_a_refusal_leaves_everything_as_it_was(
    is_there: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "runs/new"
    if is_there:
        place.mkdir(parents=True)
    Questions(monkeypatch, place, "no answer")
    with pytest.raises(ClusterError, match="no answer"):
        preflight(place, [], [A, B])
    assert [*tmp_path.rglob("*")] == ([place.parent, place] if is_there else [])


def test_a_place_that_this_machine_cannot_write(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"file/runs cannot be written \(Not a"):
        preflight(tmp_path / "file/runs", [], [A])
    with pytest.raises(StorageError, match="nonsense://x cannot be opened"):
        preflight(UrlPath("nonsense://x/y"), [], [A])


def test_a_place_that_never_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight_module, "OUTPUT_TIMEOUT_S", 0.2)
    monkeypatch.setattr(preflight_module, "_write_marker", lambda *_: time.sleep(1))
    with pytest.raises(StorageError, match=r"did not answer within 0\.2 s"):
        preflight(tmp_path, [], [A])


@pytest.mark.ray
def test_this_machine_can_take_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
def test_machines_write_to_a_bucket(bucket: UrlPath, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ADDRESS, raising=False)
    with ray_session():
        preflight(bucket / "new", [], list_nodes())
        with pytest.raises(OutputError, match=r"There is no s3://nowhere\. Create it first"):
            preflight(UrlPath("s3://nowhere/runs"), [], list_nodes())
    assert bucket.below() == []


ASK = """
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
    """The head; sockets want a short path."""
    with tempfile.TemporaryDirectory(prefix="stem") as folder, hosts(Path(folder)) as made:
        made.add()
        yield made


def ask(cluster: Hosts, folder: Path, data: str = "songs") -> str:
    """What the head says in a minute of a cluster, of its output and data in ``folder``."""
    command = cluster.command(1, ["-c", ASK, str(folder / "runs"), str(folder / data)])
    env = cluster.environment
    done = subprocess.run(
        command, env=env, cwd=folder, capture_output=True, text=True, check=True, timeout=120
    )
    nodes, *said, seconds = done.stdout.splitlines()
    print(done.stdout)
    assert nodes == "2 nodes"
    assert float(seconds) < MINUTE
    assert [path for path in folder.rglob(".stem-*")] == []
    return " ".join(said)


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """Where runs are written, and songs."""
    for name in ("runs", "songs"):
        (tmp_path / name).mkdir()
    return tmp_path


@pytest.mark.root
def test_two_hosts_that_are_alike(cluster: Hosts, folders: Path) -> None:
    cluster.add()
    assert ask(cluster, folders) == ""


@pytest.mark.root
def test_a_host_without_our_package(cluster: Hosts, folders: Path, stemless: str) -> None:
    cluster.add(stemless, path="/nothing")
    said = ask(cluster, folders)
    assert re.fullmatch(rf"ClusterError {PART}: stem is not installed there\. Type .*", said)


@pytest.mark.root
def test_a_host_with_another_checkout(cluster: Hosts, folders: Path, stemless: str) -> None:
    for package in package_folders():
        shutil.copytree(package, folders / "other" / package.name, ignore=UNUSED)
    with (folders / "other/trainers/__init__.py").open("a") as file:
        file.write("CHANGED = True\n")
    cluster.add(stemless, path=str(folders / "other"))
    said = ask(cluster, folders)
    assert re.match(rf"ClusterError {PART}: it has stem \S+, and this machine \S+\. ", said)


@pytest.mark.root
def test_a_host_that_sees_another_output(cluster: Hosts, folders: Path) -> None:
    cluster.add(private=[folders / "runs"])
    said = ask(cluster, folders)
    assert re.match(
        r"StorageError The output .* not the same place .* \S+ \(10\.77\.2\.2\) did", said
    )


@pytest.mark.root
def test_a_host_that_does_not_see_the_data(cluster: Hosts, folders: Path) -> None:
    cluster.add(private=[folders / "songs"])
    (folders / "songs/b").mkdir()
    said = ask(cluster, folders, "songs/b")
    assert re.match(r"DataError Not every .* \(10\.77\.2\.2\): .*/songs/b$", said)


@pytest.mark.root
def test_a_host_that_was_cut_off(cluster: Hosts, folders: Path) -> None:
    cluster.add()
    cluster.cut(2)
    said = ask(cluster, folders)
    assert re.match(rf"ClusterError {PART}: (no answer within|it has just left)", said)


PART = r"Not every machine of the cluster can take part\. \S+ \(10\.77\.2\.2\)"

UNUSED = shutil.ignore_patterns("*.safetensors", "__pycache__")
