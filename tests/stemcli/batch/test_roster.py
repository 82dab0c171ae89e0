"""Handing out songs. Truth: small cases worked by hand."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from model_zoo.errors import ClusterError
from stemcli.batch.roster import Hand, Roster


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as threads:
        yield threads


def waiting(pool: ThreadPoolExecutor, roster: Roster[str], *sizes: int) -> list[Future[Hand[str]]]:
    """Threads that ask for a worker, in this order."""
    asked = []
    for size in sizes:
        asked.append(pool.submit(roster.take, size))
        while roster.waiting < len(asked):
            pass
    return asked


def test_songs_are_spread_before_anybody_holds_two() -> None:
    roster = Roster[str]()
    roster.add("a", rooms=3)
    roster.add("b", rooms=3)
    assert [roster.take(1).worker for _ in range(6)] == ["a", "b"] * 3


def test_the_largest_song_goes_first_and_of_equals_the_one_that_came_first(
    pool: ThreadPoolExecutor,
) -> None:
    roster = Roster[str]()
    asked = waiting(pool, roster, 1, 5, 3, 5)
    for number, expected in enumerate((1, 3, 2, 0)):
        roster.add(f"worker {number}", rooms=1)
        assert asked[expected].result(5).worker == f"worker {number}"


def test_a_room_that_is_left_is_taken_by_the_next(pool: ThreadPoolExecutor) -> None:
    roster = Roster[str]()
    roster.add("a", rooms=1)
    first = roster.take(1)
    (asked,) = waiting(pool, roster, 1)
    roster.give_back(first)
    assert asked.result(5).worker == "a"


def test_a_song_that_was_not_begun_is_called_back_for_whoever_has_less_to_do() -> None:
    roster = Roster[str]()
    roster.add("busy", rooms=3)
    hands = [roster.take(1) for _ in range(3)]
    hands[0].begun = True
    assert roster.calls() == []  # nobody else is there
    roster.add("idle", rooms=3)
    assert roster.calls() == [hands[2]]
    assert roster.calls() == [hands[1]]
    assert roster.calls() == []
    roster.give_back(hands[2])
    assert roster.take(1).worker == "idle"


def test_nothing_is_called_back_for_a_difference_of_one() -> None:
    roster = Roster[str]()
    roster.add("a", rooms=3)
    hands = [roster.take(1), roster.take(1)]
    roster.add("b", rooms=3)
    roster.take(1)
    assert len(hands) == 2
    assert roster.calls() == []


def test_nothing_is_called_back_while_songs_wait(pool: ThreadPoolExecutor) -> None:
    roster = Roster[str]()
    roster.add("busy", rooms=3)
    hands = [roster.take(1) for _ in range(3)]
    asked = waiting(pool, roster, 1)
    assert roster.calls() == []
    roster.give_back(hands[0])
    assert asked[0].result(5).worker == "busy"


def test_who_wants_a_worker_for_himself_comes_first_and_waits_until_one_is_free(
    pool: ThreadPoolExecutor,
) -> None:
    roster = Roster[str]()
    roster.add("a", rooms=3)
    held = [roster.take(1), roster.take(1)]
    alone = pool.submit(roster.take, 1, alone=True)
    while roster.waiting < 1:
        pass
    other = pool.submit(roster.take, 9)
    while roster.waiting < 2:
        pass
    roster.give_back(held[0])
    assert not alone.done()
    roster.give_back(held[1])
    hand = alone.result(5)
    assert hand.alone
    assert not other.done()
    roster.give_back(hand)
    assert other.result(5).worker == "a"


def test_a_worker_that_is_gone_gets_nothing() -> None:
    roster = Roster[str]()
    roster.add("gone", rooms=1)
    roster.add("there", rooms=1)
    hand = roster.take(1)
    assert hand.worker == "gone"
    assert roster.remove("gone")
    assert not roster.remove("gone")
    roster.give_back(hand)
    assert roster.take(1).worker == "there"


@pytest.mark.parametrize(
    ("reason", "raised"), [(None, KeyboardInterrupt), (ClusterError("no"), ClusterError)]
)
def test_when_it_closes_all_who_wait_are_sent_away(
    reason: ClusterError | None, raised: type[BaseException], pool: ThreadPoolExecutor
) -> None:
    roster = Roster[str]()
    asked = waiting(pool, roster, 1, 2)
    roster.close(reason)
    for each in asked:
        with pytest.raises(raised):
            each.result(5)
    with pytest.raises(raised):
        roster.take(1)


def test_many_threads_never_exceed_the_rooms() -> None:
    roster, most = Roster[str](), [0]
    roster.add("a", rooms=2)
    roster.add("b", rooms=1)
    count, lock = [0], threading.Lock()

    def work(size: int) -> None:
        hand = roster.take(size)
        with lock:
            count[0] += 1
            most[0] = max(most[0], count[0])
        with lock:
            count[0] -= 1
        roster.give_back(hand)

    with ThreadPoolExecutor(16) as threads:
        list(threads.map(work, range(300)))
    assert 1 <= most[0] <= 3
