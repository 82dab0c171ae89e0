"""Finds stems that are probably others under a slightly different name, as ``vocal.wav`` is."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Set
from difflib import SequenceMatcher

from trainers.data.layouts.checks import WELL_KNOWN
from trainers.data.tracks import Track

SIMILAR = 0.9
"""Ratio of :class:`difflib.SequenceMatcher` from which a name is a misspelling: 0.91 for ``vocls``
and ``vocals``, but 0.89 for ``brass`` and ``bass``, which are two instruments."""


def misnamed_stems(songs: tuple[Track, ...], wanted: Set[str]) -> dict[str, str]:
    """Return the stems with unusual names, and the stem of other songs that each probably is.

    Args:
        songs: all songs.
        wanted: stems that the recipe names, which are always right.
    """
    counts = Counter(stem for song in songs for stem in song.stems)
    odd = {stem for stem in counts if stem not in WELL_KNOWN | wanted}
    meant = {stem: _meant(stem, counts, songs, WELL_KNOWN | wanted) for stem in sorted(odd)}
    return {stem: name for stem, name in meant.items() if name}


def _meant(stem: str, counts: Counter[str], songs: tuple[Track, ...], right: Set[str]) -> str:
    """Return the most frequent stem with a similar name that no song has beside this one."""
    beside = {other for song in songs if stem in song.stems for other in song.stems}
    usual = (other for other, _ in counts.most_common() if other not in beside)
    return next(
        (
            other
            for other in usual
            if _are_similar(stem, other) and (other in right or counts[other] > counts[stem])
        ),
        "",
    )


def _are_similar(one: str, other: str) -> bool:
    """Whether names differ in a plural, in punctuation, or in a letter of a long name."""
    plain = [re.sub(r"[\W_]", "", name).removesuffix("s") for name in (one, other)]
    return plain[0] == plain[1] or SequenceMatcher(None, one, other).ratio() >= SIMILAR
