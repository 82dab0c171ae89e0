"""The published schema of ``--json``, and what the commands print.

Reference: ``stemcli/events.schema.json``, the dataclasses of events, and ``docs/json.md``.
"""

from __future__ import annotations

import json
import re
import typing
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import soundfile
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stemcli.batch.report import BatchFinished, BatchReport, TrackReport
from stemcli.cli.app import stem
from stemcli.cli.json_output import SCHEMA, write_document
from stemcli.engine.events import Event
from tests.golden.schema.make_schema import FILE, documents, event_classes, event_name, key, text
from tests.stemcli.cli.conftest import ROOT, RunStem
from tests.stemcli.cli.schema import PUBLISHED, validate, validate_lines
from tests.trainers.data.songs_on_disk import write as write_songs
from trainers.loop.dry_run import DryRunFinished
from trainers.loop.events import ExcerptRendered

CLASSES = [*event_classes()]


def test_the_file_is_up_to_date() -> None:
    """Run ``python -m tests.golden.schema.make_schema`` after a change of an event."""
    assert FILE.read_text("utf-8") == text()


def test_the_schema_is_valid_and_names_its_version() -> None:
    jsonschema.Draft202012Validator.check_schema(PUBLISHED)
    assert PUBLISHED["version"] == SCHEMA
    assert PUBLISHED["$id"].endswith(f":{SCHEMA}")


def song(path: Path, seconds: float = 1.0) -> Path:
    noise = 0.1 * np.random.default_rng(0).standard_normal((round(seconds * 8000), 2))
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, noise, 8000)
    return path


def test_separate_and_batch(run_tiny: RunStem, tmp_path: Path) -> None:
    song(tmp_path / "in/a.wav")
    (tmp_path / "in/b.wav").write_bytes(b"RIFF")
    one = validate_lines(run_tiny("separate", "in/a.wav", "in/b.wav", "--json").stdout)
    seen = {document["event"] for document in one}
    assert seen >= {"model_loaded", "track_started", "progress", "track_finished", "track_failed"}
    assert one[-1]["report"]["failed"] == 1
    validate_lines(run_tiny("batch", "in", "-o", "out", "--json").stdout)
    again = validate_lines(run_tiny("batch", "in", "-o", "out", "--json").stdout)
    assert "track_skipped" in {document["event"] for document in again}
    assert {document["schema"] for document in [*one, *again]} == {SCHEMA}


@pytest.mark.parametrize(
    ("command", "definition"),
    [
        ("models list", "models_list"),
        ("models list --architectures", "models_list_architectures"),
        ("models advise --no-measure -d cpu", "models_advise"),
        ("models info tiny", "models_info_model"),
        ("models info melrnn", "models_info_architecture"),
        ("models verify", "models_verify"),
        ("models remove tiny", "models_remove"),
        ("config path", "config_path"),
        ("config show", "config_show"),
        ("config get format", "config_get"),
        ("config set format flac", "config_set"),
        ("config unset format", "config_unset"),
        ("completion bash", "completion"),
        ("doctor", "doctor"),
    ],
)
def test_documents_of_commands(run_tiny: RunStem, command: str, definition: str) -> None:
    """The model that ``run_tiny`` adds is one of them."""
    result = CliRunner().invoke(stem, [*command.split(), "--json"])
    assert len(validate_lines(result.stdout, definition)) == 1


def test_data_and_evaluation(run_stem: RunStem, tmp_path: Path) -> None:
    write_songs(tmp_path / "songs", "{a,b}/{vocals,drums}.wav")
    validate_lines(run_stem("data", "check", "songs", "--json").stdout)
    for folder in ("truth", "made"):
        for name in ("vocals", "band"):
            song(tmp_path / folder / f"x/{name}.wav", 2.0)
    documents = validate_lines(run_stem("eval", "folder", "truth", "made", "--json").stdout)
    assert [document["event"] for document in documents][-1] == "evaluated"
    validate_lines(run_stem("data", "render", "toy", "--songs", 1, "--seconds", 1, "--json").stdout)


WRONG = {
    "an option that does not exist": ("separate", "x.wav", "--json", "--bogus"),
    "a missing argument": ("separate", "--json"),
    "a bad value": ("separate", "x.wav", "--format", "mp4", "--json"),
    "a value that is missing": ("separate", "x.wav", "--json", "--format"),
    "a contradiction": ("separate", "x.wav", "--json", "--quiet"),
    "two wrong options": ("separate", "x.wav", "--json", "--start", "9", "--end", "1"),
    "a command that does not exist": ("seperate", "x.wav", "--json"),
    "before the command": ("--json", "separate", "x.wav"),
    "a group": ("models", "--json"),
    "a model that does not exist": ("separate", "x.wav", "-m", "nope", "--json"),
    "a folder": ("separate", ".", "--json"),
    "an empty argument": ("separate", "", "--json"),
    "no songs": ("batch", ".", "--json"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_usage_is_one_object(run_stem: RunStem, name: str) -> None:
    """On standard output; the same sentence is on standard error, as without ``--json``."""
    result = run_stem(*WRONG[name])
    (document,) = validate_lines(result.stdout)
    assert document["event"] == "error"
    assert document["exit_code"] == result.exit_code == 2
    assert result.stderr == f"Error: {document['message']}\n"
    without = run_stem(*(word for word in WRONG[name] if word != "--json"))
    assert without.stdout == ""


def test_the_kind_is_the_class_of_the_error(run_stem: RunStem, tmp_path: Path) -> None:
    kinds = {
        name: validate_lines(run_stem(*WRONG[name]).stdout)[0]["kind"]
        for name in ("a missing argument", "two wrong options", "a model that does not exist")
    }
    assert [*kinds.values()] == ["UsageError", "ConfigError", "UnknownNameError"]


def test_other_errors_and_bugs(run_stem: RunStem, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 1; the class of an unexpected exception is its kind."""

    def breaks() -> None:
        raise ZeroDivisionError("x")

    monkeypatch.setattr("stemcli.cli.doctor.examine", breaks)
    result = run_stem("doctor", "--json")
    (document,) = validate_lines(result.stdout)
    assert (document["kind"], document["exit_code"], result.exit_code) == (
        "ZeroDivisionError",
        1,
        1,
    )


def test_an_interruption(run_stem: RunStem, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt("To resume, wait.")

    monkeypatch.setattr("stemcli.cli.doctor.examine", interrupted)
    result = run_stem("doctor", "--json")
    (document,) = validate_lines(result.stdout)
    assert (document["event"], document["exit_code"], result.exit_code) == ("interrupted", 130, 130)
    assert result.stderr == f"{document['message']}\n" == "Interrupted. To resume, wait.\n"


def test_a_file_named_like_the_option_does_not_ask_for_json(run_stem: RunStem) -> None:
    assert run_stem("separate", "--bogus", "--", "--json").stdout == ""
    assert run_stem("separate", "--bogus").stdout == ""


def test_numbers_that_json_lacks_become_null(capsys: pytest.CaptureFixture[str]) -> None:
    write_document({"event": "x", "losses": {"total": float("nan")}, "rows": [float("inf"), 1.5]})
    assert json.loads(capsys.readouterr().out) == {
        "event": "x",
        "losses": {"total": None},
        "rows": [None, 1.5],
        "schema": SCHEMA,
    }


NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
VALUES: dict[Any, Callable[[], st.SearchStrategy[Any]]] = {
    int: lambda: st.integers(-(2**53), 2**53),
    float: lambda: NUMBERS,
    str: lambda: st.text(max_size=5),
    Any: lambda: st.none() | st.text(max_size=5),
}


def values(kind: type[Event]) -> st.SearchStrategy[Event]:
    """Events of a class with any values of their types; arrays of excerpts are small."""
    hints = typing.get_type_hints(kind)
    arrays = st.just({"x": np.zeros((1, 1))})
    special: dict[Any, dict[str, st.SearchStrategy[Any]]] = {
        ExcerptRendered: {"waves": arrays, "attention": arrays},
        BatchFinished: {"report": reports()},
    }
    own = special.get(kind, {})
    usual = {field.name: field for field in fields(kind) if field.name not in own}
    return st.builds(kind, **own, **{name: of_type(hints[name]) for name in usual})


def reports() -> st.SearchStrategy[dict[str, Any]]:
    tracks = st.lists(st.builds(TrackReport), max_size=2).map(tuple)
    return st.builds(BatchReport, tracks=tracks, wall_seconds=NUMBERS, network_seconds=NUMBERS).map(
        BatchReport.to_dict
    )


def of_type(hint: Any) -> st.SearchStrategy[Any]:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if hint in VALUES:
        return VALUES[hint]()
    if origin is tuple:
        return st.lists(of_type(args[0]), max_size=2).map(tuple)
    if origin is not None and isinstance(origin, type) and issubclass(origin, typing.Mapping):
        return st.dictionaries(st.text(max_size=3), of_type(args[1]), max_size=2)
    return st.from_type(hint)


# Finalizers of other tests may use random while hypothesis draws.
@pytest.mark.filterwarnings("ignore:Do not use the `random` module")
@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
@settings(max_examples=10, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_every_event_class_fits(kind: type[Event], data: st.DataObject) -> None:
    event = data.draw(values(kind)).to_dict()
    if kind is DryRunFinished:
        assert "run" not in event
        return
    validate({**event, "schema": SCHEMA})


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_a_field_too_few_or_of_another_type_does_not_fit(kind: type[Event]) -> None:
    """The schema refuses something: every field is required, and an object is no text."""
    definition = PUBLISHED["$defs"][event_name(kind)]
    required = {field.name for field in fields(kind)} - {"trace"}
    assert required <= {*definition["required"]}
    for name in required:
        allowed = definition["properties"][name]
        checker = jsonschema.Draft202012Validator({**allowed, "$defs": PUBLISHED["$defs"]})
        assert not checker.is_valid(object()), name


def test_the_tables_of_the_page_name_exactly_the_fields() -> None:
    """Words in parentheses explain a field."""
    page = (ROOT / "docs/json.md").read_text("utf-8")
    rows = re.findall(r"^\| `([a-z_]+)` \| (.*) \| .* \|$", page, re.M)
    documented = {name: names_in(text) for name, text in rows}
    events = {
        name: {*definition["required"]} - {"event", "schema"}
        for name, definition in PUBLISHED["$defs"].items()
        if "schema" in definition.get("properties", {})
    }
    single = {
        name: names_in(text)
        for name, text in re.findall(r"^\| `stem .*` \| `(\w+)`: (.*) \|$", page, re.M)
    }
    assert documented | single == events


def test_the_table_of_documents_names_exactly_the_fields() -> None:
    page = (ROOT / "docs/json.md").read_text("utf-8")
    rows = dict(re.findall(r"^\| `stem (.+?)` \| (?:a list of )?(`\w+`, .*) \|$", page, re.M))
    documented = {"_".join(re.findall("[a-z]+", key)): names_in(rows[key]) for key in rows}
    described = {"models_list", "models_info_model", "models_info_architecture", "config_get"}
    single = {name for name in map(key, documents()) if not name.startswith("models_info")}
    assert documented.keys() == single - described - {"models_add", "models_convert"}
    for name, found in documented.items():
        definition = PUBLISHED["$defs"][name]
        assert found == {*definition.get("items", definition)["required"]}, name


def names_in(text: str) -> set[str]:
    return {*re.findall(r"`(\w+)`", re.sub(r"\([^)]*\)", "", text))}
