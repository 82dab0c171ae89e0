"""``stem eval`` on the command line."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import pytest
import soundfile
import torch

from model_zoo.catalogue.cards import Card, find
from model_zoo.catalogue.install import install
from stemcli.cli.console import Console
from tests.model_zoo.small import small_network
from tests.trainers.evaluation.conftest import RunStem
from tests.trainers.evaluation.songs import RATE, noise, write
from trainers.cli.evaluate_display import EvaluationDisplay
from trainers.evaluation.events import ScoringFailed

VOICE, BAND = noise(1), noise(2)


@pytest.fixture
def trees(run_stem: RunStem, tmp_path: Path) -> Path:
    """Two songs in truth/, with estimates in made/ that leak a tenth of the other stem: 20 dB."""
    for number, song in enumerate(("one", "two/inner")):
        voice, band = noise(10 * number), noise(10 * number + 1)
        write(tmp_path / "truth" / song / "vocals.wav", voice)
        write(tmp_path / "truth" / song / "instrumental.wav", band)
        write(tmp_path / "made" / song / "vocals.wav", voice + 0.1 * band)
        write(tmp_path / "made" / song / "no_vocals.wav", band + 0.1 * voice)
    return tmp_path


@pytest.mark.usefixtures("trees")
def test_folder_of_two_trees(run_stem: RunStem, tmp_path: Path) -> None:
    result = run_stem("eval", "folder", "truth", "made")
    assert result.exit_code == 0, result.stderr
    rows = [line.split() for line in result.stdout.splitlines() if line.startswith("made ")]
    assert [row[1] for row in rows] == ["instrumental", "vocals"]
    assert all(float(row[6]) == pytest.approx(20, abs=0.2) for row in rows)
    assert all(row[-1] == "2" for row in rows)
    assert "median over windows of 1 s" in result.stdout
    assert {*os.listdir(tmp_path)} >= {"truth", "made"}
    assert "scores" not in os.listdir(tmp_path)


@pytest.mark.usefixtures("trees")
def test_json_events_of_eval_folder(run_stem: RunStem) -> None:
    result = run_stem("eval", "folder", "truth", "made", "--json")
    events = [json.loads(line) for line in result.stdout.splitlines()]
    assert [event["event"] for event in events] == [
        "evaluation_started",
        *["separating", "scoring_started", "separating"],
        *["track_scored", "scoring_started", "track_scored"],
        "evaluated",
    ]
    assert events[-1]["rows"][0]["values"]["global_sdr"] == pytest.approx(20, abs=0.2)
    assert events[-1]["metrics"]["SDR"]["title"] == "SDR (BSSEval v4)"


@pytest.mark.usefixtures("trees")
def test_folder_leaves_scores_tables_and_a_report(run_stem: RunStem, tmp_path: Path) -> None:
    result = run_stem("eval", "folder", "truth", "made", "-o", "scores")
    assert result.exit_code == 0, result.stderr
    assert "Open: scores/report.html" in result.stderr
    assert {*os.listdir(tmp_path / "scores")} == {
        *("excerpts", "made", "report.html", "songs.csv", "summary.json")
    }
    again = run_stem("eval", "folder", "truth", "made", "-o", "scores")
    assert "2 scores of an earlier run reused" in again.stderr


@pytest.mark.usefixtures("trees")
def test_files_are_written_before_tables_are_printed(
    run_stem: RunStem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They exist even if the reader of stdout closes the pipe after the first line."""

    def close_pipe(*_: object) -> None:
        raise BrokenPipeError

    monkeypatch.setattr("trainers.cli.evaluate_display.show_rows", close_pipe)
    assert run_stem("eval", "folder", "truth", "made", "-o", "scores").exit_code == 1
    assert {*os.listdir(tmp_path / "scores")} >= {"report.html", "songs.csv", "summary.json"}


def test_if_all_songs_fail_no_table_is_printed(run_stem: RunStem, tmp_path: Path) -> None:
    write(tmp_path / "a" / "vocals.wav", VOICE)
    write(tmp_path / "b" / "vocals.wav", VOICE[:, :-1])
    result = run_stem("eval", "folder", "a", "b", "-o", "scores")
    assert (result.exit_code, "method" in result.stdout) == (1, False)
    assert "15999 samples" in (tmp_path / "scores" / "report.html").read_text(encoding="utf-8")


def test_a_song_that_fails_with_all_methods_is_named_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for is_verbose in (False, True):
        with EvaluationDisplay(Console(is_verbose)) as display:
            for method in ("one", "two"):
                display.show(ScoringFailed("Song", method, "it is damaged", "line 7"))
        stderr = capsys.readouterr().err
        assert stderr.count("Error: Could not score Song by one: it is damaged\n") == 1
        assert ("two" in stderr, "line 7" in stderr) == (False, is_verbose)


def test_folder_of_one_song(run_stem: RunStem, tmp_path: Path) -> None:
    """Folders with stems are a single song, whatever their names.

    Expected: the error is a tenth of the reference, 20 dB below it.
    """
    write(tmp_path / "a" / "vocals.wav", VOICE)
    write(tmp_path / "b" / "vocals.wav", 1.1 * VOICE)
    result = run_stem("eval", "folder", "a", "b")
    assert result.exit_code == 0, result.stderr
    (row,) = [line.split() for line in result.stdout.splitlines() if line.startswith("b ")]
    assert float(row[6]) == pytest.approx(20, abs=0.01)
    assert run_stem("eval", "folder", "a", "b", "--quiet").stdout == ""


def test_an_instrumental_is_compared_with_the_sum_of_other_stems(
    run_stem: RunStem, tmp_path: Path
) -> None:
    """Its reference is the sum of all stems but the vocals; nine tenths of it score 20 dB."""
    stems = {name: noise(number) for number, name in enumerate(("vocals", "drums", "bass"))}
    for name, wave in stems.items():
        write(tmp_path / "a" / f"{name}.wav", wave)
    write(tmp_path / "b" / "instrumental.wav", 0.9 * (stems["drums"] + stems["bass"]))
    write(tmp_path / "b" / "vocals.wav", 0.9 * stems["vocals"])
    write(tmp_path / "b" / "flute.wav", stems["vocals"])
    result = run_stem("eval", "folder", "a", "b")
    rows = {
        line.split()[1]: line.split()[6] for line in result.stdout.splitlines() if "b " in line[:2]
    }
    assert rows == {"vocals": "20.00", "accompaniment": "20.00"}
    assert "Note: drums has no estimate and is skipped." in result.stderr
    assert "Note: flute has no true stem and is skipped." in result.stderr


def test_songs_without_estimates_are_named(run_stem: RunStem, trees: Path) -> None:
    write(trees / "truth" / "three" / "vocals.wav", VOICE)
    result = run_stem("eval", "folder", "truth", "made")
    assert result.exit_code == 0
    assert "Note: three has no estimates in made and is skipped." in result.stderr
    (trees / "truth" / "one" / "vocals.wav").rename(trees / "truth" / "one" / "choir.wav")
    write(trees / "made" / "four" / "vocals.wav", VOICE)
    result = run_stem("eval", "folder", "truth", "made", "--json")
    notes = [json.loads(line) for line in result.stdout.splitlines()[:3]]
    assert [(note["event"], note["what"], note["why"]) for note in notes] == [
        ("left_out", "three", "has no estimates in made"),
        ("left_out", "four", "has no true stems in truth"),
        ("left_out", "choir", "has no estimate in 1 of 2 songs"),
    ]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"b/x/vocals.wav": VOICE}, "a has vocals and b has x: use two folders with stems of the"),
        (
            {"b/guitar.wav": VOICE},
            "Could not score b: guitar is not one of the true stems vocals",
        ),
        (
            {"b/vocals.wav": VOICE[:, :-1]},
            "b/vocals.wav has 15999 samples but the true stem has 16000",
        ),
        ({"b/vocals.wav": VOICE.expand(2, -1)}, "vocals is stereo but the true stem is mono"),
        (
            {"b/vocals.wav": VOICE, "b/vocals.flac": VOICE},
            "vocals.wav have the same name: keep one",
        ),
        ({}, "a has vocals and b has no audio files: use two folders"),
        ({"b/a/vocals.wav": VOICE}, "b has a: for that song, run: stem eval folder a b/a"),
    ],
)
def test_folders_that_cannot_be_compared(
    run_stem: RunStem, tmp_path: Path, files: dict[str, torch.Tensor], message: str
) -> None:
    write(tmp_path / "a" / "vocals.wav", VOICE)
    (tmp_path / "b").mkdir()
    for name, wave in files.items():
        soundfile.write(with_parent(tmp_path / name), wave.T.numpy(), RATE)
    for options in ((), ("-o", "scores")):
        result = run_stem("eval", "folder", "a", "b", *options)
        assert result.exit_code in (1, 2)
        assert message in result.stderr
        assert "bug in stem" not in result.stderr


@pytest.mark.parametrize("rates", [{"b/vocals.wav": 16_000}, {"a/band.wav": 16_000}])
def test_another_sample_rate_is_named(
    run_stem: RunStem, tmp_path: Path, rates: dict[str, int]
) -> None:
    """The numbers of samples are equal, so that only the sample rates differ."""
    for name in ("a/band.wav", "a/vocals.wav", "b/band.wav", "b/vocals.wav"):
        write(tmp_path / name, VOICE, rates.get(name, RATE))
    result = run_stem("eval", "folder", "a", "b")
    assert result.exit_code == 1
    assert "has a sample rate of " in result.stderr
    assert f"{RATE} Hz: resample one" in result.stderr or "16000 Hz: resample one" in result.stderr


def test_a_mono_stem_among_stereo_ones_is_called_mono(run_stem: RunStem, tmp_path: Path) -> None:
    for name, wave in {"band": VOICE, "vocals": VOICE.expand(2, -1)}.items():
        write(tmp_path / f"a/{name}.wav", VOICE.expand(2, -1))
        write(tmp_path / f"b/{name}.wav", wave)
    result = run_stem("eval", "folder", "a", "b")
    assert "b/band.wav (16000 samples, mono)" in result.stderr
    assert "b/vocals.wav (16000 samples, stereo)" in result.stderr


@pytest.mark.usefixtures("trees")
def test_files_outside_of_songs_are_named(run_stem: RunStem, tmp_path: Path) -> None:
    write(tmp_path / "truth/intro.wav", VOICE)
    result = run_stem("eval", "folder", "truth", "made")
    note = "Note: the song directly in truth (intro.wav) has no estimates in made and is skipped."
    assert note in result.stderr.splitlines()


@pytest.mark.usefixtures("trees")
def test_folders_without_audio_are_reported(run_stem: RunStem, tmp_path: Path) -> None:
    """Three folders have no audio, one of them with an empty subfolder."""
    for name in ("truth/empty/covers", "made/empty", "truth/.hidden", "truth/two/text"):
        (tmp_path / name).mkdir(parents=True)
    result = run_stem("eval", "folder", "truth", "made")
    notes = [line for line in result.stderr.splitlines() if line.startswith("Note: ")]
    assert notes == [
        "Note: empty has no audio files in truth and is skipped.",
        "Note: two/text has no audio files in truth and is skipped.",
    ]


@pytest.mark.usefixtures("trees")
def test_estimates_called_mixture_are_embedded_in_the_report(
    run_stem: RunStem, tmp_path: Path
) -> None:
    """Reference: the same estimates in a folder with another name."""
    audio_elements = {}
    for name in ("made", "mixture"):
        (tmp_path / "made").replace(tmp_path / name)
        assert run_stem("eval", "folder", "truth", name, "-o", f"of {name}").exit_code == 0
        audio_elements[name] = (tmp_path / f"of {name}/report.html").read_text().count("<audio")
    assert audio_elements["mixture"] == audio_elements["made"] > 0


@pytest.mark.parametrize("options", [(), ("--root", "hq")])
def test_musdb_looks_for_data_before_packages(
    options: tuple[str, ...], run_stem: RunStem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "hq/test").mkdir(parents=True)
    for package in ("musdb", "matplotlib", "jinja2"):
        monkeypatch.setitem(sys.modules, package, None)
    result = run_stem("eval", "musdb", *options)
    assert result.exit_code == 2
    assert "get MUSDB18 at https://doi.org/" in result.stderr
    assert "pip install" not in result.stderr


def with_parent(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("folder truth nowhere", "nowhere"),
        ("folder truth made --win 0", "'0' is not a number from 0.01 to 30"),
        ("folder truth made --win nan", "'nan' is not a number from 0.01 to 30"),
        ("folder truth made -o truth/one", "truth/one is in truth, among the songs"),
        ("speed --seconds nan", "'nan' is not a number from 10 to 3600"),
        ("folder truth made --jobs 0", "is not a whole number from 1 to 64"),
        (
            "compare made",
            "made has no scores. Use the --output folder of stem eval musdb or stem eval",
        ),
        ("compare", "Missing argument 'RUN...'"),
        ("foldr truth made", "Unknown command 'foldr': did you mean 'folder'?"),
        ("speed -m nobody --rounds 1", "Unknown model 'nobody'"),
        ("speed -m made/one --store", "made/one has no card to write to"),
        ("speed -m melrofomer --store", "did you mean 'melroformer'"),
        ("musdb --root nowhere", "--root is nowhere, not a folder"),
        ("musdb --subset all", "'all' is not one of 'test', 'valid', 'train'"),
    ],
)
@pytest.mark.usefixtures("trees")
def test_wrong_arguments_are_refused(run_stem: RunStem, arguments: str, message: str) -> None:
    result = run_stem("eval", *arguments.split())
    assert result.exit_code == 2
    assert message in result.stderr
    assert "bug in stem" not in result.stderr


@pytest.mark.usefixtures("trees")
def test_compare_two_evaluations(run_stem: RunStem) -> None:
    for output in ("before", "after"):
        run_stem("eval", "folder", "truth", "made", "-o", output, "--listen", "0")
    result = run_stem("eval", "compare", "before", "after")
    rows = [line.split() for line in result.stdout.splitlines() if line.startswith("vocals")]
    assert [row[1] for row in rows] == ["before/made", "after/made"]
    assert rows[1][3:] == ["2", "+0.00", "0", "of", "2"]
    document = json.loads(run_stem("eval", "compare", "before", "after", "--json").stdout)
    assert document["rows"][0]["change"] is None


@pytest.mark.slow
def test_speed_is_measured_in_processes_and_stored(
    run_stem: RunStem, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The measured process cannot have taken longer than the command that ran it."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))
    install(small_network(), Card("tiny", "melrnn", stems=("vocals",)))
    started = time.monotonic()
    result = run_stem(
        "eval", "speed", "-m", "tiny", "--seconds", "10", "--rounds", "1", "--store", "--json"
    )
    assert result.exit_code == 0, result.stderr
    (row,) = json.loads(result.stdout.splitlines()[-1])["rows"]
    elapsed = time.monotonic() - started
    assert 0.1 < row["start_seconds"] < elapsed
    assert 10 / elapsed < row["times_real_time"] < 10 / 0.001
    assert 50 * 2**20 < row["memory"] < 4 * 2**30
    (record,) = find("tiny").speeds
    assert record.memory == row["memory"]
    assert record.definition == "median of 1 process, 10 s of stereo at 44.1 kHz, without files"
    assert "x real time" in run_stem("models", "info", "tiny").stdout


@pytest.mark.parametrize("estimates", [".", "..", "../inner"])
def test_relative_folders_are_named_by_their_real_name(
    run_stem: RunStem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, estimates: str
) -> None:
    """The name of the folder is used, and other files in the output stay."""
    write(tmp_path / "truth" / "vocals.wav", VOICE)
    write(tmp_path / "made" / "vocals.wav", VOICE + 0.1 * BAND)
    write(tmp_path / "made" / "inner" / "vocals.wav", VOICE + 0.1 * BAND)
    (tmp_path / "scores").mkdir()
    (tmp_path / "scores" / "precious.txt").write_text("mine")
    monkeypatch.chdir(tmp_path / "made" / ("inner" if estimates.startswith("..") else ""))
    result = run_stem("eval", "folder", tmp_path / "truth", estimates, "-o", tmp_path / "scores")
    assert result.exit_code == 0, result.stderr
    name = "inner" if estimates == "../inner" else "made"
    assert {*os.listdir(tmp_path / "scores")} == {
        *("precious.txt", "excerpts", name, "report.html", "songs.csv", "summary.json")
    }


@pytest.mark.usefixtures("trees")
def test_scores_of_other_songs_are_refused(run_stem: RunStem, tmp_path: Path) -> None:
    run_stem("eval", "folder", "truth", "made", "-o", "scores", "--listen", "0")
    (tmp_path / "truth" / "one").rename(tmp_path / "truth" / "other")
    (tmp_path / "made" / "one").rename(tmp_path / "made" / "other")
    result = run_stem("eval", "folder", "truth", "made", "-o", "scores")
    assert result.exit_code == 2
    assert "scores has scores of other songs (one). Use another --output" in result.stderr


def test_json_has_null_where_there_is_no_number(run_stem: RunStem, tmp_path: Path) -> None:
    """Output is strict JSON, for programs in other languages."""
    for folder in ("a", "b"):
        write(tmp_path / folder / "vocals.wav", VOICE)
        write(tmp_path / folder / "drums.wav", 0 * VOICE)
    result = run_stem("eval", "folder", "a", "b", "--json")
    for line in result.stdout.splitlines():
        json.loads(line, parse_constant=pytest.fail)
    assert json.loads(result.stdout.splitlines()[-2])["sdr"] == {"drums": None, "vocals": None}
