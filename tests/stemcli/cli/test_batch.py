"""``stem batch`` with the fake engine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from stemcli.batch.journal import NAME
from stemcli.batch.library import LibraryScan, LibrarySong
from tests.stemcli.batch.fake import make_songs
from tests.stemcli.cli.conftest import RunStem

pytestmark = pytest.mark.usefixtures("fake_engine")


def test_a_library_is_mirrored_and_summed_up(tmp_path: Path, run_stem: RunStem) -> None:
    make_songs(tmp_path / "Music", "x/a.mp3", "y [live]/a.mp3", "cover.jpg")
    make_songs(tmp_path / "Music", "y [live]/b.mp3", content="bad")
    result = run_stem("batch", "Music", "--jobs", "2")
    assert result.exit_code == 1
    assert (tmp_path / "separated/y [live]/a/vocals.wav").exists()
    lines = [line for line in result.stderr.splitlines() if line]
    assert lines[0] == "3 songs (1 not audio)"
    assert lines[-3].startswith(str(Path("Music/y [live]/b.mp3")))
    assert lines[-3].endswith("b.mp3 holds no sound that can be read")
    assert lines[-2].split() == ["done", "skipped", "failed", "music", "time", "speed"]
    assert lines[-1].split()[:4] == ["2", "0", "1", "0:20"]


def test_a_second_run_has_nothing_to_do(tmp_path: Path, run_stem: RunStem) -> None:
    make_songs(tmp_path, "x/a.mp3", "b.mp3")
    assert run_stem("batch", ".").exit_code == 0
    result = run_stem("batch", ".", "--skip-existing")
    assert result.exit_code == 0
    assert result.stderr.splitlines()[-1].split() == ["0", "2", "0", "0:00", "0:00"]


def test_a_second_run_redoes_failed_and_changed_songs(tmp_path: Path, run_stem: RunStem) -> None:
    make_songs(tmp_path / "in", "a.mp3", "b.mp3", "c.mp3")
    make_songs(tmp_path / "in", "bad.mp3", content="bad")
    assert run_stem("batch", "in").exit_code == 1
    make_songs(tmp_path / "in", "b.mp3", content="another song")
    result = run_stem("batch", "in")
    assert "2 songs skipped: done in an earlier run" in result.stderr
    assert result.stderr.splitlines()[-1].split()[:3] == ["1", "2", "1"]


@pytest.mark.parametrize(
    ("option", "suffix"), [((), ""), (("--overwrite",), " without --overwrite")]
)
def test_ctrl_c_says_how_to_resume(
    option: tuple[str, ...],
    suffix: str,
    tmp_path: Path,
    run_stem: RunStem,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupt(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    make_songs(tmp_path / "in", "a.mp3")
    monkeypatch.setattr("stemcli.batch.run.separate_songs", interrupt)
    result = run_stem("batch", "in", *option)
    assert result.exit_code == 130
    last = result.stderr.splitlines()[-1]
    assert last == f"Interrupted. To resume, run the same command again{suffix}."


def test_a_folder_may_be_its_own_output(tmp_path: Path, run_stem: RunStem) -> None:
    make_songs(tmp_path, "a.mp3")
    assert run_stem("batch", ".", "-o", ".").exit_code == 0
    result = run_stem("batch", ".", "-o", ".", "--skip-existing")
    assert "1 song (1 hidden, 2 stems of earlier runs)" in result.stderr
    assert result.stderr.splitlines()[-1].split()[:3] == ["0", "1", "0"]


def test_stems_beside_their_songs_are_not_songs(tmp_path: Path, run_stem: RunStem) -> None:
    """By hand: one song per folder, despite stems of earlier runs under any names."""
    make_songs(tmp_path / "in", "a.mp3")
    make_songs(tmp_path / "in/x", "b.mp3")
    assert run_stem("batch", "in/x", "-o", "in/x").exit_code == 0
    assert run_stem("batch", "in", "-o", "in", "--filename", "{stem}/{track}.{ext}").exit_code == 0
    result = run_stem("batch", "in", "-o", "other")
    assert "2 songs (2 hidden, 6 stems of earlier runs)" in result.stderr
    outputs = {
        path.relative_to(tmp_path / "other").as_posix()
        for path in (tmp_path / "other").rglob("*.wav")
    }
    assert outputs == {
        f"{song}/{stem}.wav" for song in ("a", "x/b") for stem in ("vocals", "instrumental")
    }
    (tmp_path / "in").rename(tmp_path / "moved")
    assert "2 songs (2 hidden, 6 stems of" in run_stem("batch", "moved", "-o", "third").stderr


def test_patterns_and_depth(tmp_path: Path, run_stem: RunStem) -> None:
    make_songs(tmp_path / "in", "a.flac", "b.mp3", "Live/c.flac", "Live/d.flac")
    run_stem("batch", "in", "--include", "*.flac", "--exclude", "d*")
    assert sorted(path.parent.name for path in tmp_path.glob("separated/**/vocals.wav")) == [
        "a",
        "c",
    ]
    result = run_stem("batch", "in", "-o", "p", "--exclude", "[ab]*")
    assert "4 songs\nNote: no song matches [ab]*; only * and ? are wildcards\n" in result.stderr
    assert (
        "1 song (" in run_stem("batch", "in", "--no-recursive", "-o", "o", "--include", "a*").stderr
    )


@pytest.mark.parametrize("name", ["report.json", "report.csv"])
def test_report_file(name: str, tmp_path: Path, run_stem: RunStem) -> None:
    make_songs(tmp_path / "in", "a.mp3")
    result = run_stem("batch", "in", "--report", name)
    assert result.exit_code == 0, result.output
    text = (tmp_path / name).read_text()
    song = str(Path("in/a.mp3"))
    assert json.loads(text)["tracks"][0]["song"] == song if name.endswith("json") else song in text


def test_collisions_are_refused_before_any_work(tmp_path: Path, run_stem: RunStem) -> None:
    make_songs(tmp_path / "in", "x/a.mp3", "x/a.wav")
    result = run_stem("batch", "in")
    assert result.exit_code == 1
    assert str(Path("in/x/a.mp3")) in result.stderr
    assert str(Path("in/x/a.wav")) in result.stderr
    assert not (tmp_path / "separated").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["nowhere"], 2, "nowhere does not exist. Try: stem batch FOLDER"),
        (
            ["empty", "in"],
            2,
            "stem batch reads one folder, found 2 paths. Run it once for each, or name the folder"
            " above them: stem batch DIR --include empty --include in (",
        ),
        (
            ["in/a.mp3", "b c.mp3"],
            2,
            "found 2 paths. For songs try: stem separate in/a.mp3 'b c.mp3' (",
        ),
        (["empty"], 2, "There is no song in empty (it is empty)"),
        (["in", "--report", "r.txt"], 2, "does not end in .json or .csv"),
        (["in", "--report", "no/r.csv"], 1, "The folder no of the report does not exist"),
        (["in", "--output", "in/a.mp3"], 1, "a.mp3 is a file, so in/a.mp3 cannot be a folder"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_refusals(
    arguments: list[str], code: int, sentence: str, tmp_path: Path, run_stem: RunStem
) -> None:
    make_songs(tmp_path / "in", "a.mp3")
    (tmp_path / "empty").mkdir()
    result = run_stem("batch", *arguments)
    assert (result.exit_code, result.stdout) == (code, "")
    assert sentence in result.stderr


@pytest.mark.parametrize(
    ("line", "advice"),
    [
        ("separate in -o out --mp3", "in is a folder. Try: stem batch in -o out --mp3"),
        ("separate in in/a.mp3 -o out", "in is a folder. Try: stem batch in\n"),
        ("batch in/a.mp3 -o out", "in/a.mp3 is a file. Try: stem separate in/a.mp3 -o out"),
        ("batch in/a.mp3 --retries 2", "in/a.mp3 is a file. Try: stem separate in/a.mp3\n"),
        ("batch http://127.0.0.1:1/in/", "is on a web server, which lists no songs. Name the URL"),
    ],
)
def test_the_other_command_is_advised_with_the_options(
    line: str, advice: str, tmp_path: Path, run_stem: RunStem
) -> None:
    make_songs(tmp_path / "in", "a.mp3")
    result = run_stem(*line.split())
    assert (result.exit_code, result.stdout) == (2, "")
    assert advice in result.stderr


def test_a_locked_folder_is_an_error_but_the_rest_is_done(
    tmp_path: Path, run_stem: RunStem, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_songs(tmp_path / "in", "a.mp3")
    scan = LibraryScan([LibrarySong(Path("in/a.mp3"))], unreadable=[Path("in/locked")])
    monkeypatch.setattr("stemcli.batch.library.find_songs", lambda *args, **kwargs: scan)
    result = run_stem("batch", "in")
    assert result.exit_code == 1
    assert "in/locked may not be read" in result.stderr
    assert (tmp_path / "separated/a/vocals.wav").exists()


def test_a_folder_with_a_damaged_journal_is_an_error_but_the_rest_is_done(
    tmp_path: Path, run_stem: RunStem
) -> None:
    make_songs(tmp_path / "in", "a.mp3", "x/b.mp3")
    (tmp_path / "in/x" / NAME).write_text("no database " * 99)
    result = run_stem("batch", "in")
    assert result.exit_code == 1
    assert "Error: The songs in x are left out: The journal in/x/" in result.stderr
    assert (tmp_path / "separated/a/vocals.wav").exists()
