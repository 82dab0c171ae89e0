"""Which stems of the data make a stem of the network."""

from __future__ import annotations

from collections.abc import Set

from model_zoo.errors import ConfigError, nearest
from trainers.data.groups import Groups
from trainers.data.layouts.listing import listed

RESTS = frozenset({"accompaniment", "backing", "instrumental", "music", "no_vocals", "other"})
"""Stems of networks that are the sum of whatever the others are not."""


def check_stems(stems: tuple[str, ...], groups: Groups, known: Set[str]) -> None:
    """Refuse a network whose stems the data does not have.

    Args:
        stems: those of the network.
        groups: stems of the network that are sums of stems of the data.
        known: the stems of the data.

    Raises:
        ConfigError: which stems are missing, what there is, and what to type.
    """
    mistakes = [
        f"the data has no {part}{f' for {stem}' if part != stem else ''}"
        for stem in stems
        for part in groups.get(stem, (stem,))
        if part not in known
    ]
    if mistakes:
        hints = _hints(stems, groups, known)
        there = f"found {listed(sorted(known)) or 'no stems'}"
        advice = f"Type {' '.join(hints)}" if hints else "Name stems of the data, or other data"
        raise ConfigError("stems of the network", [*mistakes, f"{there}. {advice}"])


def unused_groups(stems: tuple[str, ...], groups: Groups) -> list[str]:
    """A note for every group of a stem that the network does not have."""
    return [
        f"data.groups.{name} is not used: the network has {', '.join(stems)}"
        for name in groups
        if stems and name not in stems
    ]


def _hints(stems: tuple[str, ...], groups: Groups, known: Set[str]) -> list[str]:
    """A group for every stem that resembles one of the data, or is the rest of it."""
    used = {part for stem in stems for part in groups.get(stem, (stem,))}
    free = sorted(known - used)
    unknown = [stem for stem in stems if not {*groups.get(stem, (stem,))} <= known]
    found = {stem: _group(stem, free) for stem in unknown}
    return [
        f"--set data.groups.{stem}=[{','.join(group)}]" for stem, group in found.items() if group
    ]


def _group(stem: str, free: list[str]) -> list[str]:
    near = nearest(stem, free)
    if near:
        return [near]
    return free if stem in RESTS else []
