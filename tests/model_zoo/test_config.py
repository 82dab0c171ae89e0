"""Strict configuration: round trips and error messages."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import pytest

from model_zoo.config import Config, below
from model_zoo.errors import ConfigError


@dataclass(frozen=True)
class Inner(Config):
    value: float = 0.5


@dataclass(frozen=True)
class Example(Config):
    count: int = 1
    rate: float = 2.0
    kind: Literal["a", "b"] = "a"
    names: tuple[str, ...] = ()
    inner: tuple[Inner, ...] = ()
    limit: int | None = None
    weights: dict[str, float] = field(default_factory=dict)

    def mistakes(self) -> list[str]:
        return ["count must be positive"] if self.count < 1 else []


@dataclass(frozen=True)
class WithRequiredKey(Config):
    first: int
    inner: Inner = field(default_factory=Inner)
    third: int = 3


def test_round_trip_through_plain_values() -> None:
    example = Example(3, 1.5, "b", ("x", "y"), (Inner(1.0),), 7)
    plain = example.to_dict()
    as_json = {**plain, "names": ["x", "y"], "inner": [{"value": 1}], "rate": 1.5}
    assert Example.from_dict(plain) == example
    assert Example.from_dict(as_json) == example


def test_whole_numbers_become_floats() -> None:
    assert isinstance(Example.from_dict({"rate": 3}).rate, float)
    assert isinstance(Example.from_dict({"weights": {"a": 3}}).weights["a"], float)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"cuont": 1}, "Example: unknown key 'cuont', did you mean 'count'?"),
        ({"count": 1.5}, "Example: count must be a whole number, found 1.5"),
        ({"count": True}, "Example: count must be a whole number, found True"),
        ({"kind": "c"}, "Example: kind must be one of 'a', 'b', found 'c'"),
        ({"names": "x"}, "Example: names must be a list, each text, found 'x'"),
        ({"names": [1]}, "Example: names must be a list, each text, found (1,)"),
        ({"limit": "x"}, "Example: limit must be a whole number or nothing, found 'x'"),
        ({"count": 0}, "Example: count must be positive"),
        ({"inner": [{"valeu": 1}]}, "Example: inner: unknown key 'valeu', did you mean 'value'?"),
        ({"inner": [3]}, "Example: inner must be a list, each keys with values, found (3,)"),
        (
            {"weights": {"a": "x"}},
            "Example: weights must be keys with values, each a number, found {'a': 'x'}",
        ),
        ({"weights": 1}, "Example: weights must be keys with values, each a number, found 1"),
    ],
)
def test_mistakes_are_reported(values: dict, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Example.from_dict(values)
    assert str(caught.value).startswith(message)


def test_all_mistakes_are_reported_together() -> None:
    with pytest.raises(ConfigError) as caught:
        Example.from_dict({"count": "1", "rate": "2"})
    assert len(caught.value.mistakes) == 2


def test_only_keys_are_joined_with_dots() -> None:
    """A sentence that begins with another word follows the section and a colon."""
    mistakes = [
        "count must be 1",
        "count.low is odd",
        "rate: it is odd",
        "counts differ",
        "key 'x'",
    ]
    assert below("part", Example, mistakes) == [
        "part.count must be 1",
        "part.count.low is odd",
        "part.rate: it is odd",
        "part: counts differ",
        "part: key 'x'",
    ]


def test_nested_mistakes_are_reported_together() -> None:
    with pytest.raises(ConfigError) as caught:
        WithRequiredKey.from_dict({"inner": {"value": "x"}, "thrid": 3})
    assert sorted(caught.value.mistakes) == [
        "inner.value must be a number, found 'x'",
        "key 'first' is missing",
        "unknown key 'thrid', did you mean 'third'?",
    ]
