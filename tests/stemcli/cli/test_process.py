"""The command line in real processes: signals, pipes, full disks, undecodable names."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from model_zoo.catalogue.cards import Card
from model_zoo.catalogue.install import install
from tests.model_zoo.small import small_network

ROOT = Path(__file__).parents[3]
RATE = 16_000
STEM = [sys.executable, "-m", "stemcli"]


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder, beside a zoo with one small model."""
    monkeypatch.setenv("STEM_HOME", str(tmp_path / "zoo"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    install(small_network(), Card("tiny", "melrnn", stems=("vocals",), residual="band"))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


def write_song(path: Path, seconds: float) -> None:
    wave = np.random.default_rng(0).uniform(-0.5, 0.5, (int(seconds * RATE), 2))
    soundfile.write(path, wave, RATE)


def run(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*STEM, *args], capture_output=True, text=True, check=False)


def test_a_song_name_with_special_characters(work: Path) -> None:
    name = "Los Rombos - Fantasma (niño) 🎸 [live]"
    write_song(work / f"{name}.wav", 0.5)
    done = run("separate", f"{name}.wav", "-m", "tiny", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    finished = json.loads(done.stdout.splitlines()[-2])
    assert finished["event"] == "track_finished"
    assert finished["audio_seconds"] == 0.5
    assert sorted(finished["outputs"]) == ["band", "vocals"]
    assert all((work / path).is_file() for path in finished["outputs"].values())


@pytest.mark.skipif(os.name == "nt", reason="Windows names are always text")
def test_an_undecodable_name(work: Path) -> None:
    name = os.fsdecode(b"caf\xe9.wav")
    write_song(work / "a.wav", 0.1)
    (work / "a.wav").rename(work / name)
    done = run("separate", name, "-m", "tiny")
    assert done.returncode == 0, done.stderr
    assert (work / "separated" / os.fsdecode(b"caf\xe9") / "vocals.wav").is_file()


def test_libraries_print_nothing_between_our_messages(work: Path) -> None:
    (work / "text.mp3").write_text("This is no music. " * 99)
    done = run("separate", "text.mp3", "-m", "tiny", "--quiet")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("Error: No sound")
    assert "Traceback" in run("separate", "text.mp3", "-m", "tiny", "-v").stderr


def test_an_interrupt_exits_with_130_and_leaves_no_files(work: Path) -> None:
    for name in ("a.wav", "b.wav"):
        write_song(work / name, 120)
    command = [*STEM, "separate", "a.wav", "b.wav", "-m", "tiny", "--json", "--jobs", "2"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        assert process.stderr
        next(line for line in process.stdout if json.loads(line)["event"] == "progress")
        process.send_signal(signal.SIGINT)
        assert (process.stderr.read(), process.wait(timeout=60)) == ("Interrupted.\n", 130)
    assert sorted(path.name for path in work.iterdir()) == ["a.wav", "b.wav"]


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, pytest.param(signal.SIGHUP, marks=pytest.mark.slow)]
)
def test_sigterm_and_sighup_leave_no_files(work: Path, number: signal.Signals) -> None:
    """Reference: shells exit with 128 + the number of the signal."""
    write_song(work / "a.wav", 120)
    command = [*STEM, "separate", "a.wav", "-m", "tiny", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        next(line for line in process.stdout if json.loads(line)["event"] == "progress")
        process.send_signal(number)
        process.stdout.read()
        assert process.wait(timeout=60) == 128 + number
    assert [path.name for path in work.iterdir()] == ["a.wav"]


def test_an_interrupt_while_modules_are_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if Ctrl-C came while click is imported."""
    (tmp_path / "click.py").write_text("raise KeyboardInterrupt\n")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), str(ROOT)]))
    done = run("--version")
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "Interrupted.\n")


def test_a_closed_pipe_does_not_end_a_run(work: Path) -> None:
    for name in ("a.wav", "b.wav"):
        write_song(work / name, 1)
    command = " ".join(
        [*STEM, "separate", "a.wav", "b.wav", "-m", "tiny", "--json", "|", "head", "-1"]
    )
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert (json.loads(done.stdout)["event"], done.stderr) == ("model_loaded", "")
    stems = {str(path.relative_to(work)) for path in work.glob("separated/*/*.wav")}
    assert stems == {f"separated/{song}/{stem}.wav" for song in "ab" for stem in ("vocals", "band")}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has /dev/full")
@pytest.mark.parametrize("command", ["separate a.wav b.wav", "batch ."])
def test_a_full_disk_for_stdout_does_not_end_a_run(work: Path, command: str) -> None:
    for name in ("a.wav", "b.wav"):
        write_song(work / name, 1)
    shell_command = " ".join([*STEM, command, "-m", "tiny", "--json", ">", "/dev/full"])
    done = subprocess.run(shell_command, shell=True, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("Error: Cannot write to standard output (No space left on device)")
    assert len([*work.glob("separated/*/*.wav")]) == 4
    shell_command = " ".join([*STEM, "models", "list", "--json", ">", "/dev/full"])
    done = subprocess.run(shell_command, shell=True, capture_output=True, text=True, check=False)
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)


def test_a_closed_pipe_prints_no_error(work: Path) -> None:
    command = " ".join([*STEM, "models", "list", "--json", "|", "true"])
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert done.stderr == ""


@pytest.mark.skipif(os.name == "nt", reason="Windows names are always text")
@pytest.mark.parametrize("locale", ["C", pytest.param("C.UTF-8", marks=pytest.mark.slow)])
def test_undecodable_names_in_journals_and_reports(
    work: Path, locale: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The byte \\xe9 alone is invalid UTF-8. Output is beside the songs, then in another folder."""
    monkeypatch.setenv("LC_ALL", locale)
    folder = os.fsdecode(b"\xe9t\xe9")
    (work / folder).mkdir()
    write_song(work / "a.wav", 0.1)
    (work / "a.wav").rename(work / folder / os.fsdecode(b"caf\xe9.wav"))
    for report, counts in (("r.csv", ["1", "0", "0"]), ("r.json", ["0", "1", "0"])):
        done = run("batch", folder, "-m", "tiny", "-o", folder, "--report", report)
        assert (done.returncode, done.stderr.splitlines()[-1].split()[:3]) == (0, counts)
        assert "caf\\" in (work / report).read_text("utf-8")
    events = run("batch", folder, "-m", "tiny", "--json").stdout.splitlines()
    (track,) = json.loads(events[-1])["report"]["tracks"]
    assert os.fsencode(track["song"]) == b"\xe9t\xe9/caf\xe9.wav"
    assert (work / "separated" / os.fsdecode(b"caf\xe9") / "vocals.wav").is_file()
