"""``stem separate - -o -``: a song from standard input, and a stem to standard output.

Reference: the same song and the same stem as files. The engine is real, in real processes.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.audio_files import ffmpeg, tones, write_audio
from tests.stemcli.cli.conftest import QUICK, RunStem
from tests.stemcli.cli.results import error_line, tree

STEM = [sys.executable, "-m", "stemcli"]
RATE = 16_000


@pytest.fixture
def work(tmp_path: Path, processes: None, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder with a song, beside the empty folder for temporary files."""
    temporary, folder = tmp_path / "temporary", tmp_path / "work"
    for each in (temporary, folder):
        each.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    monkeypatch.chdir(folder)
    write_audio(folder / "song.wav", tones(RATE, RATE), RATE)
    return folder


def pipe(*args: str, data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Run ``stem separate`` with ``data`` on standard input."""
    command = [*STEM, "separate", "-m", "tiny", *QUICK, *args]
    return subprocess.run(command, input=data, capture_output=True, check=False)


def temporary_files(work: Path) -> list[Path]:
    return [*(work.parent / "temporary").glob("stem-*")]


def test_a_song_from_standard_input(work: Path) -> None:
    """The stems are those of the file, in a folder called stdin."""
    assert pipe("song.wav", "-o", "expected").returncode == 0
    done = pipe("-", data=(work / "song.wav").read_bytes())
    assert (done.returncode, done.stdout) == (0, b"")
    assert tree(work / "separated") == {"stdin/vocals.wav", "stdin/band.wav"}
    for stem in ("vocals", "band"):
        found = (work / f"separated/stdin/{stem}.wav").read_bytes()
        assert found == (work / f"expected/song/{stem}.wav").read_bytes()
    assert temporary_files(work) == []


def test_a_wav_whose_header_has_no_length(work: Path) -> None:
    """ffmpeg and sox cannot write the length of a file into a pipe; that is not damage."""
    data = ffmpeg("-i", work / "song.wav", "-f", "wav", "-")
    assert data[4:8] == b"\xff\xff\xff\xff"
    done = pipe("-", "-o", "Stems", data=data)
    assert (done.returncode, b"cut off" in done.stderr) == (0, False), done.stderr
    assert soundfile.info(work / "Stems/stdin/vocals.wav").frames == RATE


@pytest.mark.parametrize("format", ["wav", pytest.param("flac", marks=pytest.mark.slow), "mp3"])
def test_a_stem_to_standard_output(format: str, work: Path) -> None:
    """It is the file, whose header has the right length, and nothing else is written."""
    options = ("--stems", "vocals", "-f", format)
    assert pipe("song.wav", *options, "-o", "expected").returncode == 0
    before = tree(work)
    done = pipe("song.wav", *options, "-o", "-")
    assert done.returncode == 0, done.stderr
    assert done.stdout == (work / f"expected/song/vocals.{format}").read_bytes()
    assert b"standard output" in done.stderr
    assert tree(work) == before
    assert temporary_files(work) == []


def test_from_pipe_to_pipe(work: Path) -> None:
    """The shell commands of the documentation."""
    command = " ".join(["cat song.wav |", *STEM, "separate", "-m", "tiny", *QUICK])
    command += " - --stems vocals -o - --quiet > out.wav"
    done = subprocess.run(command, shell=True, capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    wave, rate = soundfile.read(work / "out.wav")
    assert (len(wave), rate) == (RATE, RATE)
    assert np.abs(wave).max() > 0


def test_settings_for_files_have_no_effect_on_a_pipe(work: Path) -> None:
    options = ("--skip-existing", "--filename", "{artist}/{track}-{stem}.{ext}")
    done = pipe("song.wav", "--stems", "vocals", *options, "-o", "-")
    assert (done.returncode, done.stdout[:4]) == (0, b"RIFF")


def test_a_failure_leaves_standard_output_empty(work: Path) -> None:
    done = pipe("-", "--stems", "vocals", "-o", "-", data=b"<html><body>Log in</body></html>")
    assert (done.returncode, done.stdout) == (1, b"")
    lines = [line for line in done.stderr.decode().splitlines() if line.startswith("Error")]
    assert lines == [
        "Error: No sound can be read from stdin: it is a web page; download the song itself, "
        "perhaps after logging in"
    ]
    assert temporary_files(work) == []


@pytest.mark.parametrize(
    ("args", "code", "sentence"),
    [
        (["-"], 1, "Standard input is empty (0 bytes). Check the command before the pipe"),
        (["-", "song.wav"], 2, "- reads one song from standard input, so no other song can be"),
        (["song.wav", "-o", "-"], 2, "these are 2: vocals and band. Choose one with --stems, e.g."),
        (["song.wav", "--stems", "vocals,band", "-o", "-"], 2, "2: vocals and band. Choose one"),
        (["song.wav", "--two-stems", "vocals", "-o", "-"], 2, "In its place use --stems vocals"),
        (["-", "-o", "-"], 2, "2: vocals and band. Choose one"),
        (["song.wav", "a.wav", "-o", "-"], 2, "-o - writes a stem of one song"),
        (["song.wav", "--json", "-o", "-"], 2, "-o - and --json both need standard output"),
        (["-", "--stems", "drums"], 2, "Unknown stem 'drums'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_wrong_usage(args: list[str], code: int, sentence: str, work: Path) -> None:
    done = pipe(*args)
    assert done.returncode == code
    events = [json.loads(line)["event"] for line in done.stdout.splitlines()]
    assert events == ["error"] * ("--json" in args)
    (line,) = [line for line in done.stderr.decode().splitlines() if line.startswith("Error: ")]
    assert sentence in line
    assert tree(work) == {"song.wav"}
    assert temporary_files(work) == []


@pytest.mark.skipif(os.name == "nt", reason="Windows has no pseudo-terminals")
@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (["-"], "standard input, which is a terminal. Pipe a song into it. Try: cat song.mp3 |"),
        (["song.wav", "--stems", "vocals", "-o", "-"], "standard output, which is a terminal."),
    ],
)
def test_a_terminal_is_neither_read_nor_written(args: list[str], sentence: str, work: Path) -> None:
    import pty

    ours, theirs = pty.openpty()
    command = [*STEM, "separate", "-m", "tiny", *args]
    streams = {"stdin": theirs, "stdout": theirs, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, **streams, text=True) as process:
        assert process.stderr
        assert sentence in process.stderr.read()
        assert process.wait(timeout=60) == 2
    os.close(theirs)
    os.close(ours)


def test_a_reader_that_leaves_early(work: Path) -> None:
    """As with other output: no message, and the work counts as done."""
    write_audio(work / "long.wav", tones(20 * RATE, RATE), RATE)
    command = [*STEM, "separate", "-m", "tiny", *QUICK, "long.wav", "--stems", "vocals", "-o", "-"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stderr
        assert process.stdout.read(4) == b"RIFF"
        process.stdout.close()
        messages = process.stderr.read().decode()
        assert process.wait(timeout=60) == 0
    assert "Error" not in messages
    assert "Traceback" not in messages
    assert temporary_files(work) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has /dev/full")
def test_a_full_disk_for_a_stem(work: Path) -> None:
    command = [*STEM, "separate", "-m", "tiny", *QUICK, "song.wav", "--stems", "vocals", "-o", "-"]
    with open("/dev/full", "wb") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 1
    assert b"Error: Cannot write to standard output (No space left on device)" in done.stderr


def test_an_interrupt_while_reading_leaves_nothing(work: Path) -> None:
    command = [*STEM, "separate", "-m", "tiny", "-"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin
        assert process.stderr
        process.stdin.write("RIFF")
        process.stdin.flush()
        while not temporary_files(work):
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert (process.stderr.read(), process.wait(timeout=60)) == ("Interrupted.\n", 130)
    assert tree(work) == {"song.wav"}
    assert temporary_files(work) == []


def test_a_song_beyond_the_limit(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEM_INPUT_LIMIT", str(2**-16))
    done = pipe("-", data=(work / "song.wav").read_bytes())
    assert done.returncode == 1
    assert done.stderr.decode() == (
        "Error: The song on standard input is larger than 1.52588e-05 GiB. To allow more, set "
        "STEM_INPUT_LIMIT to a larger number of GiB\n"
    )


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (["-"], "- is standard input, and stem batch reads a folder. Try: stem separate -"),
        ([".", "-o", "-"], "Try: stem separate SONG --stems vocals -o -"),
    ],
)
def test_batch_names_the_command_for_pipes(
    args: list[str], sentence: str, run_stem: RunStem
) -> None:
    assert sentence in error_line(run_stem("batch", *args), 2)


def test_a_file_and_a_folder_called_dash(run_tiny: RunStem, tmp_path: Path) -> None:
    write_audio(tmp_path / "a.wav", tones(RATE, RATE), RATE).rename(tmp_path / "-")
    assert run_tiny("separate", "./-", "-o", "out").exit_code == 0
    assert tree(tmp_path / "out") == {"-/vocals.wav", "-/band.wav"}
