"""Work in other threads. Truth: the order and number of what was done, step by step."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from stemcli.engine.background import BackgroundWriters, Prefetcher

PATIENCE = 30
"""Seconds after which a thread that should have come is missing."""


def test_items_come_in_order_and_end() -> None:
    with Prefetcher(iter(range(100))) as items:
        assert list(items) == list(range(100))
        assert list(items) == []


def test_items_are_made_before_they_are_asked_for_but_not_all() -> None:
    made: list[int] = []
    three = threading.Event()

    def count() -> Iterator[int]:
        for item in range(100):
            made.append(item)
            if item == 2:
                three.set()
            yield item

    with Prefetcher(count(), depth=3) as items:
        assert three.wait(PATIENCE)
        assert made == [0, 1, 2]
        assert next(items) == 0
    assert len(made) <= 4


def test_what_the_source_raises_comes_in_its_place() -> None:
    def breaks() -> Iterator[int]:
        yield 1
        raise ValueError("second")

    with Prefetcher(breaks()) as items:
        assert next(items) == 1
        with pytest.raises(ValueError, match="second"):
            next(items)


def test_every_hand_does_its_part_in_order() -> None:
    done: list[list[int]] = [[], []]
    with BackgroundWriters(2) as hands:
        for piece in range(50):
            hands.submit(lambda hand, piece=piece: done[hand].append(piece))  # type: ignore[misc]
        hands.wait()
    assert done == [list(range(50))] * 2


def test_work_waits_when_too_much_is_undone() -> None:
    """Of three pieces one may be undone, so the third is only taken when the first two are done."""
    go, taken = threading.Event(), []

    def give(hands: BackgroundWriters) -> None:
        for piece in range(3):
            hands.submit(lambda hand: go.wait(PATIENCE) and None)
            taken.append(piece)

    with BackgroundWriters(1, depth=1) as hands:
        giver = threading.Thread(target=give, args=(hands,))
        giver.start()
        giver.join(0.1)
        assert taken == [0]
        go.set()
        giver.join(PATIENCE)
        assert taken == [0, 1, 2]


def test_what_work_raises_is_raised_by_the_next() -> None:
    def breaks(hand: int) -> None:
        raise ValueError("full")

    with BackgroundWriters(1) as hands:
        hands.submit(breaks)
        with pytest.raises(ValueError, match="full"):
            hands.wait()
