"""A cluster that loses a host in the middle and gets another.

Truth: an undisturbed run over the same songs on this machine, and the counters of the journal.
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
from tests.stemcli.batch.library import SONGS, entries, files, make_library, start, words

SECONDS = 4
"""Of the shortest song: a run lasts longer than it takes to miss a host."""

FINISHED = 10
"""Songs after which the host is cut off."""


@pytest.fixture
def cluster() -> Iterator[Hosts]:
    """A head and one more host, of one core each; sockets want a short path."""
    with tempfile.TemporaryDirectory(prefix="stem") as folder, hosts(Path(folder)) as made:
        made.add()
        made.add()
        yield made


@pytest.mark.root
def test_a_host_is_cut_off_and_another_comes(
    cluster: Hosts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = make_library(tmp_path, monkeypatch, seconds=SECONDS)
    start(library, tmp_path / "calm").communicate()
    calm, out = files(tmp_path / "calm"), tmp_path / "out"
    assert len(calm) == 2 * SONGS
    began, told = time.monotonic(), Counter[str]()
    for event in run(cluster, words(library, out, "--cluster")):
        kind = event["event"]
        told[kind] += 1
        if kind.startswith("worker"):
            print(f"{time.monotonic() - began:.1f} s: {event}")
        if kind == "track_finished" and told[kind] == FINISHED:
            print(f"{time.monotonic() - began:.1f} s: host 2 is cut off, host 3 is started")
            cluster.cut(2)
            cluster.add()
    print(f"{SONGS} songs in {time.monotonic() - began:.1f} s")
    assert (told["worker_joined"], told["worker_lost"]) == (3, 1)
    assert files(out) == calm
    assert [entry.finished for entry in entries(library, out)] == [1] * SONGS


def run(cluster: Hosts, command: list[str]) -> Iterator[dict[str, Any]]:
    """The events of a run on the head."""
    on_head, env = cluster.command(1, command), cluster.environment
    with subprocess.Popen(on_head, env=env, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield from map(json.loads, process.stdout)
    assert process.returncode == 0
