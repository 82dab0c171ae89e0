"""Bad songs: one clear sentence each, nothing half-written, and the others are done.

The engine is the real one, with a small untrained network. Truth: laws. A song that cannot be
separated leaves nothing, and the songs beside it have the stems that they have without it.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from tests.audio_files import tones, write_audio
from tests.stemcli.cli.bad_songs import BAD, RATE, STEMS, Bad, noise, sing, text, write
from tests.stemcli.cli.conftest import QUICK, Typed
from tests.stemcli.cli.test_process import run
from tests.stemcli.cli.watching import errors, sentence, tree

GOOD = ("a", "z")
JOURNAL = "separated/.stem-journal.sqlite"

bad_songs = pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())


def library(folder: Path) -> Path:
    """A folder with two good songs."""
    (folder / "in").mkdir()
    for name in GOOD:
        sing(folder / f"in/{name}.wav")
    return folder / "in"


def option(words: tuple[str, ...], name: str, default: str) -> str:
    return words[words.index(name) + 1] if name in words else default


def stems_of_good_songs(words: tuple[str, ...] = ()) -> set[str]:
    template = option(words, "--filename", "{track}/{stem}.{ext}")
    ext = option(words, "-f", "wav")
    names = (template.format(track=name, stem=stem, ext=ext) for name in GOOD for stem in STEMS)
    return {f"separated/{name}" for name in names}


@bad_songs
def test_alone(bad: Bad, tiny: Typed, tmp_path: Path) -> None:
    bad.make(tmp_path / bad.name)
    before = tree(tmp_path)
    line = sentence(tiny("separate", bad.name, *bad.words), 1)
    assert re.search(bad.sentence, line), line
    assert tree(tmp_path) == before


@bad_songs
def test_among_good_ones(bad: Bad, tiny: Typed, tmp_path: Path) -> None:
    bad.make(library(tmp_path) / bad.name)
    before = tree(tmp_path)
    line = sentence(tiny("batch", "in", *bad.words), 1)
    assert re.search(bad.sentence, line), line
    assert tree(tmp_path) - before == {JOURNAL, *stems_of_good_songs(bad.words)}
    assert before <= tree(tmp_path)


@pytest.mark.usefixtures("processes")
def test_all_at_once_in_a_real_process(tmp_path: Path) -> None:
    """No library and no interpreter says anything between our sentences."""
    songs = library(tmp_path)
    plain = {str(number): bad for number, bad in enumerate(BAD.values()) if not bad.words}
    for number, bad in plain.items():
        (songs / number).mkdir()
        bad.make(songs / number / bad.name)
    done = run("batch", "in", "-m", "tiny", "--quiet", *QUICK)
    lines = done.stderr.splitlines()
    assert (done.returncode, len(lines)) == (1, len(plain))
    for bad in plain.values():
        assert any(re.search(rf"^Error: .*{bad.sentence}", line) for line in lines), bad.sentence
    assert {f"separated/{file}" for file in tree(tmp_path / "separated")} == {
        JOURNAL,
        *stems_of_good_songs(),
    }


TYPED = {
    "missing": ("sonng.wav", 1, r"no file sonng\.wav: did you mean 'song.wav'\?"),
    "folder": ("in", 2, "in is a folder. Try: stem batch in"),
    "folder named like a song": ("x.wav", 2, r"x\.wav is a folder. Try: stem batch x\.wav"),
    "below a song": ("song.wav/x.wav", 1, r"no file song\.wav/x\.wav: check the name"),
    "address": (
        "https://example.org/a.mp3",
        1,
        r"https://example.org/a.mp3 is a URL, .*\. Down",
    ),
    "device": ("/dev/null", 1, r"/dev/null is a pipe or a device\. Save the sound to a file"),
    "longer than a name can be": ("x" * 300 + ".wav", 1, r"File name too long\)\. Check its name"),
    "like an option": ("-song.wav", 2, r"\(For the file of that name use \./-song\.wav\)"),
}


@pytest.mark.parametrize(("word", "code", "expected"), TYPED.values(), ids=TYPED.keys())
def test_what_is_typed_is_no_song(
    word: str, code: int, expected: str, tiny: Typed, tmp_path: Path
) -> None:
    for name in ("in", "x.wav"):
        (tmp_path / name).mkdir()
    for name in ("song.wav", "-song.wav"):
        sing(tmp_path / name)
    before = tree(tmp_path)
    line = sentence(tiny("separate", word), code)
    assert re.search(expected, line), line
    assert tree(tmp_path) == before


def test_a_bad_song_typed_among_good_ones(tiny: Typed, tmp_path: Path) -> None:
    songs = library(tmp_path)
    (songs / "bad.mp3").touch()
    before = tree(tmp_path)
    result = tiny("separate", *sorted(songs.iterdir()))
    assert "bad.mp3 is empty" in sentence(result, 1)
    assert tree(tmp_path) - before == stems_of_good_songs()
    assert result.stderr.splitlines()[-1].split()[:3] == ["2", "0", "1"]


def test_two_workers_and_a_report(tiny: Typed, tmp_path: Path) -> None:
    songs = library(tmp_path)
    (songs / "two [x]").mkdir()
    sing(songs / "two [x]/song.wav")
    text(songs / "two [x]/bad.ogg")
    result = tiny("batch", "in", "-j", "2", "--report", "r.json", "-f", "flac")
    assert "two [x]/bad.ogg" in sentence(result, 1)
    assert (tmp_path / "separated/two [x]/song/band.flac").is_file()
    report = json.loads((tmp_path / "r.json").read_text())
    assert (report["done"], report["failed"], report["audio_seconds"]) == (3, 1, 0.75)


def test_a_song_that_may_not_be_read_among_good_ones(
    tiny: Typed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Click's own check, which would refuse all songs, asks ``os.access``."""
    sing(tmp_path / "song.wav")
    monkeypatch.setattr("os.access", lambda path, mode, **choices: str(path) != "song.wav")
    assert tiny("separate", "song.wav").exit_code == 0


@pytest.fixture
def no_ffmpeg(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)


NO_FFMPEG = "This needs ffmpeg, which was not found. Install it, or try: pip install imageio-ffmpeg"


def test_a_song_that_needs_ffmpeg_where_there_is_none(
    tiny: Typed, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    write_audio(library(tmp_path) / "song.m4a", tones(RATE // 4, RATE), RATE)
    request.getfixturevalue("no_ffmpeg")
    before = tree(tmp_path)
    assert sentence(tiny("separate", "in/song.m4a"), 1) == f"Error: song.m4a: {NO_FFMPEG}"
    assert tree(tmp_path) == before
    assert sentence(tiny("batch", "in"), 1) == f"Error: song.m4a: {NO_FFMPEG}"
    assert tree(tmp_path) - before == {JOURNAL, *stems_of_good_songs()}


@pytest.mark.usefixtures("no_ffmpeg")
@pytest.mark.parametrize("format", ["m4a", "opus", "ogg"])
@pytest.mark.parametrize("command", [("separate", "in/a.wav"), ("batch", "in")], ids=" ".join)
def test_a_format_that_needs_ffmpeg_is_refused_once_and_before_the_work(
    command: tuple[str, str], format: str, tiny: Typed, tmp_path: Path
) -> None:
    library(tmp_path)
    before = tree(tmp_path)
    assert sentence(tiny(*command, "-f", format), 1) == f"Error: {NO_FFMPEG}"
    assert tree(tmp_path) == before


@pytest.mark.parametrize("command", [("separate", "in/song.wav"), ("batch", "in")], ids=" ".join)
def test_half_a_song_is_separated_and_told(
    command: tuple[str, str], tiny: Typed, tmp_path: Path
) -> None:
    song = library(tmp_path) / "song.wav"
    write(song, noise(2 * RATE))
    song.write_bytes(song.read_bytes()[: song.stat().st_size // 2])
    result = tiny(*command)
    assert (result.exit_code, errors(result.stderr)) == (0, [])
    assert "Note: song.wav: its sound ends at" in result.stderr


def test_half_a_song_is_told_to_programs(tiny: Typed, tmp_path: Path) -> None:
    """Property: whoever reads a report or JSON learns what is shown to people; the exit code is 0."""
    song = library(tmp_path) / "song.wav"
    write(song, noise(2 * RATE))
    song.write_bytes(song.read_bytes()[: song.stat().st_size // 2])
    told = "its sound ends at 1.00 s of 2.00 s: the file seems to be cut off"
    for kind in ("json", "csv"):
        result = tiny("batch", "in", "-o", kind, "--report", f"r.{kind}", "--quiet")
        assert (result.exit_code, result.output) == (0, "")
        assert told in (tmp_path / f"r.{kind}").read_text()
    tracks = json.loads((tmp_path / "r.json").read_text())["tracks"]
    assert [track["notices"] for track in tracks] == [[], [told], []]
    for words in (("separate", "in/song.wav", "--json"), ("batch", "in", "-o", "out", "--json")):
        events = [json.loads(line) for line in tiny(*words).stdout.splitlines()]
        notices = [event for event in events if event.get("event") == "notice"]
        assert [(notice["track"], notice["message"]) for notice in notices] == [("song.wav", told)]
