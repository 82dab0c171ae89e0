"""Strict configuration: a frozen dataclass to and from a mapping.

An unknown key is an error that names the nearest known one; all mistakes are reported together.
Recipes, cards and the metadata of safetensors files hold such mappings.
"""

from __future__ import annotations

import dataclasses
import re
import types
import typing
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import cache
from typing import Any, ClassVar, TypeVar

from model_zoo.errors import ConfigError, nearest
from model_zoo.parsing import shown

C = TypeVar("C", bound="Config")

WORDS: dict[Any, str] = {
    int: "a whole number",
    float: "a number",
    str: "text",
    bool: "true or false",
    type(None): "nothing",
}
"""Types in messages about files."""

PYTHON_WORDS = {**WORDS, str: "a string", bool: "True or False", type(None): "None"}
"""Types in messages about arguments of a Python program."""


@dataclasses.dataclass(frozen=True)
class Config:
    """Base class of every configuration.

    A subclass lists contradictions in :meth:`mistakes`; the constructor raises all of them in one
    :class:`~model_zoo.errors.ConfigError`.
    """

    former_names: ClassVar[Mapping[str, str]] = {}
    """Keys that were renamed, by their earlier name; an error about one names the new key."""

    other_names: ClassVar[Mapping[str, str]] = {}
    """Unknown keys that are easily tried, and what to use instead."""

    def __post_init__(self) -> None:
        wrong = self._type_mistakes()
        beside = self.mistakes_beside(vars(self), wrong) if wrong else self.mistakes()
        mistakes = [*wrong.values(), *beside]
        if mistakes:
            raise ConfigError(self.title(), mistakes)

    def mistakes(self) -> list[str]:
        """Mistakes in the values, a sentence each; empty for valid values."""
        return []

    @classmethod
    def mistakes_beside(cls, values: Mapping[str, Any], wrong: Collection[str]) -> list[str]:
        """Mistakes in the other fields if the fields ``wrong`` have values of wrong types."""
        return []

    @classmethod
    def words(cls) -> Mapping[Any, str]:
        """How messages name types."""
        return WORDS

    def to_dict(self) -> dict[str, Any]:
        """Plain values that :meth:`from_dict` turns back into this config."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls: type[C], values: Mapping[str, Any]) -> C:
        """Build a config from a mapping.

        Raises:
            ConfigError: unknown or missing keys or invalid values, also in nested mappings, all of
                them together.
        """
        hints = cls._field_types()
        known = {field.name: hints[field.name] for field in dataclasses.fields(cls)}
        unknown = [cls._unknown_key(key, known) for key in values if key not in known]
        mistakes = [f"key {name!r} is missing" for name in _required(cls) if name not in values]
        fields: dict[str, Any] = {}
        for key in (name for name in known if name in values):
            try:
                fields[key] = _plain_to_field(known[key], values[key])
            except ConfigError as error:
                mistakes += _below(key, known[key], error.mistakes)
        wrong = _wrong_types(known, fields, cls.words())
        if mistakes or wrong:
            mistakes += [*wrong.values(), *cls.mistakes_beside(fields, wrong)]
            raise ConfigError(cls.title(), unknown + mistakes)
        return cls._without_unknown(fields, unknown)

    @classmethod
    def title(cls) -> str:
        """The start of an error about the fields; empty for none."""
        return cls.__name__

    @classmethod
    def _without_unknown(cls: type[C], fields: Mapping[str, Any], unknown: list[str]) -> C:
        """Build a config; report unknown keys together with contradictions."""
        try:
            built = cls(**fields)
        except ConfigError as error:
            raise ConfigError(cls.title(), unknown + error.mistakes) from error
        if unknown:
            raise ConfigError(cls.title(), unknown)
        return built

    @classmethod
    @cache
    def _field_types(cls) -> Mapping[str, Any]:
        """Types of the fields; finding them takes longer than all else in reading a config."""
        return typing.get_type_hints(cls)

    def _type_mistakes(self) -> dict[str, str]:
        hints = self._field_types()
        names = [field.name for field in dataclasses.fields(self)]
        return _wrong_types(hints, {name: getattr(self, name) for name in names}, self.words())

    @classmethod
    def _unknown_key(cls, key: Any, known: Mapping[str, Any]) -> str:
        if key in cls.former_names:
            return f"unknown key {shown(key)}, which is now {cls.former_names[key]!r}"
        if key in cls.other_names:
            return f"unknown key {shown(key)}, use {cls.other_names[key]}"
        near = nearest(str(key), known)  # YAML has keys that are not text
        hint = f"did you mean {near!r}?" if near else f"known: {', '.join(known) or 'none'}"
        return f"unknown key {shown(key)}, {hint}"


def broken(rules: Mapping[str, bool]) -> list[str]:
    """Sentences of ``rules`` whose condition is true, for :meth:`Config.mistakes`."""
    return [sentence for sentence, is_broken in rules.items() if is_broken]


def below(key: str, section: type[Config], mistakes: Iterable[str]) -> list[str]:
    """Mistakes in a section of a larger config, for which a leading key becomes a dotted one.

    ``missing must be ...`` in the section ``data`` becomes ``data.missing must be ...``; sentences
    that do not begin with a key follow the name of the section and a colon.
    """
    keys = {field.name for field in dataclasses.fields(section)}
    return [
        f"{key}{'.' if re.split(r'[.: ]', mistake, maxsplit=1)[0] in keys else ': '}{mistake}"
        for mistake in mistakes
    ]


def _below(key: str, hint: Any, mistakes: Iterable[str]) -> list[str]:
    if _is_config(hint):
        return below(key, hint, mistakes)
    return [f"{key}: {mistake}" for mistake in mistakes]


def _wrong_types(
    hints: Mapping[str, Any], values: Mapping[str, Any], words: Mapping[Any, str]
) -> dict[str, str]:
    """A sentence for every field whose value has a wrong type."""
    wrong = {}
    for name, value in values.items():
        if not _fits(hints[name], value):
            found = words[type(None)] if value is None else shown(value)
            wrong[name] = f"{name} must be {_words(hints[name], words)}, found {found}"
    return wrong


def _required(kind: type[Config]) -> Iterator[str]:
    for field in dataclasses.fields(kind):
        if field.default is field.default_factory is dataclasses.MISSING:
            yield field.name


def _plain_to_field(hint: Any, value: Any) -> Any:
    """Convert lists to tuples and mappings to configs, which JSON, TOML and YAML do not have."""
    if typing.get_origin(hint) is tuple and isinstance(value, (list, tuple)):
        inner = typing.get_args(hint)[0]
        return tuple(_plain_to_field(inner, item) for item in value)
    if typing.get_origin(hint) is dict and isinstance(value, Mapping):
        inner = typing.get_args(hint)[1]
        return {key: _plain_to_field(inner, item) for key, item in value.items()}
    if _is_config(hint) and isinstance(value, Mapping):
        return hint.from_dict(value)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            return value  # too large for a float; the type check reports it
    return value


def _fits(hint: Any, value: Any) -> bool:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return any(value == arg and type(value) is type(arg) for arg in args)
    if origin in (typing.Union, types.UnionType):
        return any(_fits(arg, value) for arg in args)
    if origin is tuple:
        return isinstance(value, tuple) and all(_fits(args[0], item) for item in value)
    if origin is dict:
        return isinstance(value, dict) and all(
            _fits(args[0], key) and _fits(args[1], item) for key, item in value.items()
        )
    if hint in (int, float):
        numbers = (int,) if hint is int else (int, float)
        return isinstance(value, numbers) and not isinstance(value, bool)
    return hint is Any or isinstance(value, hint)


def _is_config(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, Config)


def _words(hint: Any, words: Mapping[Any, str]) -> str:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return "one of " + ", ".join(repr(arg) for arg in args)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_words(arg, words) for arg in args)
    if origin is tuple:
        return words.get(hint) or f"a list, each {_words(args[0], words)}"
    if origin is dict and args[1] is not Any:
        return f"keys with values, each {_words(args[1], words)}"
    if origin is dict or _is_config(hint):
        return "keys with values"
    return words.get(hint, str(hint))
