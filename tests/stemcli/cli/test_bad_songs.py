"""Bad songs: one clear error message each, no partial files, and the other songs are separated.

The engine is real, with a small untrained network. Properties: a song that cannot be separated
leaves no file, and the songs beside it get the same stems as without it.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from tests.audio_files import tones, write_audio
from tests.stemcli.cli.bad_songs import (
    BAD,
    RATE,
    STEMS,
    Bad,
    noise,
    write,
    write_song,
    write_text_file,
)
from tests.stemcli.cli.conftest import QUICK, RunStem
from tests.stemcli.cli.results import error_line, errors, tree
from tests.stemcli.cli.test_process import run

GOOD = ("a", "z")
JOURNAL = "separated/.stem-journal.sqlite"

bad_songs = pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())


def library(folder: Path) -> Path:
    """A folder with two good songs."""
    (folder / "in").mkdir()
    for name in GOOD:
        write_song(folder / f"in/{name}.wav")
    return folder / "in"


def option(args: tuple[str, ...], name: str, default: str) -> str:
    return args[args.index(name) + 1] if name in args else default


def stems_of_good_songs(args: tuple[str, ...] = ()) -> set[str]:
    template = option(args, "--filename", "{track}/{stem}.{ext}")
    ext = option(args, "-f", "wav")
    names = (template.format(track=name, stem=stem, ext=ext) for name in GOOD for stem in STEMS)
    return {f"separated/{name}" for name in names}


@bad_songs
def test_a_bad_song_alone(bad: Bad, run_tiny: RunStem, tmp_path: Path) -> None:
    bad.make(tmp_path / bad.name)
    before = tree(tmp_path)
    line = error_line(run_tiny("separate", bad.name, *bad.args), 1)
    assert re.search(bad.sentence, line), line
    assert tree(tmp_path) == before


@bad_songs
def test_a_bad_song_among_good_ones(bad: Bad, run_tiny: RunStem, tmp_path: Path) -> None:
    bad.make(library(tmp_path) / bad.name)
    before = tree(tmp_path)
    line = error_line(run_tiny("batch", "in", *bad.args), 1)
    assert re.search(bad.sentence, line), line
    assert tree(tmp_path) - before == {JOURNAL, *stems_of_good_songs(bad.args)}
    assert before <= tree(tmp_path)


@pytest.mark.usefixtures("processes")
def test_all_bad_songs_in_a_real_process(tmp_path: Path) -> None:
    """Stderr has only our messages, none of libraries or the interpreter."""
    songs = library(tmp_path)
    without_options = {str(number): bad for number, bad in enumerate(BAD.values()) if not bad.args}
    for number, bad in without_options.items():
        (songs / number).mkdir()
        bad.make(songs / number / bad.name)
    done = run("batch", "in", "-m", "tiny", "--quiet", *QUICK)
    lines = done.stderr.splitlines()
    assert (done.returncode, len(lines)) == (1, len(without_options))
    for bad in without_options.values():
        assert any(re.search(rf"^Error: .*{bad.sentence}", line) for line in lines), bad.sentence
    assert {f"separated/{file}" for file in tree(tmp_path / "separated")} == {
        JOURNAL,
        *stems_of_good_songs(),
    }


PATHS = {
    "missing": ("sonng.wav", 1, r"no file sonng\.wav: did you mean 'song.wav'\?"),
    "folder": ("in", 2, "in is a folder. Try: stem batch .* in$"),
    "folder named like a song": ("x.wav", 2, r"x\.wav is a folder. Try: stem batch .* x\.wav$"),
    "pattern in quotes": ("so*.wav", 1, r"no file so\*\.wav: type a pattern without quotes"),
    "address with one slash": (
        "https:/127.0.0.1:1/a.mp3",
        1,
        r"is not a complete URL\. Write it with two slashes: https://127\.0\.0\.1:1/a\.mp3",
    ),
    "below a song": ("song.wav/x.wav", 1, r"no file song\.wav/x\.wav: check the name"),
    "address": (
        "https://127.0.0.1:1/a.mp3",
        1,
        r"https://127\.0\.0\.1:1/a\.mp3 cannot be downloaded: 127\.0\.0\.1:1 refuses the conn",
    ),
    "device": (
        "/dev/null",
        1,
        r"/dev/null is a pipe or a device\. Save the sound to a file and use that, or",
    ),
    "longer than a name can be": ("x" * 300 + ".wav", 1, r"File name too long\)\. Check its name"),
    "like an option": ("-song.wav", 2, r"\(For the file of that name use \./-song\.wav\)"),
}


@pytest.mark.parametrize(("path", "code", "expected"), PATHS.values(), ids=PATHS.keys())
def test_a_path_that_is_not_a_song(
    path: str, code: int, expected: str, run_tiny: RunStem, tmp_path: Path
) -> None:
    for name in ("in", "x.wav"):
        (tmp_path / name).mkdir()
    for name in ("song.wav", "-song.wav"):
        write_song(tmp_path / name)
    before = tree(tmp_path)
    line = error_line(run_tiny("separate", path), code)
    assert re.search(expected, line), line
    assert tree(tmp_path) == before


def test_separate_a_bad_song_among_good_ones(run_tiny: RunStem, tmp_path: Path) -> None:
    songs = library(tmp_path)
    (songs / "bad.mp3").touch()
    before = tree(tmp_path)
    result = run_tiny("separate", *sorted(songs.iterdir()))
    assert "bad.mp3 is empty" in error_line(result, 1)
    assert tree(tmp_path) - before == stems_of_good_songs()
    assert result.stderr.splitlines()[-1].split()[:3] == ["2", "0", "1"]


def test_two_workers_and_a_report(run_tiny: RunStem, tmp_path: Path) -> None:
    songs = library(tmp_path)
    (songs / "two [x]").mkdir()
    write_song(songs / "two [x]/song.wav")
    write_text_file(songs / "two [x]/bad.ogg")
    result = run_tiny("batch", "in", "-j", "2", "--report", "r.json", "-f", "flac")
    assert "two [x]/bad.ogg" in error_line(result, 1)
    assert (tmp_path / "separated/two [x]/song/band.flac").is_file()
    report = json.loads((tmp_path / "r.json").read_text())
    assert (report["done"], report["failed"], report["audio_seconds"]) == (3, 1, 0.75)


def test_an_unreadable_song_does_not_stop_click(
    run_tiny: RunStem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Click's own check of permissions by ``os.access`` would refuse all songs."""
    write_song(tmp_path / "song.wav")
    monkeypatch.setattr("os.access", lambda path, mode, **choices: str(path) != "song.wav")
    assert run_tiny("separate", "song.wav").exit_code == 0


@pytest.fixture
def no_ffmpeg(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)


NO_FFMPEG = "This needs ffmpeg, which was not found. Install it, or try: pip install imageio-ffmpeg"


def test_a_song_that_needs_a_missing_ffmpeg(
    run_tiny: RunStem, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    write_audio(library(tmp_path) / "song.m4a", tones(RATE // 4, RATE), RATE)
    request.getfixturevalue("no_ffmpeg")
    before = tree(tmp_path)
    assert error_line(run_tiny("separate", "in/song.m4a"), 1) == f"Error: song.m4a: {NO_FFMPEG}"
    assert tree(tmp_path) == before
    assert error_line(run_tiny("batch", "in"), 1) == f"Error: song.m4a: {NO_FFMPEG}"
    assert tree(tmp_path) - before == {JOURNAL, *stems_of_good_songs()}


@pytest.mark.usefixtures("no_ffmpeg")
@pytest.mark.parametrize("format", ["m4a", "opus", "ogg"])
@pytest.mark.parametrize("command", [("separate", "in/a.wav"), ("batch", "in")], ids=" ".join)
def test_a_format_that_needs_a_missing_ffmpeg_is_refused_before_work(
    command: tuple[str, str], format: str, run_tiny: RunStem, tmp_path: Path
) -> None:
    library(tmp_path)
    before = tree(tmp_path)
    assert error_line(run_tiny(*command, "-f", format), 1) == f"Error: {NO_FFMPEG}"
    assert tree(tmp_path) == before


@pytest.mark.parametrize("command", [("separate", "in/song.wav"), ("batch", "in")], ids=" ".join)
def test_half_a_song_is_separated_with_a_notice(
    command: tuple[str, str], run_tiny: RunStem, tmp_path: Path
) -> None:
    song = library(tmp_path) / "song.wav"
    write(song, noise(2 * RATE))
    song.write_bytes(song.read_bytes()[: song.stat().st_size // 2])
    result = run_tiny(*command)
    assert (result.exit_code, errors(result.stderr)) == (0, [])
    assert "Note: song.wav: its sound ends at" in result.stderr


def test_notices_are_in_reports_and_json(run_tiny: RunStem, tmp_path: Path) -> None:
    """Property: reports and JSON have the same notices as the console; the exit code is 0."""
    song = library(tmp_path) / "song.wav"
    write(song, noise(2 * RATE))
    song.write_bytes(song.read_bytes()[: song.stat().st_size // 2])
    message = "its sound ends at 1.00 s of 2.00 s: the file seems to be cut off"
    for kind in ("json", "csv"):
        result = run_tiny("batch", "in", "-o", kind, "--report", f"r.{kind}", "--quiet")
        assert (result.exit_code, result.output) == (0, "")
        assert message in (tmp_path / f"r.{kind}").read_text()
    tracks = json.loads((tmp_path / "r.json").read_text())["tracks"]
    assert [track["notices"] for track in tracks] == [[], [message], []]
    for args in (("separate", "in/song.wav", "--json"), ("batch", "in", "-o", "out", "--json")):
        events = [json.loads(line) for line in run_tiny(*args).stdout.splitlines()]
        notices = [event for event in events if event.get("event") == "notice"]
        assert [(notice["track"], notice["message"]) for notice in notices] == [
            ("song.wav", message)
        ]
