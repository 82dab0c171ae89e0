"""What happens to the workers of a run on a cluster, in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from stemcli.cli.words import counted
from trainers.cluster.events import (
    CrewAwaited,
    CrewEvent,
    CrewLeft,
    CrewLost,
    CrewPaused,
    CrewStarted,
    CrewStarting,
)

MOST_NAMED = 8
"""Machines that are named; of more only their number is told."""


def crew_line(event: CrewEvent) -> str:
    """One line about the workers; empty where there is nothing to say."""
    line = ""
    match event:
        case CrewStarted():
            began = "Training" if event.attempt == 1 else "Going on"
            line = f"{began} with {counted(len(event.hosts), 'worker')} on {hosts(event.hosts)}"
        case CrewLost():
            which = ", ".join(str(rank + 1) for rank in event.ranks)
            lost = f"worker{'' if len(event.ranks) == 1 else 's'} {which}"
            line = f"Lost {lost} ({event.reason}); going on from the last checkpoint"
        case CrewAwaited():
            line = f"Waiting: there is room for {event.room} of {counted(event.wanted, 'worker')}"
        case CrewStarting():
            line = (
                f"The workers have been starting for {event.seconds} s. If they do not come "
                "together, a firewall may stand between them: see docs/clusters.md"
            )
        case CrewPaused():
            line = f"Saved after step {event.step}, to go on with another number of workers"
        case CrewLeft():
            line = "" if event.finished else f"Saved after step {event.step}"
    return line


def hosts(names: Sequence[str]) -> str:
    """Machines, each once, with the number of its workers where it has several."""
    counts = Counter(names)
    if len(counts) > MOST_NAMED:
        return f"{len(counts)} machines"
    return ", ".join(name if n == 1 else f"{name} ({n})" for name, n in counts.items())
