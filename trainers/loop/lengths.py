"""Whether the shortest clips of a run are long enough, found out before anything is written."""

from __future__ import annotations

from collections.abc import Callable

import torch

from model_zoo.errors import ConfigError
from stemcli.engine.network import is_out_of_memory
from trainers.data.clips import ClipPlan
from trainers.loop.state import TrainState
from trainers.loop.steps import Task
from trainers.objectives.batch import Batch
from trainers.objectives.contract import Pair

LONGEST_HINT = 60.0
"""Seconds after which no length is tried any more."""


def require_long_clips(state: TrainState, task: Task) -> None:
    """Let the network, its losses and its discriminators take one silent clip of every length.

    Nothing learns from it, and no random number of the run is used up.

    Raises:
        ConfigError: a clip is too short for one of them; the sentence says how long is enough.
    """
    rate = state.separator.sample_rate
    plan = ClipPlan.of(task.recipe, rate)
    shortest = min(shape.length for shape in (*(shape for _, shape in plan.stages), plan.last))
    device = next(state.separator.parameters()).device
    generators = [device] if device.type == "cuda" else []
    with torch.no_grad(), torch.random.fork_rng(generators):
        state.separator.eval()
        try:
            pair = _tried(
                lambda length: _estimate(state, task, length), shortest, rate, "the network"
            )
            task.objective(pair)
            if state.discriminator:
                _tried(lambda length: _judge(state, task, length), shortest, rate, "discriminators")
        finally:
            state.separator.train()


def _estimate(state: TrainState, task: Task, length: int) -> Pair:
    device = next(state.separator.parameters()).device
    stems = torch.zeros(1, len(state.separator.stems), 2, length, device=device)
    return task.estimate(state.model, Batch(stems[:, 0], stems))


def _judge(state: TrainState, task: Task, length: int) -> Pair:
    assert state.discriminator, "asked for only with discriminators"
    pair = _estimate(state, task, length)
    with state.discriminator.frozen() as frozen, task.autocast(pair[0]):
        task.adversary.model_losses(frozen, pair)
    return pair


def _tried(attempt: Callable[[int], Pair], length: int, rate: int, who: str) -> Pair:
    """What ``attempt`` gives of ``length`` samples."""
    try:
        return attempt(length)
    except (RuntimeError, ValueError) as error:
        enough = None if _is_memory(error) else _enough(attempt, length, rate)
        if enough is None:
            raise
        raise ConfigError(
            "data.seconds",
            [
                f"clips of {length / rate:.3g} s are too short for {who}. "
                f"Type: --set data.seconds={enough / rate:.3g} (or longer stages)"
            ],
        ) from error


def _enough(attempt: Callable[[int], Pair], length: int, rate: int) -> int | None:
    """Twice as long until it does; None where length is not what is wrong."""
    length = max(2 * length, rate // 100)
    while length < LONGEST_HINT * rate:
        try:
            attempt(length)
        except (RuntimeError, ValueError) as error:
            if _is_memory(error):
                return None
            length *= 2
        else:
            return length
    return None


def _is_memory(error: Exception) -> bool:
    return isinstance(error, RuntimeError) and is_out_of_memory(error)
