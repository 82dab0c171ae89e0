"""``--picture`` with the real engine: files, messages, and what is imported."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import soundfile
from PIL import Image

from tests.stemcli.cli.conftest import RunStem
from tests.stemcli.cli.results import errors
from tests.stemcli.cli.test_lazy import loaded_by
from tests.stemcli.engine.stubs import noise


def write_song(path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    soundfile.write(path, noise(4000), 16_000)


def test_a_picture_lies_beside_the_stems_and_is_named(tmp_path: Path, run_tiny: RunStem) -> None:
    write_song(tmp_path / "日本語 $1.wav")
    result = run_tiny("separate", "日本語 $1.wav", "--picture")
    assert result.exit_code == 0, result.output
    path = Path("separated/日本語 $1/spectrograms.png")
    lines = [line.split(maxsplit=1) for line in result.stderr.splitlines()]
    assert ["picture", str(path)] in lines
    with Image.open(tmp_path / path) as image:
        assert image.size == (1600, 80 + 3 * 240)


def test_json_has_the_picture_or_null(tmp_path: Path, run_tiny: RunStem) -> None:
    write_song(tmp_path / "a.wav")
    for options, expected in (((), None), (("--picture",), "separated/a/spectrograms.png")):
        result = run_tiny("separate", "a.wav", "--json", "--overwrite", *options)
        events = [json.loads(line) for line in result.stdout.splitlines()]
        (end,) = (event for event in events if event["event"] == "track_finished")
        assert end["picture"] == expected
        assert set(end["outputs"]) == {"vocals", "band"}
        (track,) = events[-1]["report"]["tracks"]
        assert track["picture"] == expected


def test_a_batch_draws_pictures_of_songs_done_before(tmp_path: Path, run_tiny: RunStem) -> None:
    write_song(tmp_path / "Music/a.wav")
    assert run_tiny("batch", "Music").exit_code == 0
    path = tmp_path / "separated/a/spectrograms.png"
    assert not path.exists()
    again = run_tiny("batch", "Music", "--picture")
    assert "1 song again: the picture is missing" in again.stderr
    assert path.exists()
    assert "1 song skipped: done in an earlier run" in run_tiny("batch", "Music").stderr


@pytest.mark.parametrize("command", ["separate a.wav", "batch ."])
def test_without_matplotlib_nothing_is_started(
    tmp_path: Path, run_tiny: RunStem, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    write_song(tmp_path / "a.wav")
    monkeypatch.setitem(sys.modules, "stemcli.plots", None)
    result = run_tiny(*command.split(), "--picture")
    assert result.exit_code == 1
    (error,) = errors(result.stderr)
    assert error.startswith("Error: matplotlib, which --picture needs, cannot be used (")
    assert error.endswith(
        "Try: pip install --force-reinstall matplotlib, or run it again without --picture"
    )
    assert "Model" not in result.stderr
    assert not (tmp_path / "separated").exists()


def test_only_a_picture_loads_matplotlib(tmp_path: Path) -> None:
    write_song(tmp_path / "a.wav")
    command = ("separate", str(tmp_path / "a.wav"), "--overwrite", "-o", str(tmp_path / "out"))
    assert "matplotlib" not in loaded_by(*command)
    assert "matplotlib" in loaded_by(*command, "--picture")
