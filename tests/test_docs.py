"""The README and the pages below docs, against the code.

The truth is the dataclasses of recipes and events, the options of the commands, and the files of
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
from trainers.config import PoolRecipe, Recipe, StageRecipe

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
TEXTS = {str(path.relative_to(ROOT)): path.read_text("utf-8") for path in PAGES}

ITEMS = {
    "schedule.stages": StageRecipe,
    "data.voices.vocals": PoolRecipe,
    "data.voices.backings": PoolRecipe,
}
"""Keys that hold lists of dataclasses."""

EVENTS = (
    "stemcli.batch.report",
    "trainers.cluster.job",
    "trainers.evaluation.events",
    "trainers.loop.dry_run",
    "trainers.loop.events",
    "trainers.search.trials",
)
"""Modules with events, besides that of the engine."""

INTERNAL = {"worker_group_restarting", "worker_group_failed"}
"""What workers send to the process that started them, and no program sees."""


def defaults(kind: type[Any]) -> dict[str, Any]:
    """The default of every field of a dataclass."""
    made = {f.name: f.default_factory for f in fields(kind) if f.default_factory is not MISSING}
    plain = {f.name: f.default for f in fields(kind) if f.name not in made}
    return plain | {name: make() for name, make in made.items()}


def keys(values: dict[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Every key of a recipe with its default, as YAML has them."""
    for name, value in values.items():
        key = f"{above}{name}"
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
    """Every event of the programs, without bases of others."""
    for kind in base.__subclasses__():
        yield from kinds(kind)
        if not kind.__subclasses__():
            yield kind


def snake_case(kind: type[Event]) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", kind.__name__).lower()


def test_every_event_and_its_fields_are_documented() -> None:
    for name in EVENTS:
        import_module(name)
    ours = [kind for kind in kinds() if kind.__module__.split(".")[0] in ("stemcli", "trainers")]
    known = {snake_case(kind): {field.name for field in fields(kind)} for kind in ours}
    rows = re.findall(r"^\| `([a-z_]+)` \| (.*) \| .* \|$", TEXTS["docs/json.md"], re.M)
    documented = {name: {*re.findall(r"`(\w+)`", text)} for name, text in rows}
    assert len(documented) == len(rows)
    assert known.keys() - documented.keys() == INTERNAL
    for name in known.keys() - INTERNAL:
        assert known[name] - {"trace"} <= documented[name], name


def anchors(text: str) -> set[str]:
    """Of the headings of a page, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_links_lead_to_pages_and_headings(page: Path) -> None:
    text = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.M | re.S)
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*)(?:#([^)]+))?\)", text):
        place = page.parent / target if target else page
        assert place.exists(), target
        if anchor:
            assert anchor in anchors(place.read_text("utf-8")), f"{target}#{anchor}"


def test_files_named_on_the_page_about_the_code_exist() -> None:
    named = re.findall(r"`(\w+/[\w/.]*)`", TEXTS["docs/house.md"])
    assert [path for path in named if gone(path)] == []


def gone(path: str) -> bool:
    places = (ROOT, *(ROOT / package for package in ("model_zoo", "stemcli", "trainers")))
    return not any((place / path).exists() for place in places)


def calls() -> Iterator[tuple[str, str]]:
    """What the pages type after ``stem``, each with its page."""
    for page, text in TEXTS.items():
        joined = re.sub(r"\\\n\s*", "", text)
        for call in re.findall(r"(?<![\w/.\-\[])stem ([a-z][^\n`#>;&|]*)", joined):
            yield page, call.strip()


def command_of(words: list[str]) -> click.Command | None:
    """The command that the words name."""
    if not words or words[0] not in COMMANDS:
        return None
    command = COMMANDS[words[0]].load()
    for word in words[1:]:
        if not isinstance(command, click.Group):
            break
        below = command.get_command(click.Context(command), word)
        if below is None:
            break
        command = below
    return command


def test_commands_on_the_pages_have_their_options() -> None:
    wrong = []
    for page, call in calls():
        command = command_of(call.split())
        if command is None:
            continue
        options = [p for p in command.params if isinstance(p, click.Option)]
        known = {"--help", "-h"}.union(*(({*p.opts, *p.secondary_opts}) for p in options))
        typed = {word.split("=")[0] for word in re.findall(r"(?<=\s)--?[a-z][\w-]*", call)}
        wrong += [(page, call, option) for option in typed - known]
    assert wrong == []
