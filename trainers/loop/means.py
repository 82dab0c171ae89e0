"""Means of what steps report."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from trainers.loop.events import StepDone

GROUPS: dict[str, Callable[[StepDone], Mapping[str, float]]] = {
    "loss": lambda step: step.losses,
    "gradient_norm": lambda step: step.gradient_norms,
    "learning_rate": lambda step: step.learning_rates,
}


def means(steps: list[StepDone], steps_per_epoch: float) -> dict[str, float]:
    """What is written of some steps in a row, at least one.

    Args:
        steps: in order.
        steps_per_epoch: 0 when nobody knows.

    Returns:
        ``loss/NAME``, ``gradient_norm/NAME`` and ``learning_rate/NAME``: means over the steps that
        had them, since an adversary comes later than the first step; ``time/seconds_per_step``;
        ``time/share_waiting_for_data`` of that time; ``time/epoch``, the number of times that all
        data was drawn, where that is known.
    """
    found = {
        f"{group}/{name}": mean
        for group, values in GROUPS.items()
        for name, mean in mean_of_each([values(step) for step in steps]).items()
    }
    seconds = sum(step.seconds for step in steps)
    waited = sum(step.waited for step in steps)
    found["time/seconds_per_step"] = seconds / len(steps)
    found["time/share_waiting_for_data"] = waited / seconds if seconds else 0.0
    if steps_per_epoch:
        found["time/epoch"] = steps[-1].step / steps_per_epoch
    return found


def mean_of_each(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Mean of each name over the rows that have it, in the order they came."""
    values: dict[str, list[float]] = {}
    for row in rows:
        for name, value in row.items():
            values.setdefault(name, []).append(value)
    return {name: sum(some) / len(some) for name, some in values.items()}
