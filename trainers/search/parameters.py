"""Domains of hyperparameters, bound to the keys of a recipe.

Optuna draws parameters: an index into a list, or a number of a range. A domain turns them into
values of a recipe. Most are relative to the recipe's own, so that the same file serves a small
recipe and a large one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from model_zoo import registry
from model_zoo.config import Config, broken
from model_zoo.errors import ConfigError
from trainers.config import Recipe

Param = int | float
"""An index into a list, or a number of a range."""

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
    """A hyperparameter that takes one of several values; its parameter is the index of one.

    Attributes:
        name: for people, and for the searcher.
        category: what it belongs to, e.g. ``width``.
        options: the changes that each index stands for.
        ordered: whether neighbours in the list resemble each other.
        base: index of the recipe's own value; None where the list does not have it.
    """

    name: str
    category: str
    options: tuple[Changes, ...]
    ordered: bool
    base: int | None

    @property
    def extremes(self) -> tuple[int, ...]:
        """All indices: each may be the one that does not work."""
        return tuple(range(len(self.options)))

    def changes(self, param: Param) -> Changes:
        """Keys and values of a recipe for an index."""
        return dict(self.options[int(param)])

    def at(self, share: float) -> int:
        """The index at a share of the list, from 0 to 1."""
        return min(len(self.options) - 1, int(share * len(self.options)))


@dataclass(frozen=True)
class Ranged:
    """A hyperparameter between two bounds; its parameter is the number or the factor.

    Attributes:
        name: for people, and for the searcher.
        category: what it belongs to.
        domain: bounds, and whether they multiply.
        bases: keys and what the recipe says of each.
        base: parameter that gives the recipe's own value; None where it is out of bounds.
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

    def changes(self, param: Param) -> Changes:
        """Keys and values of a recipe for a number or factor."""
        return {key: self.domain.value(param, base) for key, base in self.bases.items()}

    def at(self, share: float) -> float:
        """The number at a share of the range, from 0 to 1."""
        low, high = self.domain.bounds
        if self.domain.log:
            return float(low * (high / low) ** share)
        return low + share * (high - low)


Dimension = Listed | Ranged


TOGETHER = "together"
"""Key of a list of values that only fit each other."""


@dataclass(frozen=True)
class Rounding:
    """A key whose value must be a multiple of others.

    Attributes:
        key: that is rounded.
        factors: numbers, and keys whose values count.
        values: what the recipe says, for keys that are not varied.
    """

    key: str
    factors: tuple[int | str, ...]
    values: Mapping[str, Any]

    def applied(self, changes: Mapping[str, Any]) -> Changes:
        """The key with a value, or values, that are multiples, at least one of each."""
        values = {**self.values, **changes}
        step = math.prod(
            factor if isinstance(factor, int) else values[factor] for factor in self.factors
        )
        value = values[self.key]
        if isinstance(value, list):
            return {self.key: [_multiple(one, step) for one in value]}
        return {self.key: _multiple(value, step)}


def _multiple(value: float, step: int) -> int:
    return max(1, round(value / step)) * step


@dataclass
class Binding:
    """Lays lines of a space file over a recipe and gathers what is wrong with them.

    Attributes:
        values: keys with dots and what the recipe says of them.
        own: whether the file comes with the program.
        mistakes: sentences.
        left_out: hyperparameters that mean nothing for this recipe, and why.
        roundings: of the lines so far.
    """

    values: Mapping[str, Any]
    own: bool
    mistakes: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    roundings: list[Rounding] = field(default_factory=list)

    def dimension(self, category: str, keys: str, spec: Any) -> Dimension | None:
        """The hyperparameter of one line; None where it has mistakes or is left out."""
        if keys == TOGETHER:
            return self._together(category, spec)
        names = [name.strip() for name in keys.split(",")]
        domain = self._domain(keys, spec)
        if not domain or not self._is_there(names, domain):
            return None
        self._round(names, domain)
        bases = {name: self.values.get(name) for name in names}
        if domain.bounds:
            return Ranged(names[0], category, domain, bases, _base_of(domain, bases))
        options = tuple(
            {name: domain.value(drawn, base) for name, base in bases.items()}
            for drawn in domain.options
        )
        return self._listed(names[0], category, options, ordered=_is_ordered(domain))

    def _domain(self, keys: str, spec: Any) -> Domain | None:
        if not isinstance(spec, Mapping):
            self.mistakes.append(f"{keys} must be a domain, e.g. {{times: [0.5, 1, 2]}}")
            return None
        try:
            return Domain.from_dict(spec)
        except ConfigError as error:
            self.mistakes += [f"{keys}: {mistake}" for mistake in error.mistakes]
            return None

    def _is_there(self, names: list[str], domain: Domain) -> bool:
        """Whether there is something to multiply or to add to."""
        if not domain.is_relative:
            return True
        lacking = [name for name in names if not self._is_number(name, domain)]
        if lacking:
            what = f"{', '.join(lacking)}: the recipe has no such value"
            if self.own:
                self.left_out.append(what)
            else:
                self.mistakes.append(f"{what} to start from. Use choice or between")
        return not lacking

    def _is_number(self, name: str, domain: Domain) -> bool:
        """Whether the recipe has a number there, or a list of numbers."""
        value = self.values.get(name)
        numbers = value if isinstance(value, list) else [value]
        return bool(numbers) and all(
            isinstance(one, (int, float)) and not isinstance(one, bool) and bool(one or domain.plus)
            for one in numbers
        )

    def _round(self, names: list[str], domain: Domain) -> None:
        if not domain.multiple_of:
            return
        for factor in domain.multiple_of:
            if isinstance(factor, str) and not isinstance(self.values.get(factor), int):
                self.mistakes.append(f"multiple_of: {factor} is no whole number of the recipe")
                return
        self.roundings += [Rounding(name, domain.multiple_of, self.values) for name in names]

    def _together(self, category: str, spec: Any) -> Dimension | None:
        if not isinstance(spec, (list, tuple)) or not all(isinstance(one, Mapping) for one in spec):
            self.mistakes.append(f"{category}: together must be a list of keys with values")
            return None
        if len({frozenset(one) for one in spec}) != 1:
            self.mistakes.append(f"{category}: everything listed together must have the same keys")
            return None
        before = len(self.mistakes), len(self.left_out)
        options = tuple({key: self._fixed(key, one[key]) for key in one} for one in spec)
        if before != (len(self.mistakes), len(self.left_out)):
            return None
        return self._listed(next(iter(options[0])), category, options, ordered=False)

    def _fixed(self, key: str, spec: Any) -> Any:
        """A value as it is, or relative to the recipe's, e.g. ``{times: 0.5}``."""
        if not isinstance(spec, Mapping):
            return spec
        listed = {name: [value] for name, value in spec.items() if name in ("times", "plus")}
        domain = self._domain(key, {**spec, **listed})
        if not domain or not self._is_there([key], domain) or not domain.options:
            return None
        return domain.value(domain.options[0], self.values[key])

    def _listed(
        self, name: str, category: str, options: tuple[Changes, ...], *, ordered: bool
    ) -> Dimension | None:
        """A list without repetitions; one of a single place leaves nothing to choose."""
        different = tuple(one for place, one in enumerate(options) if one not in options[:place])
        if len(different) == 1:
            self.left_out.append(f"{name}: there is only one value")
            return None
        present = {key: self.values.get(key) for key in different[0]}
        base = different.index(present) if present in different else None
        return Listed(name, category, different, ordered, base)


def lookup(recipe: Recipe) -> dict[str, Any]:
    """Keys with dots and all values of a recipe, those of its network with their defaults.

    Lists are lists, as in the file that they are compared with.
    """
    values = recipe.to_dict()
    kind = registry.architecture(recipe.model.architecture)
    values["model"]["options"] = kind.Config.from_dict(recipe.model.options).to_dict()
    return dict(_flat(values))


def _flat(values: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", [*value] if isinstance(value, tuple) else value


def _base_of(domain: Domain, bases: Mapping[str, Any]) -> float | None:
    """The parameter that leaves the recipe as it is."""
    param = 1.0 if domain.times_between else next(iter(bases.values()))
    low, high = domain.bounds
    is_inside = isinstance(param, (int, float)) and low <= param <= high
    return (
        float(param)
        if is_inside and len({*map(str, bases.values())} if domain.between else {1}) == 1
        else None
    )


def _is_ordered(domain: Domain) -> bool:
    numbers = [one for one in domain.options if isinstance(one, (int, float))]
    return len(numbers) == len(domain.options) and numbers in (
        sorted(numbers),
        sorted(numbers)[::-1],
    )
