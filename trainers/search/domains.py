"""What a hyperparameter may be: one of several values, or a number between two.

A search draws *raw* values: the place in a list, or a number of a range. A domain turns them into
values of a recipe. Most are relative to what the recipe says, so that the same file serves a small
recipe and a large one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from model_zoo.config import Config, broken

Raw = int | float
"""A place in a list, or a number of a range."""

Changes = dict[str, Any]
"""Keys of a recipe, with dots, and their values."""

DIGITS = 4
"""Significant digits of numbers: a recipe shall be readable."""


@dataclass(frozen=True)
class Domain(Config):
    """How a space file writes down what keys of a recipe may be; exactly one of the first five.

    Attributes:
        choice: one of these values.
        times: the recipe's value times one of these factors.
        plus: the recipe's value plus one of these.
        between: a number between these two.
        times_between: the recipe's value times a number between these two.
        log: draw from a range evenly in the logarithm.
        multiple_of: round to a multiple of the product of these numbers and keys.
        least: no value is below; of whole numbers 1 unless another is given.
        most: no value is above.
    """

    choice: tuple[Any, ...] = ()
    times: tuple[float, ...] = ()
    plus: tuple[float, ...] = ()
    between: tuple[float, ...] = ()
    times_between: tuple[float, ...] = ()
    log: bool = False
    multiple_of: tuple[int | str, ...] = ()
    least: float | None = None
    most: float | None = None

    def mistakes(self) -> list[str]:
        """Contradictions between the values."""
        kinds = (self.choice, self.times, self.plus, self.between, self.times_between)
        bounds = self.bounds
        least = -math.inf if self.least is None else self.least
        return broken(
            {
                "exactly one of choice, times, plus, between and times_between is needed": (
                    sum(map(bool, kinds)) != 1
                ),
                "a range must be a lower and an upper bound": (
                    bool(bounds) and (len(bounds) != 2 or bounds[0] >= bounds[-1])
                ),
                "log needs between or times_between with bounds above 0": (
                    self.log and min(bounds, default=0.0) <= 0
                ),
                "least must be below most": self.most is not None and least >= self.most,
                "multiple_of needs whole numbers above 0 or keys": any(
                    isinstance(factor, int) and factor < 1 for factor in self.multiple_of
                ),
            }
        )

    @property
    def bounds(self) -> tuple[float, ...]:
        """Of a range; empty for a list."""
        return self.between or self.times_between

    @property
    def is_relative(self) -> bool:
        """Whether it needs the value that the recipe has."""
        return bool(self.times or self.plus or self.times_between)

    @property
    def options(self) -> tuple[Any, ...]:
        """Of a list; empty for a range."""
        return self.choice or self.times or self.plus

    def value(self, drawn: Any, base: Any) -> Any:
        """The recipe's value for an option or a number of the range.

        Args:
            drawn: that option or number.
            base: the value before; of a list each number is varied alike.
        """
        if self.choice:
            return drawn
        if isinstance(base, list):
            return [self.value(drawn, one) for one in base]
        if self.times or self.times_between:
            drawn = base * drawn
        elif self.plus:
            drawn = base + drawn
        whole = isinstance(base, int) and not self.between
        return self._limited(drawn, whole)

    def _limited(self, value: float, whole: bool) -> float:
        least = self.least if self.least is not None else (1 if whole else None)
        value = value if least is None else max(least, value)
        value = value if self.most is None else min(self.most, value)
        return round(value) if whole else float(f"{value:.{DIGITS}g}")


@dataclass(frozen=True)
class Listed:
    """A hyperparameter that takes one of several values; raw is its place in the list.

    Attributes:
        name: for people, and for the searcher.
        category: what it belongs to, e.g. ``width``.
        options: the changes that each place makes.
        ordered: whether neighbours in the list resemble each other.
        base: place of what the recipe says; None where the list does not have it.
    """

    name: str
    category: str
    options: tuple[Changes, ...]
    ordered: bool
    base: int | None

    @property
    def extremes(self) -> tuple[int, ...]:
        """All places: each may be the one that does not work."""
        return tuple(range(len(self.options)))

    def changes(self, raw: Raw) -> Changes:
        """What the place ``raw`` makes of a recipe."""
        return dict(self.options[int(raw)])

    def at(self, share: float) -> int:
        """The place at a share of the list, from 0 to 1."""
        return min(len(self.options) - 1, int(share * len(self.options)))


@dataclass(frozen=True)
class Ranged:
    """A hyperparameter between two bounds; raw is the number or the factor.

    Attributes:
        name: for people, and for the searcher.
        category: what it belongs to.
        domain: bounds, and whether they multiply.
        bases: keys and what the recipe says of each.
        base: raw number that gives what the recipe says; None where it is out of bounds.
    """

    name: str
    category: str
    domain: Domain
    bases: Mapping[str, Any]
    base: float | None

    @property
    def extremes(self) -> tuple[float, ...]:
        """Both bounds."""
        return self.domain.bounds

    def changes(self, raw: Raw) -> Changes:
        """What the number ``raw`` makes of a recipe."""
        return {key: self.domain.value(raw, base) for key, base in self.bases.items()}

    def at(self, share: float) -> float:
        """The number at a share of the range, from 0 to 1."""
        low, high = self.domain.bounds
        if self.domain.log:
            return float(low * (high / low) ** share)
        return low + share * (high - low)


Dimension = Listed | Ranged
