"""``stem config``: what it prints, writes and refuses."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest

from stemcli.cli.config import SEPARATION, cast
from stemcli.settings import SETTINGS
from tests.stemcli.cli.conftest import RunStem
from tests.stemcli.cli.results import error_line


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The settings file of ``run_stem``; it does not exist yet."""
    return tmp_path / ".settings/config.toml"


def test_a_setting_that_contradicts_another_gets_a_note(run_stem: RunStem) -> None:
    assert "Note" not in run_stem("config", "set", "two_stems", "vocals").stderr
    result = run_stem("config", "set", "stems", "vocals")
    assert result.exit_code == 0
    assert re.search(
        r"Note: stem separate will refuse the settings: .*stems in .* and two_stems in .* contr",
        result.stderr,
    )


@pytest.mark.parametrize(
    ("argument", "advice"),
    [
        ("format=flac", "Try: stem config set format flac."),
        ("filename={track} {stem}.{ext}", "set filename '{track} {stem}.{ext}'."),
        ("format", "Add it after format."),
    ],
)
def test_a_missing_value_gets_advice(argument: str, advice: str, run_stem: RunStem) -> None:
    line = error_line(run_stem("config", "set", argument), 2)
    assert line.startswith("Error: Missing argument 'VALUE'. ")
    assert advice in line


def test_path(run_stem: RunStem, file: Path) -> None:
    assert run_stem("config", "path").stdout == f"{file}\n"
    document = run_stem("config", "path", "--json").stdout
    assert json.loads(document) == {"path": str(file), "exists": False}


def test_set_get_and_unset(run_stem: RunStem, file: Path) -> None:
    assert run_stem("config", "get", "format").stdout == "wav\n"
    assert run_stem("config", "set", "format", "flac").stderr == f"format is now flac in {file}\n"
    assert run_stem("config", "get", "format").stdout == "flac\n"
    assert run_stem("config", "unset", "format").stderr == f"Removed format from {file}\n"
    assert run_stem("config", "get", "format").stdout == "wav\n"
    again = run_stem("config", "unset", "format")
    assert (again.exit_code, again.stderr) == (0, f"format is not set in {file}\n")


def test_values_without_a_default_print_nothing(run_stem: RunStem) -> None:
    result = run_stem("config", "get", "overlap")
    assert (result.exit_code, result.stdout) == (0, "")
    assert json.loads(run_stem("config", "get", "overlap", "--json").stdout)["value"] is None


def test_show_lists_every_setting_with_its_source(
    run_stem: RunStem, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_stem("config", "set", "jobs", "2")
    run_stem("config", "set", "stems", "vocals,drums")
    monkeypatch.setenv("STEM_SEGMENT", "1:30")
    monkeypatch.setenv("STEM_FORMT", "mp3")
    rows = json.loads(run_stem("config", "show", "--json").stdout)
    assert [row["key"] for row in rows] == [*SETTINGS]
    by_key = {row.pop("key"): row for row in rows}
    assert by_key["jobs"] == {"value": 2, "source": "file", "where": str(file), "problem": ""}
    assert by_key["stems"]["value"] == ["vocals", "drums"]
    assert by_key["segment"] == {
        "value": 90.0, "source": "environment", "where": "STEM_SEGMENT", "problem": "",
    }  # fmt: skip
    assert by_key["format"] == {
        "value": "wav", "source": "default", "where": "default", "problem": "",
    }  # fmt: skip
    shown = run_stem("config", "show")
    table = [line.split("   ") for line in shown.stdout.splitlines()]
    cells = {row[0].strip(): [cell.strip() for cell in row[1:] if cell.strip()] for row in table}
    assert cells["segment"] == ["1:30", "STEM_SEGMENT"]
    assert cells["overlap"] == ["the model's", "default"]
    assert shown.stderr == (
        f"\nFile: {file}\nNote: STEM_FORMT has no effect. Did you mean STEM_FORMAT?\n"
    )


def test_show_survives_invalid_values(
    run_stem: RunStem, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STEM_JOBS", "many")
    result = run_stem("config", "show")
    assert result.exit_code == 2
    assert "Invalid value for STEM_JOBS: 'many' is not a whole number from 1 to 64" in result.stderr
    assert len([line for line in result.stdout.splitlines() if line]) == 1 + len(SETTINGS)
    assert run_stem("config", "get", "jobs").exit_code == 2
    assert run_stem("config", "get", "format").stdout == "wav\n"
    file.parent.mkdir()
    file.write_text("format =")
    result = run_stem("config", "show")
    assert result.exit_code == 2
    assert "not valid TOML" in result.stderr
    assert "many" in result.stdout


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("format", "mp4", "Invalid value for format: 'mp4' is not one of 'wav', 'flac'"),
        ("jobs", "0", "Invalid value for jobs: '0' is not a whole number from 1 to 64"),
        ("device", "gpu", "Invalid value for device: 'gpu' is not a device. Try auto, cpu"),
        ("overwrite", "perhaps", "Invalid value for overwrite: 'perhaps' is not a valid boolean"),
        ("stems", ",", "Invalid value for stems: no name was given"),
        ("segment", "0.1", "segment must be from 0.25 to 600.0 seconds, found 0.1"),
        ("bitrate", "5000", "bitrate of mp3 goes from 64 to 320, found 5000; bitrate of"),
        ("quality", "77", "quality of mp3 goes from 0 (best) to 9, found 77; quality of"),
        ("filename", "{trak}", "filename: unknown field {trak}, did you mean {track}?"),
        ("filename", "../{stem}.wav", "filename: '../{stem}.wav' leaves the output folder"),
        ("model", "melrofrmer", "Unknown model 'melrofrmer': did you mean 'melroformer'?"),
        ("model", ",", "Invalid value for model: no name was given"),
        ("formt", "mp3", "Unknown setting 'formt': did you mean 'format'? See: stem config show"),
        ("start", "3", "Unknown setting 'start'"),
    ],
)
def test_values_that_separation_would_refuse_are_refused(
    key: str, value: str, sentence: str, run_stem: RunStem, file: Path
) -> None:
    result = run_stem("config", "set", key, value)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"Error: {sentence}")
    assert not file.exists()


def test_a_model_is_a_path_exactly_where_separation_takes_one(
    run_stem: RunStem, file: Path, tmp_path: Path
) -> None:
    """A folder needs no slash, and a dot alone makes no path."""
    refused = run_stem("config", "set", "model", "mine")
    assert (refused.exit_code, refused.stderr.partition(":")[2][:22]) == (
        2,
        " Unknown model 'mine':",
    )
    (tmp_path / "mine").mkdir()
    assert run_stem("config", "set", "model", "mine").exit_code == 0
    assert run_stem("config", "set", "phase_model", "later.safetensors").exit_code == 0
    refused = run_stem("config", "set", "model", "spleeter.2stems")
    assert refused.exit_code == 2
    assert refused.stderr.startswith("Error: Unknown model 'spleeter.2stems': did you mean")


def test_values_in_capitals(run_stem: RunStem, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on the command line."""
    assert run_stem("config", "set", "format", "MP3").stderr == f"format is now mp3 in {file}\n"
    monkeypatch.setenv("STEM_CLIP_MODE", "Clamp")
    assert run_stem("config", "get", "format").stdout == "MP3\n"
    assert json.loads(run_stem("config", "get", "clip_mode", "--json").stdout)["value"] == "clamp"
    assert run_stem("config", "show").exit_code == 0


@pytest.mark.parametrize("command", [["get"], ["unset"]])
def test_unknown_keys(command: list[str], run_stem: RunStem) -> None:
    result = run_stem("config", *command, "fromat")
    assert result.exit_code == 2
    assert "Unknown setting 'fromat': did you mean 'format'?" in result.stderr


GOOD = {
    "model": "melroformer", "weights": "2", "combine": "max", "phase_model": "runs/phase",
    "stems": "vocals,drums",
    "two_stems": "vocals", "karaoke": "true", "output": "Stems",
    "filename": "{stem}/{track}.{ext}", "format": "mp3",
    "bit_depth": "24", "bitrate": "192", "quality": "2", "clip_mode": "clamp", "picture": "true",
    "skip_existing": "yes", "overwrite": "1", "overlap": "0.5", "segment": "1:30",
    "grid": "centered", "shifts": "2", "seed": "7", "device": "cuda:1", "precision": "bf16",
    "backend": "torch",
    "batch_size": "4", "jobs": "3", "retries": "2",
}  # fmt: skip
"""A valid value for every setting."""


@pytest.mark.parametrize("key", SETTINGS)
def test_every_setting_can_be_set_and_comes_back(key: str, run_stem: RunStem, file: Path) -> None:
    result = run_stem("config", "set", key.replace("_", "-"), GOOD[key], "--json")
    assert result.exit_code == 0, result.output
    assert [*tomllib.loads(file.read_text())] == [key]
    row = json.loads(run_stem("config", "get", key, "--json").stdout)
    expected = cast(SETTINGS[key], GOOD[key])
    expected = list(expected) if isinstance(expected, tuple) else expected
    assert (row["value"], row["source"], row["problem"]) == (expected, "file", "")
    assert json.loads(result.stdout) == {"key": key, "value": expected, "path": str(file)}


def test_every_setting_is_an_option_of_separation() -> None:
    assert {setting.key for setting in SEPARATION.settings.values()} == {*SETTINGS}


def test_a_variable_that_hides_the_new_value_is_mentioned(
    run_stem: RunStem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STEM_FORMAT", "mp3")
    stderr = run_stem("config", "set", "format", "flac").stderr
    assert stderr.endswith("Note: STEM_FORMAT is set and comes first: mp3\n")


def test_a_file_with_unknown_keys_is_mended_by_unset(run_stem: RunStem, file: Path) -> None:
    file.parent.mkdir()
    file.write_text("# mine\nformt = 3\njobs = 2\n")
    refused = run_stem("config", "set", "jobs", "3")
    assert refused.exit_code == 2
    assert "To remove it: stem config unset formt" in refused.stderr
    assert file.read_text() == "# mine\nformt = 3\njobs = 2\n"
    assert run_stem("config", "unset", "formt").exit_code == 0
    assert file.read_text() == "# mine\njobs = 2\n"
