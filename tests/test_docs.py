"""The README and the pages below docs, checked against the code.

Reference: the dataclasses of recipes and events, the options of the commands, and the files of
this repository.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import MISSING, fields, is_dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from stemcli.cli.app import COMMANDS
from stemcli.engine.events import Event
from stemcli.settings import SETTINGS
from tests.golden.schema.make_schema import INTERNAL, MODULES
from trainers.config import PoolRecipe, Recipe, StageRecipe

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
TEXTS = {str(path.relative_to(ROOT)): path.read_text("utf-8") for path in PAGES}

ITEMS = {
    "schedule.stages": StageRecipe,
    "data.voices.vocals": PoolRecipe,
    "data.voices.backings": PoolRecipe,
}
"""Recipe keys with lists of dataclasses."""


def defaults(kind: type[Any]) -> dict[str, Any]:
    """The defaults of a dataclass by field."""
    factories = {
        f.name: f.default_factory for f in fields(kind) if f.default_factory is not MISSING
    }
    values = {f.name: f.default for f in fields(kind) if f.name not in factories}
    return values | {name: make() for name, make in factories.items()}


def keys(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every key of a recipe with its default, as in YAML."""
    for name, value in values.items():
        key = f"{prefix}{name}"
        if is_dataclass(value):
            yield from keys({f.name: getattr(value, f.name) for f in fields(value)}, f"{key}.")
            continue
        yield key, [*value] if isinstance(value, tuple) else value
        if key in ITEMS:
            yield from keys(defaults(ITEMS[key]), f"{key}[].")


def test_every_recipe_key_and_its_default_are_documented() -> None:
    rows = re.findall(r"^\| `([a-z][\w.\[\]]*)` \| `(.*?)` \|", TEXTS["docs/recipes.md"], re.M)
    documented = {name: yaml.safe_load(default) for name, default in rows}
    assert len(documented) == len(rows)
    assert documented == dict(keys(defaults(Recipe)))


def kinds(base: type[Event] = Event) -> Iterator[type[Event]]:
    """All event classes, without base classes."""
    for kind in base.__subclasses__():
        yield from kinds(kind)
        if not kind.__subclasses__():
            yield kind


def snake_case(kind: type[Event]) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", kind.__name__).lower()


def test_every_event_and_its_fields_are_documented() -> None:
    for name in MODULES:
        import_module(name)
    ours = [kind for kind in kinds() if kind.__module__.split(".")[0] in ("stemcli", "trainers")]
    known = {snake_case(kind): {field.name for field in fields(kind)} for kind in ours}
    rows = re.findall(r"^\| `([a-z_]+)` \| (.*) \| .* \|$", TEXTS["docs/json.md"], re.M)
    documented = {name: {*re.findall(r"`(\w+)`", text)} for name, text in rows}
    assert len(documented) == len(rows)
    assert known.keys() - documented.keys() == INTERNAL
    for name in known.keys() - INTERNAL:
        assert known[name] - {"trace"} <= documented[name], name


def test_every_setting_is_documented() -> None:
    rows = re.findall(
        r"^\| `(\w+)` \| `(\w+)` \| (.+) \| (.+) \|$", TEXTS["docs/settings.md"], re.M
    )
    assert rows == [(s.key, s.variable, s.kind, s.meaning) for s in SETTINGS.values()]


def anchors(text: str) -> set[str]:
    """The anchors that GitHub generates from the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_links_point_to_pages_and_headings(page: Path) -> None:
    text = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.M | re.S)
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*)(?:#([^)]+))?\)", text):
        linked_page = page.parent / target if target else page
        assert linked_page.exists(), target
        if anchor:
            assert anchor in anchors(linked_page.read_text("utf-8")), f"{target}#{anchor}"


def test_files_named_in_house_md_exist() -> None:
    named = re.findall(r"`(\w+/[\w/.]*)`", TEXTS["docs/house.md"])
    assert [path for path in named if is_missing(path)] == []


def is_missing(path: str) -> bool:
    places = (ROOT, *(ROOT / package for package in ("model_zoo", "stemcli", "trainers")))
    return not any((linked_page / path).exists() for linked_page in places)


def calls() -> Iterator[tuple[str, str]]:
    """Arguments of every ``stem`` command on the pages, with the page."""
    for page, text in TEXTS.items():
        joined = re.sub(r"\\\n\s*", "", text)
        for call in re.findall(r"(?<![\w/.\-\[])stem ([a-z][^\n`#>;&|]*)", joined):
            yield page, call.strip()


def command_of(args: list[str]) -> click.Command | None:
    """The command that these arguments call."""
    if not args or args[0] not in COMMANDS:
        return None
    command = COMMANDS[args[0]].load()
    for arg in args[1:]:
        if not isinstance(command, click.Group):
            break
        subcommand = command.get_command(click.Context(command), arg)
        if subcommand is None:
            break
        command = subcommand
    return command


def test_options_on_the_pages_exist() -> None:
    wrong = []
    for page, call in calls():
        command = command_of(call.split())
        if command is None:
            continue
        options = [p for p in command.params if isinstance(p, click.Option)]
        known = {"--help", "-h"}.union(*(({*p.opts, *p.secondary_opts}) for p in options))
        used = {word.split("=")[0] for word in re.findall(r"(?<=\s)--?[a-z][\w-]*", call)}
        wrong += [(page, call, option) for option in used - known]
    assert wrong == []
