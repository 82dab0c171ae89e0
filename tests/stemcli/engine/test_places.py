"""Places for networks. Truth: which threads did the work, and with how many cores."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from stemcli.engine.ensemble import Ensemble
from stemcli.engine.models import LoadedModel
from stemcli.engine.session import DevicePool
from tests.stemcli.engine.stubs import Stub, ensemble


@pytest.fixture
def net() -> Ensemble:
    return ensemble(LoadedModel("net", Stub()))


def test_one_place_does_one_work_at_a_time_always_in_the_same_thread(net: Ensemble) -> None:
    places, inside, most, threads = DevicePool([net]), [], [], set()

    def work(found: Ensemble) -> None:
        inside.append(found)
        most.append(len(inside))
        threads.add(threading.get_ident())
        inside.pop()

    with ThreadPoolExecutor(8) as songs:
        for future in [songs.submit(places.run, work) for _ in range(64)]:
            future.result()
    assert set(most) == {1}
    assert len(threads) == 1


def test_two_places_work_together_and_share_the_cores(
    net: Ensemble, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    given: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", given.append)
    together, places = threading.Barrier(2), DevicePool([net, net])
    with ThreadPoolExecutor(2) as songs:
        for future in [songs.submit(places.run, lambda _: together.wait(30)) for _ in range(2)]:
            future.result()
    assert given == [2, 2]


def test_a_place_is_free_again_after_an_error(net: Ensemble) -> None:
    def breaks(found: Ensemble) -> None:
        raise ValueError("bad song")

    places = DevicePool([net])
    for _ in range(2):
        with pytest.raises(ValueError, match="bad song"):
            places.run(breaks)
