"""Joining a cluster. Truth: the words of the refusals; a real cluster is joined in test_hosts."""

from __future__ import annotations

import io
import sys
import threading

import pytest

from model_zoo.errors import ClusterError
from stemcli.cluster import ADDRESS, _quiet, joined


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("127.0.0.1:1", r"Nobody answers at .* start the cluster there with: ray"),
        ("ray://somewhere:10001", "RAY_ADDRESS=auto"),
        ("nonsense", r"at nonsense cannot be joined .* Check RAY_ADDRESS"),
        ("localhost:999999", "Nobody answers at localhost:999999"),
    ],
)
def test_a_cluster_that_cannot_be_joined_is_one_sentence(
    address: str, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ADDRESS, address)
    with pytest.raises(ClusterError, match=sentence), joined():
        pass


def test_what_threads_of_ray_print_is_not_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    heard = io.StringIO()
    monkeypatch.setattr(sys, "stdout", heard)
    with _quiet():
        print("ours")
        thread = threading.Thread(target=print, args=("theirs",), name="ray_listen")
        thread.start()
        thread.join()
        assert not sys.stdout.isatty()
    assert heard.getvalue() == "ours\n"
    assert sys.stdout is heard
