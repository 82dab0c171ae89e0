"""Batches. Truth: the clips themselves, drawn one by one; what a process says of itself."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from model_zoo.errors import ConfigError, DecodeError, StemError, UnknownNameError
from trainers.data.clips import Clips, numbers
from trainers.data.loading import load_batches


class Counting(Clips):
    """Clip ``i`` holds ``i`` in its mixture, and in its stem what ``tell`` says of the process."""

    stems = ("vocals",)
    epoch = 10

    def __init__(self, tell: Callable[[int], int] = lambda index: -index) -> None:
        self.tell = tell

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return torch.full((2, 3), float(index)), torch.full((1, 2, 3), float(self.tell(index)))


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("rank", [0, 1])
def test_batches_are_the_clips_of_their_numbers(workers: int, rank: int) -> None:
    batches = list(load_batches(Counting(), 3, 6, 2, workers, rank, world_size=2))
    drawn = [float(clip[0, 0]) for mixture, _ in batches for clip in mixture]
    assert drawn == list(numbers(3, 6, 2, rank, 2))
    assert [stems.shape for _, stems in batches] == 3 * [(2, 1, 2, 3)]
    assert all(stems[0, 0, 0, 0] == -mixture[0, 0, 0] for mixture, stems in batches)


def one_thread_each(_: int) -> int:
    return torch.get_num_threads()


def process(_: int) -> int:
    return os.getpid() % 100_000


def test_helpers_have_one_thread_each() -> None:
    batches = load_batches(Counting(one_thread_each), 0, 4, 1, workers=2)
    assert {float(stems.max()) for _, stems in batches} == {1.0}
    helpers = {float(stems.max()) for _, stems in load_batches(Counting(process), 0, 8, 1, 2)}
    assert len(helpers) == 2
    assert float(process(0)) not in helpers


ERRORS = [
    DecodeError("song.wav is damaged: copy it again"),
    ConfigError("data", ["one mistake", "another"]),
    UnknownNameError("stem", "vocal", ["vocals"]),
]


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("error", ERRORS)
def test_an_error_of_a_clip_arrives_as_its_own_sentence(workers: int, error: StemError) -> None:
    """Also those that are made from several arguments; and what came before it arrives first."""

    def fail(index: int) -> int:
        if index == 5:
            raise error
        return index

    batches = load_batches(Counting(fail), 0, 9, 2, workers)
    assert [float(next(batches)[0].max()) for _ in range(2)] == [1, 3]
    with pytest.raises(type(error)) as arrived:
        next(batches)
    assert type(arrived.value) is type(error)
    assert str(arrived.value) == str(error)


def test_a_helper_that_was_ended_is_told_in_a_sentence() -> None:
    def die(index: int) -> int:
        os.kill(os.getpid(), signal.SIGKILL)
        return index

    with pytest.raises(StemError, match=r"was killed.*--set loop\.num_workers=0") as arrived:
        list(load_batches(Counting(die), 0, 2, 1, workers=1))
    assert "\n" not in str(arrived.value)


def test_no_more_helpers_start_than_there_are_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainers.data.loading.cores", lambda: 1)
    batches = load_batches(Counting(process), 0, 8, 1, workers=3)
    assert len({float(stems.max()) for _, stems in batches}) == 1


def test_our_own_mistakes_stay_tracebacks() -> None:
    def fail(index: int) -> int:
        raise RuntimeError("a mistake in the program")

    with pytest.raises(RuntimeError, match="a mistake in the program"):
        list(load_batches(Counting(fail), 0, 2, 1, workers=0))
