"""The device pool. Expected: the threads that ran the work and their core counts."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from stemcli.engine.device_pool import DevicePool
from stemcli.engine.ensemble import Ensemble
from stemcli.engine.models import LoadedModel
from tests.stemcli.engine.stubs import Stub, ensemble


@pytest.fixture
def net() -> Ensemble:
    return ensemble(LoadedModel("net", Stub()))


def test_one_device_runs_one_task_at_a_time_in_one_thread(net: Ensemble) -> None:
    pool, running, counts, threads = DevicePool([net]), [], [], set()

    def work(found: Ensemble) -> None:
        running.append(found)
        counts.append(len(running))
        threads.add(threading.get_ident())
        running.pop()

    with ThreadPoolExecutor(8) as songs:
        for future in [songs.submit(pool.run, work) for _ in range(64)]:
            future.result()
    assert set(counts) == {1}
    assert len(threads) == 1


def test_two_devices_run_in_parallel_and_share_the_cores(
    net: Ensemble, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    thread_counts: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", thread_counts.append)
    barrier, pool = threading.Barrier(2), DevicePool([net, net])
    with ThreadPoolExecutor(2) as songs:
        for future in [songs.submit(pool.run, lambda _: barrier.wait(30)) for _ in range(2)]:
            future.result()
    assert thread_counts == [2, 2]


def test_a_device_is_released_after_an_error(net: Ensemble) -> None:
    def breaks(ensemble_: Ensemble) -> None:
        raise ValueError("bad song")

    pool = DevicePool([net])
    for _ in range(2):
        with pytest.raises(ValueError, match="bad song"):
            pool.run(breaks)
