"""Which stems of the data make a stem of the network."""

from __future__ import annotations

from collections.abc import Set

from model_zoo.errors import ConfigError, nearest
from trainers.config import VoxaugRecipe
from trainers.data.groups import Groups
from trainers.data.layouts.listing import listed

WELL_KNOWN = frozenset(
    [
        *("accompaniment", "backing", "backing_vocals", "bass", "drums", "effects", "guitar"),
        *("instrumental", "keys", "lead_vocals", "music", "other", "percussion", "piano", "sfx"),
        *("speech", "strings", "synth", "vocals", "voice", "wind"),
    ]
)
"""Names that are stems rather than songs, whatever the network separates."""

RESTS = frozenset({"accompaniment", "backing", "instrumental", "music", "no_vocals", "other"})
"""Stems of networks that are the sum of whatever the others are not."""

VOICES = frozenset({"backing_vocals", "lead_vocals", "speech", "vocal", "vocals", "voice"})
"""Stems of data that are in no such rest, whether or not the network has them."""


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
        for part in _lacking(stem, groups, known)
    ]
    if mistakes:
        flags = hints(stems, groups, known)
        there = f"found {listed(sorted(known)) or 'no stems'}"
        advice = f"Type {' '.join(flags)}" if flags else "Name stems of the data, or other data"
        raise ConfigError("stems of the network", [*mistakes, f"{there}. {advice}"])


def check_voxaug(chances: VoxaugRecipe, layout: str, *, has_libraries: bool) -> None:
    """Refuse chances below ``data.voxaug`` in a layout that has no use for them.

    Those that have their usual values say nothing, so a recipe with base ``voxaug`` may train on
    any layout.

    Args:
        chances: of the recipe.
        layout: of the data.
        has_libraries: whether the data could be read in the layout ``voxaug``.

    Raises:
        ConfigError: which they are, and what to type.
    """
    usual = VoxaugRecipe().to_dict()
    odd = {key: value for key, value in chances.to_dict().items() if value != usual[key]}
    if odd and layout != "voxaug":
        found = ", ".join(f"voxaug.{key}={value:g}" for key, value in odd.items())
        flags = " ".join(f"--set data.voxaug.{key}={usual[key]:g}" for key in odd)
        way = "--layout voxaug, or " if has_libraries else ""
        raise ConfigError(
            "data", [f"{found} means nothing in the layout {layout}. Type {way}{flags}"]
        )


def unused_groups(stems: tuple[str, ...], groups: Groups) -> list[str]:
    """A note for every group of a stem that the network does not have."""
    return [
        f"data.groups.{name} is not used: the network has {', '.join(stems)}"
        for name in groups
        if stems and name not in stems
    ]


def _lacking(stem: str, groups: Groups, known: Set[str]) -> list[str]:
    """Parts that nothing has, of a stem that nothing has as a whole either."""
    parts = groups.get(stem, (stem,))
    is_whole = stem in known and stem not in parts
    return [] if is_whole else [part for part in parts if part not in known]


def hints(stems: tuple[str, ...], groups: Groups, known: Set[str]) -> list[str]:
    """What to type: a group for every stem that resembles a known one, or is the rest of them."""
    used = {part for stem in stems for part in groups.get(stem, (stem,))}
    free = sorted(known - used)
    unknown = [stem for stem in stems if _lacking(stem, groups, known)]
    found = {stem: _group(stem, free) for stem in unknown}
    return [
        f"--set data.groups.{stem}=[{','.join(group)}]" for stem, group in found.items() if group
    ]


def _group(stem: str, free: list[str]) -> list[str]:
    near = nearest(stem, free)
    if near:
        return [near]
    return [name for name in free if name not in VOICES] if stem in RESTS else []
