"""ffmpeg in complete runs: signals, a broken ffmpeg on PATH, several audio tracks."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from stemcli.audio.ffmpeg_binary import fallback_notice
from stemcli.process import ENDING
from tests.audio_files import ffmpeg, tones, write_audio
from tests.fake_ffmpeg import hanging, in_front, is_running, put
from tests.stemcli.cli.conftest import QUICK, RunStem
from tests.stemcli.cli.results import errors

STEM = [sys.executable, "-m", "stemcli"]
TIMEOUT = 60.0
"""Timeout in seconds that is ample even on a busy machine."""


def wait_until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < end, "timed out"
        time.sleep(0.05)


def exit_codes() -> dict[signal.Signals, int]:
    """Expected exit codes by signal, as shells define them."""
    return {number: 130 if number == signal.SIGINT else 128 + number for number in ENDING}


@pytest.fixture
def pid_file(tmp_path: Path, processes: None, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of three songs with an ffmpeg that hangs and writes its process id to this file."""
    (tmp_path / "in").mkdir()
    for name in "abc":
        write_audio(tmp_path / "in" / f"{name}.m4a", tones(5000))
    path = hanging(tmp_path / "bin")
    monkeypatch.setenv("PATH", in_front(tmp_path / "bin"))
    return path


COMMANDS = {
    "separate": ("separate", "in/a.m4a", "-m", "tiny", *QUICK),
    "batch": ("batch", "in", "-m", "tiny", "--jobs", "2", *QUICK),
    "train": ("train", "--data", "songs", "--output", "run"),
    "cluster": ("batch", "in", "-m", "tiny", "--cluster", *QUICK),
}


# One fast signal per command; the others take as long again, and training twice as long.
FAST = {("separate", "SIGINT"), ("batch", "SIGTERM")}
ENDED = [
    pytest.param(command, number, marks=() if (command, number.name) in FAST else pytest.mark.slow)
    for command in ("separate", "batch", "train")
    for number in ENDING
] + [pytest.param("cluster", signal.SIGTERM, marks=pytest.mark.ray)]


@pytest.mark.parametrize(("command", "number"), ENDED)
def test_a_signal_ends_a_run_waiting_for_ffmpeg(
    command: str, number: signal.Signals, pid_file: Path, tmp_path: Path
) -> None:
    for song in ("one", "two"):
        (tmp_path / "songs" / song).mkdir(parents=True)
        for stem in ("vocals", "band"):
            (tmp_path / f"songs/{song}/{stem}.m4a").write_bytes(
                (tmp_path / "in/a.m4a").read_bytes()
            )
    with subprocess.Popen([*STEM, *COMMANDS[command]], stderr=subprocess.PIPE) as process:
        wait_until(lambda: pid_file.exists() and pid_file.read_text().strip())
        process.send_signal(number)
        assert process.wait(TIMEOUT) == exit_codes()[number]
        assert process.stderr
        assert b"Traceback" not in process.stderr.read()
    wait_until(lambda: not is_running(int(pid_file.read_text())))


def signalled_children(parent: int) -> set[int]:
    """Children that get a signal when a pipe closes (O_ASYNC, 020000, of fcntl(2))."""
    lists = [each.read_text() for each in Path(f"/proc/{parent}/task").glob("*/children")]
    children = {int(number) for each in lists for number in each.split()}
    return {child for child in children if any(map(_is_signalled, _fdinfo(child)))}


def _fdinfo(process: int) -> list[str]:
    try:
        return [each.read_text() for each in Path(f"/proc/{process}/fdinfo").iterdir()]
    except OSError:
        return []


def _is_signalled(fdinfo: str) -> bool:
    flags = next(line.split()[1] for line in fdinfo.splitlines() if line.startswith("flags:"))
    return bool(int(flags, 8) & 0o20000)


@pytest.mark.parametrize(
    ("command", "count"), [pytest.param("separate", 1, marks=pytest.mark.slow), ("batch", 3)]
)
def test_no_ffmpeg_outlives_a_killed_run(command: str, count: int, pid_file: Path) -> None:
    with subprocess.Popen([*STEM, *COMMANDS[command]]) as process:
        wait_until(lambda: len(signalled_children(process.pid)) == count)
        children = signalled_children(process.pid)
        process.kill()
    wait_until(lambda: not any(map(is_running, children)))


def test_a_broken_ffmpeg_is_reported_once(
    run_tiny: RunStem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of the two songs needs ffmpeg twice."""
    for name in "ab":
        write_audio(tmp_path / f"{name}.m4a", tones(5000))
    put(tmp_path / "bin", "exit 3\n", starts=False)
    monkeypatch.setenv("PATH", in_front(tmp_path / "bin"))
    result = run_tiny("separate", "a.m4a", "b.m4a", "-f", "m4a")
    assert (result.exit_code, errors(result.stderr)) == (0, [])
    assert result.stderr.count(fallback_notice()) == 1


def test_doctor_shows_the_bundled_and_the_broken_ffmpeg(
    run_stem: RunStem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import imageio_ffmpeg

    program = put(tmp_path / "bin", "echo no library >&2; exit 127\n", starts=False)
    bundled = imageio_ffmpeg.get_ffmpeg_exe()
    monkeypatch.setenv("PATH", in_front(tmp_path / "bin"))
    checks = {check["name"]: check for check in json.loads(run_stem("doctor", "--json").stdout)}
    assert checks["ffmpeg"]["ok"]
    assert checks["ffmpeg"]["found"].endswith(
        f", {bundled}; the ffmpeg on PATH, {program}, does not start (no library)"
    )


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """Half a second with a track of 300 Hz, and a default track of 600 Hz."""
    (tmp_path / "in").mkdir()
    inputs = [("-f", "lavfi", "-i", f"sine={pitch}:d=0.5") for pitch in (300, 600)]
    flags = (
        "-disposition:a:0",
        0,
        "-disposition:a:1",
        "default",
        "-metadata:s:a:1",
        "language=deu",
    )
    args = [word for each in inputs for word in each]
    ffmpeg(*args, "-map", 0, "-map", 1, "-c:a", "flac", *flags, tmp_path / "in/film.mkv")
    return tmp_path / "in/film.mkv"


def pitch(stems: Path) -> int:
    """Frequency of the loudest tone in the sum of the stems, in Hz."""
    waves = [soundfile.read(path) for path in stems.iterdir()]
    rate = waves[0][1]
    total = sum(wave for wave, _ in waves)
    return round(int(np.abs(np.fft.rfft(total)).argmax()) * rate / len(total) / 10) * 10


@pytest.mark.parametrize(
    ("args", "expected"), [((), 600), (("--track", 1), 300), (("--track", 2), 600)]
)
@pytest.mark.parametrize("command", ["separate in/film.mkv", "batch in"])
def test_an_audio_track_is_chosen(
    command: str,
    args: tuple[object, ...],
    expected: int,
    run_tiny: RunStem,
    film: Path,
    tmp_path: Path,
) -> None:
    result = run_tiny(*command.split(), *args, "--stems", "vocals,band")
    assert (result.exit_code, errors(result.stderr)) == (0, [])
    assert pitch(tmp_path / "separated/film") == expected
    notice = (
        "Note: film.mkv: there are 2 audio tracks (1: mono; 2: deu, mono): track 2, the default"
        " one, is used (--track N chooses another)"
    )
    assert (notice in result.stderr) is not bool(args)


def test_a_missing_track_is_reported(run_tiny: RunStem, film: Path, tmp_path: Path) -> None:
    result = run_tiny("separate", "in/film.mkv", "--track", 3)
    assert result.exit_code == 1
    assert "film.mkv has 2 audio tracks (1: mono; 2: deu, mono) and no track 3. Use" in (
        result.stderr
    )
    assert run_tiny("separate", "in/film.mkv", "--track", 0).exit_code == 2
    assert not (tmp_path / "separated").exists()


def test_another_track_redoes_the_song(run_tiny: RunStem, film: Path, tmp_path: Path) -> None:
    """The journal stores the track; without --track it is the same as in older versions."""
    assert run_tiny("batch", "in").exit_code == 0
    assert "skipped" in run_tiny("batch", "in").stderr
    assert pitch(tmp_path / "separated/film") == 600
    assert run_tiny("batch", "in", "--track", 1).exit_code == 0
    assert pitch(tmp_path / "separated/film") == 300


def test_a_batch_uses_the_only_track_of_a_song(
    run_tiny: RunStem, film: Path, tmp_path: Path
) -> None:
    """A song with one track is used with a notice; a missing track of several is an error."""
    write_audio(tmp_path / "in/song.wav", tones())
    result = run_tiny("batch", "in", "--track", 2, "--report", "report.json")
    assert (result.exit_code, errors(result.stderr)) == (0, [])
    notice = "it has no audio track 2, so its only track was used"
    assert f"Note: song.wav: {notice}" in result.stderr
    film_report, song_report = json.loads((tmp_path / "report.json").read_text())["tracks"]
    assert song_report["notices"] == [notice]
    assert notice not in film_report["notices"]
    assert "2 songs skipped" in run_tiny("batch", "in", "--track", 2).stderr
    assert run_tiny("batch", "in", "--track", 3).exit_code == 1
    refused = run_tiny("separate", "in/song.wav", "--track", 2, "-o", "alone")
    assert "song.wav has 1 audio track (1: stereo) and no track 2" in refused.stderr
