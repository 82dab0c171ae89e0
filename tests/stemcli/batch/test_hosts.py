"""A cluster loses a host during a run and gets another.

Reference: an undisturbed run over the same songs on this machine, and the journal's counters.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.stemcli.batch.hosts import Hosts, hosts
from tests.stemcli.batch.library import SONGS, batch_arguments, entries, files, make_library, start

SECONDS = 4
"""Length of the shortest song, so that a run outlasts the detection of a dead host."""

FINISHED = 10
"""Number of finished songs after which the host is disconnected."""


@pytest.fixture
def cluster() -> Iterator[Hosts]:
    """A head and one more host, with one core each; socket paths must be short."""
    with tempfile.TemporaryDirectory(prefix="stem") as folder, hosts(Path(folder)) as hosts_:
        hosts_.add()
        hosts_.add()
        yield hosts_


@pytest.mark.root
def test_a_disconnected_host_is_replaced_by_a_new_one(
    cluster: Hosts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = make_library(tmp_path, monkeypatch, seconds=SECONDS)
    start(library, tmp_path / "calm").communicate()
    expected, out = files(tmp_path / "calm"), tmp_path / "out"
    assert len(expected) == 2 * SONGS
    started, counts = time.monotonic(), Counter[str]()
    for event in run(cluster, batch_arguments(library, out, "--cluster")):
        kind = event["event"]
        counts[kind] += 1
        if kind.startswith("worker"):
            print(f"{time.monotonic() - started:.1f} s: {event}")
        if kind == "track_finished" and counts[kind] == FINISHED:
            print(f"{time.monotonic() - started:.1f} s: host 2 is cut off, host 3 is started")
            cluster.cut(2)
            cluster.add()
    print(f"{SONGS} songs in {time.monotonic() - started:.1f} s")
    assert (counts["worker_joined"], counts["worker_lost"]) == (3, 1)
    assert files(out) == expected
    assert [entry.finished for entry in entries(library, out)] == [1] * SONGS


def run(cluster: Hosts, command: list[str]) -> Iterator[dict[str, Any]]:
    """The events of a run on the head host."""
    on_head, env = cluster.command(1, command), cluster.environment
    with subprocess.Popen(on_head, env=env, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield from map(json.loads, process.stdout)
    assert process.returncode == 0
