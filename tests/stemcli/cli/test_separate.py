"""``stem separate`` with the fake engine: arguments in, files and messages out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.stemcli.batch.fake import make_songs
from tests.stemcli.cli.conftest import RunStem
from tests.stemcli.cli.results import errors

pytestmark = pytest.mark.usefixtures("fake_engine")


def test_one_song(tmp_path: Path, run_stem: RunStem) -> None:
    make_songs(tmp_path, "a.mp3")
    result = run_stem("separate", "a.mp3")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "separated/a/vocals.wav").read_text() == "vocals of a.mp3"
    assert "a.mp3: done in 0:02, 5.0x real time" in result.stderr
    assert str(Path("separated/a/instrumental.wav")) in result.stderr


def test_a_bad_song_does_not_stop_the_rest(tmp_path: Path, run_stem: RunStem) -> None:
    make_songs(tmp_path, "a.mp3", "c.mp3")
    result = run_stem("separate", "a.mp3", "missing.mp3", "c.mp3")
    assert result.exit_code == 1
    assert errors(result.stderr) == ["Error: missing.mp3 holds no sound that can be read"]
    assert (tmp_path / "separated/c/vocals.wav").exists()
    assert result.stderr.splitlines()[-1].split()[:4] == ["2", "0", "1", "0:20"]


def test_options_reach_the_engine(tmp_path: Path, run_stem: RunStem) -> None:
    make_songs(tmp_path, "a.mp3")
    result = run_stem(
        *("separate", "a.mp3", "-o", "out", "--filename", "{stem}-{track}.{ext}", "-f", "flac")
    )
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "instrumental-a.flac",
        "vocals-a.flac",
    ]


def test_existing_stems(tmp_path: Path, run_stem: RunStem) -> None:
    make_songs(tmp_path, "a.mp3")
    run_stem("separate", "a.mp3")
    refused = run_stem("separate", "a.mp3")
    assert refused.exit_code == 1
    assert "Add --skip-existing or --overwrite" in refused.stderr
    assert "skipped, all stems exist" in run_stem("separate", "a.mp3", "--skip-existing").stderr
    assert run_stem("separate", "a.mp3", "--overwrite").exit_code == 0


def test_json_is_events_and_nothing_else(tmp_path: Path, run_stem: RunStem) -> None:
    make_songs(tmp_path, "a.mp3")
    result = run_stem("separate", "a.mp3", "bad.mp3", "--json")
    events = [json.loads(line)["event"] for line in result.stdout.splitlines()]
    assert events == [
        *("batch_started", "model_loaded", "track_started", "progress", "progress"),
        *("track_finished", "track_failed", "batch_finished"),
    ]
    assert result.exit_code == 1


def test_quiet_prints_nothing(tmp_path: Path, run_stem: RunStem) -> None:
    make_songs(tmp_path, "a.mp3")
    result = run_stem("separate", "a.mp3", "--quiet")
    assert (result.exit_code, result.output) == (0, "")


def test_verbose_shows_the_traceback(tmp_path: Path, run_stem: RunStem) -> None:
    make_songs(tmp_path, "a.mp3", content="crash")
    result = run_stem("separate", "a.mp3")
    assert result.exit_code == 1
    assert "This is a bug in stem" in result.stderr
    assert "Traceback" not in result.output
    assert "Traceback" in run_stem("separate", "a.mp3", "--verbose").stderr


def test_a_folder_points_to_batch(tmp_path: Path, run_stem: RunStem) -> None:
    make_songs(tmp_path, "my songs/a.mp3")
    result = run_stem("separate", "my songs")
    assert result.exit_code == 2
    assert "Try: stem batch 'my songs'" in result.stderr


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (["--start", "soon"], "is not a time. Try e.g. 90, 1:30 or 1:02:03.5"),
        (["--overlap", "2"], "is not at least 0 and below 1"),
        (["--bit-depth", "12"], "'12' is not one of"),
        (["--format", "wma"], "'wma' is not one of"),
        (["--device", "gpu"], "is not a device"),
        (["--start", "60", "--end", "30"], "--end must come after --start"),
        (["--stems", "vocals", "--two-stems", "vocals"], "contradict each other"),
        (["--skip-existing", "--overwrite"], "contradict each other"),
        (["--jobs", "0"], "is not a whole number from 1 to 64"),
        (["--shift", "2"], "No such option"),
    ],
    ids=" ".join,
)
def test_wrong_usage(args: list[str], sentence: str, tmp_path: Path, run_stem: RunStem) -> None:
    make_songs(tmp_path, "a.mp3")
    result = run_stem("separate", "a.mp3", *args)
    assert result.exit_code == 2
    assert sentence in result.stderr
    assert not (tmp_path / "separated").exists()


def test_no_song_is_wrong_usage(run_stem: RunStem) -> None:
    result = run_stem("separate")
    assert (result.exit_code, "Missing argument 'SONG...'" in result.stderr) == (2, True)
