"""Invalid requests: one clear error message, and no work is started.

The engine is real, with a small untrained network. Every request goes to both commands.
"""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.stemcli.cli.bad_songs import write_song
from tests.stemcli.cli.conftest import RunStem
from tests.stemcli.cli.results import error_line, tree

TRUNCATED = 1000  # bytes

WEIGHTS = ".zoo/tiny.safetensors"
CARD = ".zoo/tiny.toml"


class Request(NamedTuple):
    """An invalid request for a good song.

    Attributes:
        args: the options of the command.
        code: the expected exit code.
        sentence: the expected error message, as a regular expression.
        make: prepares the folder.
    """

    args: str
    code: int
    sentence: str
    make: Callable[[Path], object] = lambda folder: None


def truncate(folder: Path) -> None:
    os.truncate(folder / WEIGHTS, TRUNCATED)


def flip_a_bit(folder: Path) -> None:
    data = bytearray((folder / WEIGHTS).read_bytes())
    data[-1] ^= 1
    (folder / WEIGHTS).write_bytes(data)


def edit_card(pattern: str, replacement: str) -> Callable[[Path], object]:
    def make(folder: Path) -> None:
        card = (folder / CARD).read_text()
        (folder / CARD).write_text(re.sub(pattern, replacement, card))

    return make


def link(target: str) -> Callable[[Path], object]:
    return lambda folder: (folder / "out").symlink_to(target)


def existing_stem(folder: Path) -> None:
    (folder / "separated/song").mkdir(parents=True)
    (folder / "separated/song/vocals.wav").touch()


def dangling_stem(folder: Path) -> None:
    (folder / "separated/song").mkdir(parents=True)
    (folder / "separated/song/vocals.wav").symlink_to("/nowhere/vocals.wav")


CHANGED = "so it is not what the card of 'tiny' describes. Remove it and install"

NAMES = {
    "unknown model": Request(
        "-m tinny", 2, r"'tinny': did you mean 'tiny'\? See: stem models list"
    ),
    "unknown phase model": Request(
        "--phase-model tinny", 2, r"'tinny': did you mean 'tiny'\? See: stem models list"
    ),
    "phase model that is none": Request(
        "--phase-model tiny", 2, "separates songs and does not predict a phase. Use --model tiny"
    ),
    "unknown stem": Request("--stems vocal", 2, "'vocal': did you mean 'vocals'"),
    "unknown stem of two": Request("--two-stems drums", 2, "'drums': known: vocals, band"),
    "unknown option": Request("--formt wav", 2, r"'--formt'.*--format.*See: stem \w+ --help"),
    "unknown format": Request("-f wave", 2, r"'wave' is not one of 'wav', 'flac'"),
    "unknown device": Request("-d gpu", 2, "'gpu' is not a device. Try auto, cpu, cuda"),
    "no weights of that name": Request(
        "-m no.safetensors", 2, "does not exist. Use the folder of a"
    ),
}

OPTIONS = {
    "two choices of stems": Request("--stems band --two-stems band", 2, "--two-stems .*use one"),
    "quiet JSON": Request("--json --quiet", 2, "--json and --quiet .*use one"),
    "skip and overwrite": Request("--skip-existing --overwrite", 2, "--overwrite .*use one"),
    "bit rate of wav": Request("--bitrate 128", 2, "--bitrate is for mp3.*not for wav; leave it"),
    "quality of wav": Request("--quality 3", 2, "--quality is for mp3.*not for wav; leave it"),
    "bit rate and quality": Request("-f mp3 --bitrate 128 --quality 3", 2, "--quality .*use one"),
    "bit rate of another world": Request("-f m4a --bitrate 9999", 2, "goes from 16 to 512, found"),
    "depth of mp3": Request("-f mp3 --bit-depth 24", 2, "--bit-depth is for wav.*; leave it out"),
    "float in flac": Request("-f flac --bit-depth 32f", 2, "use --bit-depth 24 or --format wav"),
    "no clipping in mp3": Request("-f mp3 --clip-mode none", 2, "mp3 does not.*; use --format wav"),
    "no clipping in 16 bit": Request(
        "--bit-depth 16 --clip-mode none", 2, "with 16 bit does not.*; use .*--bit-depth 32f"
    ),
    "end before the start": Request("--start 2 --end 1", 2, "--end must come after --start, found"),
    "no end": Request("--end 0", 2, "--end must come after --start"),
    "time in words": Request("--start soon", 2, "'soon' is not a time. Try e.g. 90, 1:30"),
    "all overlap": Request("--overlap 1", 2, "1 is not at least 0 and below 1. Try e.g. 0.25"),
    "no segment": Request("--segment 0", 2, "--segment must be from 0.25 to 600.0 seconds"),
    "no workers": Request("--jobs 0", 2, "--jobs.*whole number from 1 to 64"),
    "the same model twice": Request("-m tiny -m tiny", 2, "a model is named twice"),
    "no CUDA": Request("-d cuda", 2, r"No CUDA GPU .*\. Try --device cpu, or --device auto"),
}

PATHS = {
    "climbing template": Request("--filename ../{stem}.{ext}", 2, "leaves .*the folder with --out"),
    "hidden climb": Request("--filename a/../../{stem}.{ext}", 2, "leaves .*the folder with --out"),
    "absolute template": Request(
        "--filename /tmp/{stem}.{ext}", 2, "leaves the output folder; set"
    ),
    "unknown field": Request("--filename {trak}/{stem}.{ext}", 2, "{trak}, did you mean {track}"),
    "open brace": Request("--filename {track/{stem}.{ext}", 2, "write {{ for a brace"),
    "template without stem": Request("--filename {track}.{ext}", 2, "add {stem} to '{track}.{ext}"),
    "another ending": Request("--filename {stem}.mp3", 2, "does not end in .wav.*with --format"),
    "over the song": Request(
        "-o in --filename {track}.{ext} --stems band", 1, "would replace the song.* Choose another"
    ),
    "output is a song": Request(
        "-o in/song.wav", 1, r"song\.wav is a file, .*Choose another --output"
    ),
    "output below a song": Request(
        "-o in/song.wav/x", 1, r"song\.wav is a file, .*Choose another --output"
    ),
    "output is a link to nowhere": Request(
        "-o out", 1, "out is a link to gone, which does not exist. Create it, or", link("gone")
    ),
    "output is a link to itself": Request(
        "-o out", 1, r"Cannot write to out .*\. Choose another folder with --output", link("out")
    ),
    "output of an endless name": Request(
        f"-o {'x' * 300}", 1, r"File name too long\)\. Shorten it with --filename or --output"
    ),
    "stem exists": Request(
        "", 1, "vocals.wav already exists. Add --skip-existing or --over", existing_stem
    ),
    "stem is a link to nowhere": Request(
        "", 1, "vocals.wav already exists. Add --skip-existing or --over", dangling_stem
    ),
}

ZOO = {
    "truncated weights": Request("", 1, rf"has 1000 bytes instead of \d+, {CHANGED}", truncate),
    "truncated weights by path": Request(
        f"-m {WEIGHTS}", 1, r"tiny\.safetensors is damaged .*Copy or convert it again", truncate
    ),
    "weights with one other bit": Request("", 1, f"another SHA-256, {CHANGED}", flip_a_bit),
    "weights gone": Request(
        "", 1, "Try: stem models convert .*--name tiny", lambda at: (at / WEIGHTS).unlink()
    ),
    "card with a wrong hash": Request(
        "", 1, f"another SHA-256, {CHANGED}", edit_card('sha256 = .*"', f'sha256 = "{"0" * 64}"')
    ),
    "card with no hash": Request(
        "", 1, r"must be 64 .*\. Repair or remove it", edit_card('sha256 = .*"', 'sha256 = "x"')
    ),
    "card that is no TOML": Request(
        "", 1, "at line 1.*Repair or remove it", edit_card(r"(?s).*", "this is no [ card")
    ),
    "card that is no text": Request(
        "", 1, "Repair or remove it", lambda at: (at / CARD).write_bytes(b"\xff\xfe\0")
    ),
    "card with an unknown key": Request(
        "", 1, "did you mean 'licence'.*Repair or remove it", edit_card("licence", "license")
    ),
    "card of another name": Request(
        "",
        1,
        r"Try: mv \S+/\.zoo/tiny\.toml \S+/\.zoo/other\.toml",
        edit_card('name = "tiny"', 'name = "other"'),
    ),
}

REQUESTS = {**NAMES, **OPTIONS, **PATHS, **ZOO}


@pytest.mark.parametrize("command", [("separate", "in/song.wav"), ("batch", "in")], ids=" ".join)
@pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS.keys())
def test_an_invalid_request_is_refused_before_any_work(
    request_: Request,
    command: tuple[str, str],
    run_tiny: RunStem,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    (tmp_path / "in").mkdir()
    write_song(tmp_path / "in/song.wav")
    request_.make(tmp_path)
    before = tree(tmp_path)
    line = error_line(run_tiny(*command, *request_.args.split()), request_.code)
    assert re.search(request_.sentence, line), line
    assert tree(tmp_path) == before


@pytest.mark.parametrize("command", [("separate", "in/song.wav"), ("batch", "in")], ids=" ".join)
@pytest.mark.parametrize(
    "args",
    [
        *("--stems vocal", "--two-stems drums", "--phase-model tinny", "-m tiny -m tinny"),
        *("-m tiny -m no.safetensors", "-m melunet", "--filename {trak}/{stem}.{ext}"),
        *("--track x", "--track 0"),
    ],
)
def test_typos_are_found_before_a_model_is_loaded(
    args: str,
    command: tuple[str, str],
    run_tiny: RunStem,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loaded: list[object] = []
    monkeypatch.setattr("model_zoo.catalogue.resolve.load", loaded.append)
    (tmp_path / "in").mkdir()
    write_song(tmp_path / "in/song.wav")
    error_line(run_tiny(*command, *args.split()), 2)
    assert loaded == []


@pytest.mark.parametrize(
    ("args", "after"),
    [
        (("separate", "song.wav", "-o", ""), "-o"),
        (("separate", "song.wav", "--phase-model", ""), "--phase-model"),
        (("separate", "song.wav", "--phase-model="), "--phase-model"),
        (("separate", "song.wav", "--model", "tiny", "-m", ""), "-m"),
        (("separate", ""), "separate"),
        (("models", "info", ""), "info"),
        (("train", "--recipe="), "--recipe"),
        (("",), "stem"),
    ],
)
def test_empty_arguments_are_refused(
    args: tuple[str, ...], after: str, run_stem: RunStem, tmp_path: Path
) -> None:
    """Shells pass an empty argument for an unset variable."""
    write_song(tmp_path / "song.wav")
    line = error_line(run_stem(*args), 2)
    assert line.startswith(f"Error: The argument after {after} is empty")
    assert not (tmp_path / "separated").exists()


def test_the_last_of_a_repeated_option_wins(run_tiny: RunStem, tmp_path: Path) -> None:
    """This lets options after a shell alias override those in it."""
    write_song(tmp_path / "song.wav")
    args = ("--phase-model", "first", "--phase-model", "second")
    assert "Unknown model 'second'" in error_line(run_tiny("separate", "song.wav", *args), 2)


def empty(songs: Path) -> None:
    (songs / "song.wav").unlink()


def text_only(songs: Path) -> None:
    (songs / "song.wav").rename(songs / "song.txt")


def a_file(songs: Path) -> None:
    shutil.rmtree(songs)
    songs.touch()


def a_link_to_itself(songs: Path) -> None:
    shutil.rmtree(songs)
    songs.symlink_to("in")


def damaged_journal(songs: Path) -> None:
    (songs.parent / "separated").mkdir()
    (songs.parent / "separated/.stem-journal.sqlite").write_text("This is no journal. " * 99)


def folder_for_a_journal(songs: Path) -> None:
    (songs.parent / "separated/.stem-journal.sqlite").mkdir(parents=True)


def journal_of_a_later_version(songs: Path) -> None:
    (songs.parent / "separated").mkdir()
    with sqlite3.connect(songs.parent / "separated/.stem-journal.sqlite") as journal:
        journal.execute("PRAGMA user_version = 99")
    journal.close()


def folder_for_a_report(songs: Path) -> None:
    (songs.parent / "r.csv").mkdir()


def two_songs_of_one_name(songs: Path) -> None:
    shutil.copy(songs / "song.wav", songs / "song.mp3")


LIBRARIES = {
    "missing": Request("", 2, "in does not exist. Try: stem batch FOLDER", shutil.rmtree),
    "a file": Request("", 2, "in is a file. Try: stem separate .* in$", a_file),
    "a link to itself": Request("", 2, "in does not exist. Try: stem batch", a_link_to_itself),
    "empty": Request("", 2, r"no song in in \(it is empty\). Check the path, --recursive", empty),
    "without songs": Request("", 2, r"no song in in \(1 not audio\). Check the path", text_only),
    "all excluded": Request("--exclude *", 2, r"no song in in \(1 excluded\). Check .*--exclude"),
    "one output for two songs": Request(
        "", 1, "would both be .*Rename one of", two_songs_of_one_name
    ),
    "damaged journal": Request("", 1, "is damaged .*Move it away and add --skip", damaged_journal),
    "folder for a journal": Request("", 1, "journal .*choose another", folder_for_a_journal),
    "journal of another version": Request(
        "", 1, "another version.*Upd", journal_of_a_later_version
    ),
    "report in a missing folder": Request("--report no/r.csv", 1, "folder no .*Create it first"),
    "report over a folder": Request(
        "--report r.csv",
        1,
        "is a folder. Use --report with the name of a file",
        folder_for_a_report,
    ),
    "report of an unknown kind": Request("--report r.txt", 2, "end in .json or .csv. Try e.g."),
    "retries of the past": Request("--retries -1", 2, "--retries.*whole number from 0 to 10"),
}


@pytest.mark.parametrize("library", LIBRARIES.values(), ids=LIBRARIES.keys())
def test_an_invalid_library_is_refused_before_any_work(
    library: Request, run_tiny: RunStem, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    write_song(tmp_path / "in/song.wav")
    library.make(tmp_path / "in")
    before = tree(tmp_path)
    line = error_line(run_tiny("batch", "in", *library.args.split()), library.code)
    assert re.search(library.sentence, line), line
    assert tree(tmp_path) == before
