"""Batches of clips, compared with the single clips."""

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
    """Clips with ``i`` in the mixture of clip ``i``, and ``stem_value(i)`` in its stem."""

    stems = ("vocals",)
    epoch = 10

    def __init__(self, stem_value: Callable[[int], int] = lambda index: -index) -> None:
        self.stem_value = stem_value

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return torch.full((2, 3), float(index)), torch.full(
            (1, 2, 3), float(self.stem_value(index))
        )


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("rank", [0, 1])
def test_batches_are_the_numbered_clips(workers: int, rank: int) -> None:
    batches = list(load_batches(Counting(), 3, 6, 2, workers, rank, world_size=2))
    drawn = [float(clip[0, 0]) for mixture, _ in batches for clip in mixture]
    assert drawn == list(numbers(3, 6, 2, rank, 2))
    assert [stems.shape for _, stems in batches] == 3 * [(2, 1, 2, 3)]
    assert all(stems[0, 0, 0, 0] == -mixture[0, 0, 0] for mixture, stems in batches)


def number_of_threads(_: int) -> int:
    return torch.get_num_threads()


def process_number(_: int) -> int:
    return os.getpid() % 100_000


def test_workers_have_one_thread_each() -> None:
    batches = load_batches(Counting(number_of_threads), 0, 4, 1, workers=2)
    assert {float(stems.max()) for _, stems in batches} == {1.0}
    worker_processes = {
        float(stems.max()) for _, stems in load_batches(Counting(process_number), 0, 8, 1, 2)
    }
    assert len(worker_processes) == 2
    assert float(process_number(0)) not in worker_processes


ERRORS = [
    DecodeError("song.wav is damaged: copy it again"),
    ConfigError("data", ["one mistake", "another"]),
    UnknownNameError("stem", "vocal", ["vocals"]),
]


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("error", ERRORS)
def test_errors_of_clips_keep_their_type_and_message(workers: int, error: StemError) -> None:
    """This includes errors with several arguments; earlier batches arrive first."""

    def fail(index: int) -> int:
        if index == 5:
            raise error
        return index

    batches = load_batches(Counting(fail), 0, 9, 2, workers)
    assert [float(next(batches)[0].max()) for _ in range(2)] == [1, 3]
    with pytest.raises(type(error)) as caught:
        next(batches)
    assert type(caught.value) is type(error)
    assert str(caught.value) == str(error)


def test_a_killed_worker_is_one_message() -> None:
    def kill_self(index: int) -> int:
        os.kill(os.getpid(), signal.SIGKILL)
        return index

    with pytest.raises(StemError, match=r"was killed.*--set loop\.num_workers=0") as caught:
        list(load_batches(Counting(kill_self), 0, 2, 1, workers=1))
    assert "\n" not in str(caught.value)


def test_there_are_at_most_as_many_workers_as_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainers.data.loading.cores", lambda: 1)
    batches = load_batches(Counting(process_number), 0, 8, 1, workers=3)
    assert len({float(stems.max()) for _, stems in batches}) == 1


def test_bugs_keep_their_traceback() -> None:
    def fail(index: int) -> int:
        raise RuntimeError("a mistake in the program")

    with pytest.raises(RuntimeError, match="a mistake in the program"):
        list(load_batches(Counting(fail), 0, 2, 1, workers=0))
