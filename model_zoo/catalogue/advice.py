"""Which model to use: those that give certain stems, in the order of their published scores.

Scores on different data do not compare, so the data come first: the list ``DATASETS`` of the
catalogue begins with the set on which most networks were measured. This module does not import
torch.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from model_zoo import registry
from model_zoo.catalogue.cards import Card, card_path, cards, is_installed
from model_zoo.catalogue.public import (
    METRIC,
    Consent,
    PublicModel,
    place,
    public_models,
)
from model_zoo.catalogue.scores import CardScore
from model_zoo.catalogue.stem_names import require_known, spelled
from model_zoo.errors import UsageError

NON_COMMERCIAL = re.compile(r"\bnc\b|non.?commercial|no grant|not stated|^$", re.IGNORECASE)
"""Licences that do not allow commercial use; a licence that nobody states allows nothing."""


@dataclass(frozen=True)
class Candidate:
    """A model that gives the wanted stems.

    Attributes:
        name: name for ``--model``.
        outputs: names of all outputs.
        licence: licence of the weights, as stated.
        consent: what has to be agreed to before the weights are fetched.
        size: bytes of the weights; 0 if not known.
        overlap: fraction of a chunk that overlaps the next one.
        score: the published SDR of the wanted stems; None if there is none.
        weights: file of the weights; None if they are not installed.
        public: entry of the catalogue; None if it has none.
    """

    name: str
    outputs: tuple[str, ...]
    licence: str
    consent: Consent
    size: int
    overlap: float
    score: CardScore | None
    weights: Path | None = None
    public: PublicModel | None = None

    @property
    def is_commercial(self) -> bool:
        """Whether a licence is stated that allows commercial use."""
        return not self.consent and not NON_COMMERCIAL.search(self.licence)

    @property
    def rank(self) -> tuple[Any, ...]:
        """What the order of the candidates compares.

        Scores on the first data of ``DATASETS`` come first, high ones before low ones, then scores
        on the next data. Models without a score come last. Equal ones are ordered by what is
        installed already, and by size.
        """
        value = -self.score.value if self.score else 0.0
        return (place(self.score), value, self.weights is None, self.size or float("inf"))

    @classmethod
    def of_card(cls, card: Card, stems: Sequence[str]) -> Candidate:
        """A model whose weights are installed."""
        public = public_models().get(card.name)
        return cls(
            card.name,
            card.outputs,
            card.licence,
            public.consent if public else "",
            card.size,
            card.overlap,
            joint_score(card.scores, own_names(stems, card.outputs)),
            card_path(card.name).with_name(card.file),
            public,
        )

    @classmethod
    def of_public(cls, model: PublicModel, stems: Sequence[str]) -> Candidate:
        """A model that can be fetched."""
        overlap = model.options.overlap
        return cls(
            model.name,
            model.outputs,
            model.licence,
            model.consent,
            model.size,
            Card.overlap if overlap is None else overlap,
            joint_score(model.scores, own_names(stems, model.outputs)),
            public=model,
        )


def candidates(stems: Sequence[str]) -> list[Candidate]:
    """Models that give all of these stems and can be used, the best first.

    Args:
        stems: names of stems, in any case, or synonyms.

    Raises:
        UnknownNameError: no model gives one of the stems.
        UsageError: no model gives all of them.
    """
    own = [card for card in cards(lambda damage: None).values() if _can_be_used(card)]
    names = {card.name for card in own}
    public = [each for name, each in public_models().items() if name not in names]
    usable = [each for each in public if not each.refusal]
    outputs = [each.outputs for each in own] + [each.outputs for each in usable]
    known = {name for each in outputs for name in each}
    for stem in stems:
        require_known(stem, known)
    found = [Candidate.of_card(each, stems) for each in own if _gives(each.outputs, stems)]
    found += [Candidate.of_public(each, stems) for each in usable if _gives(each.outputs, stems)]
    if not found:
        raise UsageError(f"No model gives {' and '.join(stems)} together. Ask for fewer stems")
    return sorted(found, key=lambda candidate: candidate.rank)


def _can_be_used(card: Card) -> bool:
    return registry.role(card.architecture) == "stems" and is_installed(card)


def _gives(outputs: Sequence[str], stems: Sequence[str]) -> bool:
    return all(spelled(stem, outputs) for stem in stems)


def own_names(stems: Sequence[str], outputs: Sequence[str]) -> list[str]:
    """The names that a model has for these stems, without stems that it does not give."""
    return [name for stem in stems if (name := spelled(stem, outputs))]


def joint_score(scores: Iterable[CardScore], stems: Sequence[str]) -> CardScore | None:
    """The SDR of several stems on the same data, by the same definition: its mean over them.

    Returns:
        The score on the data that come first in ``DATASETS``; None if no data have scores of all
        stems.
    """
    tables: dict[tuple[str, str], dict[str, float]] = {}
    for score in scores:
        if score.metric == METRIC:
            tables.setdefault((score.dataset, score.definition), {})[score.stem] = score.value
    found = [
        CardScore(data, ", ".join(stems), METRIC, how, fmean(table[stem] for stem in stems))
        for (data, how), table in tables.items()
        if {*stems} <= {*table}
    ]
    return min(found, key=place, default=None)
