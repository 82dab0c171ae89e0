"""Spellings of the names of stems: any case, and synonyms."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from model_zoo.errors import UnknownNameError, nearest

BACKING = ("instrumental", "accompaniment", "no_vocals")
"""Names for the song without its vocals; a model has at most one of them."""


def spellings(name: str) -> tuple[str, ...]:
    """The name in lower case, then its synonyms."""
    folded = name.casefold()
    return (folded, *(other for other in BACKING if folded in BACKING and other != folded))


def spelled(name: str, outputs: Iterable[str]) -> str | None:
    """The output called ``name``, in any case, or a synonym of it; None if there is none."""
    by_folded = {output.casefold(): output for output in outputs}
    return next((by_folded[each] for each in spellings(name) if each in by_folded), None)


def distinct(names: Iterable[str]) -> tuple[str, ...]:
    """The names in lower case, without later ones that mean the same stem."""
    found: dict[frozenset[str], str] = {}
    for name in names:
        found.setdefault(frozenset(spellings(name)), name.casefold())
    return tuple(found.values())


def require_known(name: str, known: Collection[str], kind: str = "model") -> None:
    """Refuse a stem that no model gives.

    Args:
        name: the stem that the user asked for.
        known: outputs of all models that were looked at.
        kind: what these models are, for the message.

    Raises:
        UnknownNameError: there is no such stem; the message suggests the nearest, and names the
            command that lists models.
    """
    if spelled(name, known) is None:
        words = [*known, *(each for each in BACKING if spelled(each, known))]
        instead = "" if nearest(name, words) else f"no {kind} gives it."
        raise UnknownNameError("stem", name, words, "stem models list --all", instead)
