"""Validates documents of ``--json`` against the published schema, strictly.

The published schema allows further properties, which a later version may add; here they are errors.
"""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

import jsonschema

PUBLISHED: dict[str, Any] = json.loads(
    files("stemcli").joinpath("events.schema.json").read_text(encoding="utf-8")
)


def closed(schema: Any) -> Any:
    """The schema without room for further properties."""
    if isinstance(schema, list):
        return [*map(closed, schema)]
    if not isinstance(schema, dict):
        return schema
    inner = {key: closed(value) for key, value in schema.items()}
    return {**inner, "additionalProperties": False} if "required" in schema else inner


STRICT = closed(PUBLISHED)


def validate(document: Any, definition: str = "") -> None:
    """Validate an event by its name, or another document by the name of its definition.

    Raises:
        jsonschema.ValidationError: the document does not fit.
    """
    definition = definition or document["event"]
    assert definition in STRICT["$defs"], definition
    chosen = {"$ref": f"#/$defs/{definition}", "$defs": STRICT["$defs"]}
    jsonschema.Draft202012Validator(chosen).validate(json.loads(json.dumps(document)))


def validate_lines(text: str, definition: str = "") -> list[Any]:
    """Validate every line of an output; returns the documents, of which there must be some."""
    documents = [json.loads(line, parse_constant=_refuse) for line in text.splitlines()]
    assert documents
    for document in documents:
        validate(document, definition if "event" not in document else "")
    return documents


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")
