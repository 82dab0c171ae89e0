"""MUSDB18 in both forms. Reference: the same files read by musdb and scored by museval.

The songs are synthetic; their ``.stem.mp4`` files are lossless, so both forms have equal scores.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result

from model_zoo.catalogue.cards import Card
from model_zoo.catalogue.install import install
from model_zoo.errors import DecodeError, UsageError
from stemcli.cli.app import stem
from tests.model_zoo.small import small_network
from tests.trainers.evaluation.songs import noise, render_musdb, write
from trainers.evaluation.musdb import musdb_tracks
from trainers.evaluation.scoring import by_museval, find_measure

ROOT = Path(__file__).parents[3]

pytestmark = pytest.mark.musdb

QUICK_OPTIONS = ("-m", "tiny", "--segment", "0.5", "--device", "cpu", "--listen", "1")


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Folders in the form of MUSDB18-HQ and of MUSDB18."""
    return render_musdb(tmp_path_factory.mktemp("musdb"))


@pytest.fixture
def zoo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory of commands, with a small network in its zoo."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STEM_HOME", str(tmp_path / ".zoo"))
    monkeypatch.delenv("MUSDB_PATH", raising=False)
    install(small_network(), Card("tiny", "melrnn", stems=("vocals",), residual="instrumental"))
    return tmp_path


def evaluate(root: Path | None, output: str, *options: str) -> Result:
    root_option = ("--root", str(root)) if root else ()
    command = ["eval", "musdb", *root_option, "--output", output, *QUICK_OPTIONS, *options]
    return CliRunner().invoke(stem, command, prog_name="stem")


def table(output: Path) -> list[dict[str, object]]:
    return json.loads((output / "summary.json").read_text())["rows"]


def test_songs_equal_those_of_musdb(trees: tuple[Path, Path]) -> None:
    import musdb

    for root, is_wav in zip(trees, (True, False), strict=True):
        theirs = musdb.DB(str(root), subsets="test", is_wav=is_wav).tracks
        ours = musdb_tracks(root)
        assert [track.name for track in ours] == [track.name for track in theirs]
        for track, reference in zip(ours, theirs, strict=True):
            audio = track.load()
            assert audio.sample_rate == 44100
            np.testing.assert_array_equal(audio.mixture.T, reference.audio.astype("float32"))
            for name, wave in audio.references.items():
                expected = reference.targets[name].audio.astype("float32")
                np.testing.assert_array_equal(wave.T, expected)
            assert [*audio.references] == [
                "vocals",
                "drums",
                "bass",
                "other",
                "accompaniment",
            ]


ORACLES = pytest.param("--oracles", marks=pytest.mark.slow)


@pytest.mark.parametrize("oracles", ["--no-oracles", ORACLES])
def test_both_forms_have_the_same_scores_as_museval(
    trees: tuple[Path, Path], zoo: Path, oracles: str
) -> None:
    hq, mp4 = trees
    for root, output in ((hq, "from wav"), (mp4, "from mp4")):
        result = evaluate(root, output, oracles)
        assert result.exit_code == 0, result.stderr
        assert "Published for MUSDB18, which has other songs:" in result.stdout
    assert table(zoo / "from wav") == table(zoo / "from mp4")
    for method in {str(row["method"]) for row in table(zoo / "from wav")}:
        assert_museval_agrees(zoo / "from wav", method)


def assert_museval_agrees(output: Path, method: str) -> None:
    """museval's own aggregation of our files gives the same medians over windows and songs."""
    from museval import EvalStore

    store = EvalStore()
    store.add_eval_dir(str(output / method))
    theirs = store.agg_frames_tracks_scores()
    ours = [row for row in table(output) if row["method"] == method]
    assert ours
    for row in ours:
        for metric in ("SDR", "ISR", "SIR", "SAR"):
            expected = theirs[row["stem"], metric]
            assert row["values"][metric] == pytest.approx(expected, abs=1e-5)  # type: ignore[index]


def limited(row: dict[str, Any]) -> dict[str, float]:
    """The values limited to 100 dB: above is only rounding, as the mixture has no artifacts."""
    return {metric: min(value, 100) for metric, value in row["values"].items()}


@pytest.mark.slow
def test_the_museval_backend_gives_the_same_table(trees: tuple[Path, Path], zoo: Path) -> None:
    """Reference: museval as the backend of the same command."""
    for backend in ("torch", "museval"):
        assert evaluate(trees[0], backend, "--backend", backend).exit_code == 0
    for ours, theirs in zip(table(zoo / "torch"), table(zoo / "museval"), strict=True):
        assert limited(ours) == pytest.approx(limited(theirs), abs=1e-3)


def test_backends_agree() -> None:
    """Our backend and museval's agree on a short mono song."""
    reference = torch.stack([noise(1), noise(2)])
    estimate = reference + 0.2 * reference.flip(0) + 0.1 * noise(3)
    ours, theirs = (
        find_measure(name)(estimate, reference, 8000, 8000) for name in ("torch", "museval")
    )
    torch.testing.assert_close(ours.sdr, theirs.sdr, atol=1e-3, rtol=0)
    torch.testing.assert_close(ours.sar, theirs.sar, atol=1e-3, rtol=0)


def test_songs_that_museval_cannot_score() -> None:
    silent = torch.zeros(2, 1, 8000)
    with pytest.raises(DecodeError, match=r"museval has no scores of it .*\. Add --backend torch"):
        by_museval(silent, silent, 8000, 8000)


def test_a_killed_evaluation_resumes_to_the_same_table(trees: tuple[Path, Path], zoo: Path) -> None:
    full = evaluate(trees[0], "full", "--no-oracles")
    options = ["eval", "musdb", "--root", str(trees[0]), "--output", "killed", *QUICK_OPTIONS]
    options.append("--no-oracles")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        [sys.executable, "-m", "stemcli", *options, "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
    ) as process:
        for line in process.stdout or ():
            if json.loads(line)["event"] == "track_scored":
                process.send_signal(signal.SIGKILL)
                break
        process.wait()
    assert not (zoo / "killed" / "summary.json").exists()
    again = evaluate(trees[0], "killed", "--no-oracles")
    assert "of an earlier run reused" in again.stderr
    assert table(zoo / "killed") == table(zoo / "full")
    assert (
        again.stdout.split("method", 1)[1].split("Scores")[0]
        == (full.stdout.split("method", 1)[1].split("Scores")[0])
    )


def test_windows_of_ten_seconds(trees: tuple[Path, Path], zoo: Path) -> None:
    result = evaluate(trees[0], "scores", "--win", "10", "--no-oracles")
    assert result.exit_code == 0
    assert "median over windows of 10 s" in result.stdout
    file = next((zoo / "scores" / "tiny" / "test").iterdir())
    (frame,) = json.loads(file.read_text())["targets"][0][
        "frames"
    ]  # the song is shorter than a window
    assert frame["duration"] == 10.0


def test_a_damaged_song_does_not_stop_the_others(trees: tuple[Path, Path], zoo: Path) -> None:
    root = zoo / "musdb"
    (root / "test").mkdir(parents=True)
    for file in (trees[1] / "test").iterdir():
        (root / "test" / file.name).symlink_to(file)
    (root / "test" / "Bad - Song.stem.mp4").write_bytes(b"no sound")
    result = evaluate(root, "scores", "--no-oracles")
    assert result.exit_code == 1
    assert "Could not score Bad - Song by tiny: musdb cannot read" in result.stderr
    assert "1 score missing" in result.stderr
    assert [row["songs"]["SDR"] for row in table(zoo / "scores")] == [2, 2]  # type: ignore[index]


def test_scores_are_stored_in_the_card(trees: tuple[Path, Path], zoo: Path) -> None:
    assert evaluate(trees[0], "scores", "--no-oracles", "--store").exit_code == 0
    shown = CliRunner().invoke(stem, ["models", "info", "tiny", "--json"]).stdout
    scores = {(each["stem"], each["metric"]): each for each in json.loads(shown)["scores"]}
    assert {*scores} == {
        (stem, metric) for stem in ("vocals", "accompaniment") for metric in ("SDR", "global SDR")
    }
    score = scores["vocals", "SDR"]
    assert score["dataset"] == "2 excerpts of 3 s in the form of MUSDB18-HQ test"
    assert (
        score["definition"]
        == "BSSEval v4: median over windows of 1 s, median of 2 songs, segment 0.5, dB"
    )
    (row,) = [row for row in table(zoo / "scores") if row["stem"] == "vocals"]
    assert score["value"] == round(row["values"]["SDR"], 2)  # type: ignore[index]


def test_folders_without_songs_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says which files were expected."""
    monkeypatch.setenv("MUSDB_PATH", str(tmp_path))
    with pytest.raises(UsageError, match=r"has no songs in test/ \(\*\.stem\.mp4 or folders with"):
        musdb_tracks(None)
    (tmp_path / "test").mkdir()
    with pytest.raises(UsageError, match=f"use the parent folder, --root {tmp_path}"):
        musdb_tracks(tmp_path / "test")


def test_a_song_that_musdb_cannot_read(tmp_path: Path) -> None:
    """A missing stem is an error, not a quieter accompaniment."""
    (tmp_path / "test" / "A - B").mkdir(parents=True)
    names = ("mixture", "vocals", "drums")
    for name in names:
        (tmp_path / "test" / "A - B" / f"{name}.wav").write_bytes(b"no sound")
    (track,) = musdb_tracks(tmp_path, is_wav=True)
    with pytest.raises(DecodeError, match=r"A - B lacks bass\.wav, other\.wav: download it again"):
        track.load()
    for name in ("bass", "other"):
        (tmp_path / "test" / "A - B" / f"{name}.wav").write_bytes(b"no sound")
    with pytest.raises(
        DecodeError, match=r"musdb cannot read .*mixture\.wav \(.*\)\. Download it again"
    ):
        track.load()


def test_songs_with_inconsistent_files(tmp_path: Path) -> None:
    """Mono songs work; a stem that is too short, unreadable or missing is named."""
    song = tmp_path / "test" / "A - B"
    for name in ("mixture", "vocals", "drums", "bass", "other"):
        write(song / f"{name}.wav", noise(1))
    (track,) = musdb_tracks(tmp_path)
    assert track.load().mixture.shape == (1, 16_000)
    write(song / "bass.wav", noise(1)[:, :-5])
    with pytest.raises(DecodeError, match="true stem bass has 15995 samples, mono"):
        track.load()
    (song / "bass.wav").write_bytes(b"")
    with pytest.raises(DecodeError, match=r"musdb cannot read .*bass\.wav"):
        track.load()
    (song / "bass.wav").unlink()
    (song / "mixture.wav").unlink()
    with pytest.raises(DecodeError, match=r"A - B lacks mixture\.wav, bass\.wav"):
        track.load()


def test_validation_songs_equal_those_of_musdb(trees: tuple[Path, Path], tmp_path: Path) -> None:
    source = next((trees[0] / "test").iterdir())
    for name in ("ANiMAL - Rockshow", "Nobody - Else"):
        (tmp_path / "train").mkdir(exist_ok=True)
        (tmp_path / "train" / name).symlink_to(source)
    assert [track.name for track in musdb_tracks(tmp_path, "valid")] == ["ANiMAL - Rockshow"]
    assert len(musdb_tracks(tmp_path, "train")) == 2


def test_the_sample_is_downloaded_by_musdb(
    trees: tuple[Path, Path], zoo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without network access: the fake download links to songs on disk."""
    import musdb

    def download(self: musdb.DB, *_: object) -> None:
        print("Downloading MUSDB 7s Sample Dataset")
        Path(self.root).symlink_to(trees[1])

    monkeypatch.setattr(musdb.DB, "download", download)
    monkeypatch.setenv("HOME", str(zoo))
    (zoo / "MUSDB18").mkdir()
    result = evaluate(None, "scores", "--sample", "--no-oracles", "--json")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout.splitlines()[-1])["event"] == "evaluated"


def test_a_sample_that_cannot_be_downloaded(zoo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import musdb

    def download(self: musdb.DB, *_: object) -> None:
        raise OSError("Name or service not known")

    monkeypatch.setattr(musdb.DB, "download", download)
    monkeypatch.setenv("HOME", str(zoo))
    result = evaluate(None, "scores", "--sample")
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert "cannot be downloaded to" in result.stderr
    assert "https://doi.org/10.5281/zenodo.1117372" in result.stderr
