"""Writes ``stemcli/events.schema.json``, the JSON schema of what ``--json`` prints.

    python -m tests.golden.schema.make_schema

Events, cards, checks and reports are derived from their dataclasses and docstrings; documents that
a command puts together itself are written here, and
:mod:`tests.stemcli.cli.test_json_schema` compares them with what the commands print.
"""

from __future__ import annotations

import inspect
import json
import re
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from model_zoo.catalogue.cards import Card, State
from model_zoo.introspection import LayerInfo
from stemcli.batch.report import BatchFinished, BatchReport, TrackReport
from stemcli.cli.config import SettingInForce
from stemcli.cli.doctor import Check
from stemcli.cli.json_output import SCHEMA
from stemcli.engine.events import Event
from trainers.evaluation.events import ScoringFailed
from trainers.evaluation.speed import Speed
from trainers.loop.dry_run import DryRunFinished
from trainers.loop.events import ExcerptRendered, RunStarted

FILE = Path(__file__).parents[3] / "stemcli/events.schema.json"

Schema = dict[str, Any]

MODULES = (
    "stemcli.batch.report",
    "trainers.cluster.job",
    "trainers.evaluation.events",
    "trainers.loop.dry_run",
    "trainers.loop.events",
    "trainers.search.trials",
)
"""Modules with events, besides the engine's."""

INTERNAL = {"worker_group_restarting", "worker_group_failed"}
"""Events between workers and the process that started them, which are not printed."""

UNDEFINED = ("trainers",)
"""Packages whose numbers may be undefined: losses and scores, which are then null."""

ATTRIBUTE = re.compile(r"^    (\w+): (.*(?:\n        .+)*)", re.M)
ROLE = re.compile(r":\w+:`~?(?:[\w.]+\.)?(\w+)`")

NAMES: Schema = {"type": "array", "items": {"type": "string"}}
TEXT, COUNT, NUMBER, FLAG = ({"type": kind} for kind in ("string", "integer", "number", "boolean"))
UNKNOWN: Schema = {"type": ["number", "null"]}
ANY: Schema = {}


def event_classes(base: type[Event] = Event) -> Iterator[type[Event]]:
    """All event classes that programs receive, without base classes."""
    for name in MODULES:
        import_module(name)
    for kind in base.__subclasses__():
        yield from event_classes(kind)
        ours = kind.__module__.split(".")[0] in ("stemcli", "trainers")
        if ours and not kind.__subclasses__() and event_name(kind) not in INTERNAL:
            yield kind


def event_name(kind: type[Event]) -> str:
    """The value of ``event``: the class name in snake case."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", kind.__name__).lower()


def mapped(values: Schema) -> Schema:
    return {"type": "object", "additionalProperties": values}


def listed(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def reference(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}


def record(properties: Mapping[str, Schema], description: str = "") -> Schema:
    """An object that has all of these properties, and perhaps more of a later version."""
    described = {"description": description} if description else {}
    return {
        **described,
        "type": "object",
        "properties": dict(properties),
        "required": [*properties],
    }


def schema_of(hint: Any, may_be_undefined: bool = False) -> Schema:
    """The schema of the JSON values of a type."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return {"enum": [*args]}
    if origin in (typing.Union, types.UnionType):
        return union([schema_of(arg, may_be_undefined) for arg in args])
    if origin in (tuple, list):
        return listed(schema_of(args[0], may_be_undefined))
    if origin is not None and issubclass(origin, Mapping):
        return mapped(schema_of(args[1], may_be_undefined))
    return record_of(hint) if is_dataclass(hint) else simple(hint, may_be_undefined)


def simple(hint: Any, may_be_undefined: bool) -> Schema:
    number = UNKNOWN if may_be_undefined else NUMBER
    nothing = {"type": "null"}
    return {int: COUNT, float: number, str: TEXT, bool: FLAG, Any: ANY, type(None): nothing}[hint]


def union(schemas: list[Schema]) -> Schema:
    names: list[str] = []
    for schema in schemas:
        if "enum" in schema:
            return {"enum": [value for each in schemas for value in each.get("enum", [None])]}
        kind = schema["type"]
        names += [kind] if isinstance(kind, str) else kind
    merged = {key: value for schema in schemas for key, value in schema.items() if key != "type"}
    return {"type": [*dict.fromkeys(names)], **merged}


def properties_of(kind: type[Any], without: tuple[str, ...] = ()) -> dict[str, Schema]:
    """Fields of a dataclass with the descriptions in its docstring."""
    hints, may_be = typing.get_type_hints(kind), kind.__module__.split(".")[0] in UNDEFINED
    found = re.sub(r"``", "", inspect.cleandoc(kind.__doc__ or ""))
    texts = {name: plain(text) for name, text in ATTRIBUTE.findall(found)}
    return {
        field.name: {
            **({"description": texts[field.name]} if field.name in texts else {}),
            **schema_of(hints[field.name], may_be),
        }
        for field in fields(kind)
        if field.name not in without
    }


def plain(text: str) -> str:
    """A description without the markup of docstrings, with JSON's word for ``None``."""
    return re.sub(r"\bNone\b", "null", ROLE.sub(r"\1", " ".join(text.split())))


def first_sentence(kind: type[Any]) -> str:
    paragraph = inspect.cleandoc(kind.__doc__ or "").split("\n\n", 1)[0]
    return plain(paragraph.replace("``", ""))


def record_of(kind: type[Any], without: tuple[str, ...] = (), **more: Schema) -> Schema:
    """An object with the fields of a dataclass."""
    return record({**properties_of(kind, without), **more}, first_sentence(kind))


def event(name: str, properties: Mapping[str, Schema], description: str) -> Schema:
    head = {"event": {"const": name}, "schema": {"const": SCHEMA}}
    return record({**head, **properties}, description)


OWN_FIELDS: dict[type[Event], dict[str, Schema]] = {
    BatchFinished: {"report": reference("report")},
    ExcerptRendered: {"waves": NAMES, "attention": NAMES},
    DryRunFinished: {"run": reference("run")},
}
"""Fields whose JSON differs from the dataclass, or that a command adds."""

ADVISED: Schema = {
    **{name: TEXT for name in ("name", "licence", "consent", "command")},
    **{"outputs": NAMES, "size": COUNT, "installed": FLAG},
    **{"score": {"type": ["object", "null"]}, "song_seconds": NUMBER, "seconds": UNKNOWN},
}
BOUNDS: dict[str, Any] = {"outputs": NAMES, "role": TEXT, "installed": FLAG}
RULES = mapped(ANY)
ROWS = listed(record({"method": TEXT, "stem": TEXT, "songs": mapped(COUNT), "values": RULES}))


def events() -> dict[str, Schema]:
    """The schema of every event by name."""
    found = {}
    for kind in sorted(event_classes(), key=event_name):
        own = OWN_FIELDS.get(kind, {})
        hidden = ("trace",) if kind is ScoringFailed else ()
        properties = {**properties_of(kind, (*own, *hidden)), **own}
        found[event_name(kind)] = event(event_name(kind), properties, first_sentence(kind))
    return found | {
        "error": event(
            "error",
            {"kind": TEXT, "message": TEXT, "exit_code": COUNT},
            "An error ended the command; kind is the name of its class.",
        ),
        "interrupted": event(
            "interrupted", {"message": TEXT, "exit_code": COUNT}, "Ctrl-C ended the command."
        ),
        "model_added": event("model_added", {"card": reference("card")}, "A model was added."),
        "data_checked": event("data_checked", data_checked(), "Training data was checked."),
        "data_rendered": event("data_rendered", {"songs": NAMES}, "Songs were rendered."),
        "evaluated": event(
            "evaluated", {"rules": RULES, "metrics": RULES, "rows": ROWS}, "Scores of all methods."
        ),
        "compared": event(
            "compared", {"metric": TEXT, "rows": listed(mapped(ANY))}, "Differences of scores."
        ),
        "measured": event(
            "measured",
            {"machine": TEXT, "rows": listed(record_of(Speed))},
            "Speed and memory of models.",
        ),
    }


def data_checked() -> dict[str, Schema]:
    return {
        "layout": TEXT,
        "training": COUNT,
        "validation": COUNT,
        "seconds": NUMBER,
        "sample_rates": mapped(COUNT),
        "stems": mapped(COUNT),
        "notes": NAMES,
        "problems": NAMES,
    }


def parts() -> dict[str, Schema]:
    """Objects inside events and documents."""
    layer = record_of_layer()
    totals = {
        **{name: COUNT for name in ("done", "skipped", "failed")},
        **{name: NUMBER for name in ("audio_seconds", "wall_seconds", "network_seconds", "speed")},
        "tracks": listed(reference("track_report")),
    }
    return {
        "card": record_of(Card),
        "layer": layer,
        "run": record({"event": {"const": "run_started"}, **properties_of(RunStarted)}),
        "report": record(totals, first_sentence(BatchReport)),
        "track_report": record_of(TrackReport, without=("trace",)),
    }


def record_of_layer() -> Schema:
    hints = typing.get_type_hints(LayerInfo)
    properties = {
        field.name: listed(reference("layer"))
        if field.name == "parts"
        else schema_of(hints[field.name])
        for field in fields(LayerInfo)
    }
    return record(properties, first_sentence(LayerInfo))


def documents() -> dict[str, Schema]:
    """Documents without ``event``, by the command that prints them."""
    card = properties_of(Card)
    architecture = {"architecture": TEXT, "purpose": TEXT, "role": TEXT, "stems": NAMES}
    network = {"anyOf": [reference("layer"), {"type": "null"}]}
    drawn = {"options": mapped(ANY), "parts": mapped(COUNT), "network": network}
    described = {"title": TEXT, "source": TEXT, "sample_rate": COUNT, "channels": COUNT}
    setting = record_of(SettingInForce, without=("text",))
    names = {"recipe": TEXT, "space": TEXT, "options": mapped(ANY), "network": reference("layer")}
    return {
        "stem models list": listed(record({**card, **BOUNDS})),
        "stem models list --architectures": listed(record({**architecture, "parameters": COUNT})),
        "stem models info MODEL": record({**card, **BOUNDS, **drawn}),
        "stem models info ARCHITECTURE": record(
            {**architecture, **described, "segment": COUNT, "parameters": COUNT, **names}
        ),
        "stem models advise": record(
            {
                "stems": NAMES,
                "count": COUNT,
                "not_measured": COUNT,
                "models": listed(record(ADVISED)),
                "advice": record({"name": TEXT, "reason": TEXT}),
            }
        ),
        "stem models verify": listed(record_of(State, ok=FLAG)),
        "stem models add": reference("card"),
        "stem models convert": reference("card"),
        "stem models path": record({"name": TEXT, "path": TEXT}),
        "stem models remove": record({"name": TEXT, "removed": NAMES}),
        "stem config path": record({"path": TEXT, "exists": FLAG}),
        "stem config show": listed(setting),
        "stem config get": setting,
        "stem config set": record({"key": TEXT, "value": ANY, "path": TEXT}),
        "stem config unset": record({"key": TEXT, "removed": FLAG, "path": TEXT}),
        "stem completion": record({"shell": TEXT, "script": TEXT}),
        "stem completion --install": record({"shell": TEXT, "written": NAMES}),
        "stem doctor": listed(record_of(Check)),
    }


def schema() -> Schema:
    """The whole schema: any event, or any document of a command."""
    single = documents()
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:stemcli:events:{SCHEMA}",
        "title": "What the commands of stem print with --json, one document per line",
        "version": SCHEMA,
        "anyOf": [reference(name) for name in events()] + [*map(reference, map(key, single))],
        "$defs": {**events(), **{key(name): each for name, each in single.items()}, **parts()},
    }


def key(command: str) -> str:
    """The name of the definition of a command's document: ``models_info_model``."""
    return "_".join(re.findall(r"[a-z]+", command.removeprefix("stem ").lower()))


def text() -> str:
    """The file."""
    return json.dumps(schema(), indent=1) + "\n"


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
