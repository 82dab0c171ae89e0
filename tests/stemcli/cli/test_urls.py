"""``stem separate`` with URLs, and stems named after tags.

Reference: the same songs as files. The web and S3 servers run on this machine, the engine is real.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stemcli.audio.tag_formats import write_tags
from stemcli.audio.tags import Tags
from tests.audio_files import tones, write_audio
from tests.stemcli.cli.conftest import RunStem
from tests.stemcli.cli.results import error_line, errors, tree
from tests.web_server import WebServer, content, serve, status

RATE = 16_000
STEMS = ("vocals", "band")


@pytest.fixture
def server() -> Iterator[WebServer]:
    with serve() as running:
        yield running


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder


def song(path: Path, **tags: str) -> bytes:
    """Write a song with tags; return its bytes."""
    path.parent.mkdir(exist_ok=True)
    write_audio(path, tones(RATE // 4, RATE), RATE)
    write_tags(path, Tags({name: [text] for name, text in tags.items()}))
    return path.read_bytes()


def test_urls_beside_files(
    server: WebServer, run_tiny: RunStem, temporary: Path, tmp_path: Path
) -> None:
    """The names in URLs are decoded; each song is downloaded once, and its copy removed."""
    data = song(tmp_path / "a.flac")
    url = server.add("/x/b%20c.flac", content(data)) + "?key=secret/1"
    result = run_tiny("separate", "a.flac", url, url)
    assert result.exit_code == 0, result.output
    assert tree(tmp_path / "separated") == {
        f"{name}/{s}.wav" for name in ("a", "b c") for s in STEMS
    }
    for stem in STEMS:
        found = (tmp_path / f"separated/b c/{stem}.wav").read_bytes()
        assert found == (tmp_path / f"separated/a/{stem}.wav").read_bytes()
    assert server.requests == ["/x/b%20c.flac?key=secret/1"]
    assert "secret" not in result.output
    assert [*temporary.iterdir()] == []


def test_a_bad_url_does_not_stop_the_rest(
    server: WebServer, run_tiny: RunStem, temporary: Path, tmp_path: Path
) -> None:
    song(tmp_path / "a.flac")
    urls = [
        server.add("/gone.mp3", status(404)),
        server.add("/login.mp3", content(b"<!doctype html><title>Log in</title>")),
        server.add("/half.mp3", content(b"ID3", announced=5)),
    ]
    result = run_tiny("separate", *urls, "a.flac", "--json")
    assert result.exit_code == 1
    assert sorted(errors(result.stderr)) == [
        f"Error: No sound can be read from {urls[1]}: it is a web page; download the song itself, "
        "perhaps after logging in",
        f"Error: The download of {urls[2]} stopped after 3 of 5 bytes (the connection was closed). "
        "Run it again",
        f"Error: There is no file at {urls[0]} (404 Not Found). Check the URL",
    ]
    report = json.loads(result.stdout.splitlines()[-1])["report"]
    assert [track["song"] for track in report["tracks"]] == [*urls, "a.flac"]
    assert tree(tmp_path / "separated") == {f"a/{stem}.wav" for stem in STEMS}
    assert [*temporary.iterdir()] == []


@pytest.mark.parametrize(
    ("header", "name"),
    [({"Content_Disposition": 'attachment; filename="b.flac"'}, "b"), ({}, "127_0_0_1")],
)
def test_a_url_without_a_name(
    header: dict[str, str], name: str, server: WebServer, run_tiny: RunStem, tmp_path: Path
) -> None:
    """The server names the file; else it is named after the server."""
    url = server.add("/", content(song(tmp_path / "a.flac"), **header)) + "?id=7"
    assert run_tiny("separate", url).exit_code == 0
    assert tree(tmp_path / "separated") == {f"{name}/{stem}.wav" for stem in STEMS}
    assert server.requests == ["/?id=7"]


def test_a_url_without_a_name_that_fails(server: WebServer, run_tiny: RunStem) -> None:
    sentence = f"Error: There is no file at {server.url}/ (404 Not Found). Check the URL"
    assert error_line(run_tiny("separate", f"{server.url}/"), 1) == sentence


def test_a_song_that_cannot_be_named_is_not_separated_under_another_name(
    server: WebServer, run_tiny: RunStem, tmp_path: Path
) -> None:
    """Its tags are unknown, so stems of a second download would have other names than planned."""
    url = server.add("/b.flac", status(503))
    line = error_line(run_tiny("separate", url, *TAGGED), 1)
    assert "The server cannot give" in line
    assert len(server.requests) == 1
    server.add("/b.flac", content(song(tmp_path / "a.flac", title="Title")))
    assert run_tiny("separate", url, *TAGGED).exit_code == 0
    assert (tmp_path / "separated/Unknown artist/00 Title - vocals.wav").is_file()


def test_existing_stems_are_not_downloaded_again(
    server: WebServer, run_tiny: RunStem, tmp_path: Path
) -> None:
    url = server.add("/b.flac", content(song(tmp_path / "a.flac")))
    assert run_tiny("separate", url).exit_code == 0
    assert "already exists. Add --skip" in error_line(run_tiny("separate", url), 1).replace(
        " (and 1 more)", ""
    )
    skipped = run_tiny("separate", url, "--skip-existing")
    assert "1 song skipped: all stems exist" in skipped.stderr
    assert len(server.requests) == 1
    assert run_tiny("separate", url, "--overwrite").exit_code == 0
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("url", "code", "sentence"),
    [
        ("https://me:secret@server/a.mp3", 2, "The URL https://me@server/a.mp3 was given with a"),
        ("s3://me:secret@server/a.mp3", 2, "The URL s3://me@server/a.mp3 was given with a passw"),
        ("http:///a.mp3", 2, "http:///a.mp3 is not a valid URL: it names no server"),
        ("s3://[::1/a.mp3", 2, "s3://[::1/a.mp3 is not a valid URL (Invalid IPv6 URL)"),
        (
            "nonsense://server/a.mp3",
            1,
            "nonsense://server cannot be opened (Protocol not known: nonsense). Check the URL",
        ),
        ("http://127.0.0.1:1/a.mp3", 1, "127.0.0.1:1 refuses the connection"),
    ],
)
def test_an_address_that_cannot_be_used(
    url: str, code: int, sentence: str, run_tiny: RunStem, tmp_path: Path
) -> None:
    before = tree(tmp_path)
    line = error_line(run_tiny("separate", url), code)
    assert sentence in line
    assert "secret" not in line
    assert tree(tmp_path) == before


def test_options_are_checked_before_a_download(server: WebServer, run_tiny: RunStem) -> None:
    url = server.add("/a.flac", server.stall)
    assert "Unknown stem" in error_line(run_tiny("separate", url, "--stems", "drums"), 2)
    assert server.requests == []


def test_songs_and_stems_in_a_bucket(
    s3_client: Any, run_tiny: RunStem, temporary: Path, tmp_path: Path
) -> None:
    s3_client.create_bucket(Bucket="single")
    s3_client.put_object(Bucket="single", Key="b.flac", Body=song(tmp_path / "a.flac"))
    result = run_tiny("separate", "s3://single/b.flac", "a.flac", "-o", "s3://single/stems")
    assert result.exit_code == 0, result.output
    listed = s3_client.list_objects_v2(Bucket="single", Prefix="stems")["Contents"]
    names = {f"stems/{name}/{stem}.wav" for name in "ab" for stem in STEMS}
    assert {item["Key"] for item in listed} == names
    assert "s3://single/stems/b/vocals.wav" in result.stderr
    again = run_tiny("separate", "s3://single/b.flac", "-o", "s3://single/stems", "--skip-existing")
    assert "1 song skipped: all stems exist" in again.stderr
    missing = run_tiny("separate", "s3://single/none.flac")
    assert "There is no file at s3://single/none.flac" in error_line(missing, 1)
    assert [*temporary.iterdir()] == []


def test_an_interrupt_during_a_download(
    server: WebServer, processes: None, temporary: Path, tmp_path: Path
) -> None:
    url = server.add("/a.flac", server.stall)
    command = [sys.executable, "-m", "stemcli", "separate", "-m", "tiny", url]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        while not server.requests:
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=25) == 130  # a server may be silent for 30 seconds
        assert process.stderr.read().splitlines()[-1] == "Interrupted."
    assert not (tmp_path / "separated").exists()
    assert [*temporary.iterdir()] == []


TAGGED = ("--filename", "{artist}/{number} {title} - {stem}.{ext}")


@pytest.mark.parametrize("place", ["file", "web", "bucket"])
def test_stems_named_after_tags(
    place: str, server: WebServer, run_tiny: RunStem, tmp_path: Path, request: Any
) -> None:
    data = song(tmp_path / "a.flac", artist="AC/DC", title="T.N.T.", tracknumber="3/12")
    url = server.add("/a.flac", content(data))
    if place == "bucket":
        client = request.getfixturevalue("s3_client")
        client.create_bucket(Bucket="tagged")
        client.put_object(Bucket="tagged", Key="a.flac", Body=data)
    source = {"file": "a.flac", "web": url, "bucket": "s3://tagged/a.flac"}[place]
    result = run_tiny("separate", source, *TAGGED)
    assert result.exit_code == 0, result.output
    assert tree(tmp_path / "separated") == {f"AC_DC/03 T.N.T. - {stem}.wav" for stem in STEMS}
    assert len(server.requests) == (place == "web")


def test_files_of_one_name_with_different_tags(run_tiny: RunStem, tmp_path: Path) -> None:
    """Events and reports tell them apart by their paths."""
    song(tmp_path / "x/01.flac", title="One")
    song(tmp_path / "y/01.flac", title="Two")
    result = run_tiny("separate", "x/01.flac", "y/01.flac", *TAGGED, "--json")
    assert result.exit_code == 0, result.output
    events = [json.loads(line) for line in result.stdout.splitlines()]
    finished = {e["track"]: e["outputs"] for e in events if e["event"] == "track_finished"}
    expected = {
        f"{folder}/01.flac": {
            stem: f"separated/Unknown artist/00 {title} - {stem}.wav" for stem in STEMS
        }
        for folder, title in (("x", "One"), ("y", "Two"))
    }
    assert finished == expected
    tracks = events[-1]["report"]["tracks"]
    assert {track["song"]: track["outputs"] for track in tracks} == expected
    assert all(
        (tmp_path / path).is_file() for outputs in expected.values() for path in outputs.values()
    )


def test_two_songs_with_the_same_tags_are_refused(run_tiny: RunStem, tmp_path: Path) -> None:
    for name in ("in/a.flac", "in/b.flac"):
        song(tmp_path / name, artist="A", title="Same")
    for args in (("separate", "in/a.flac", "in/b.flac"), ("batch", "in")):
        line = error_line(run_tiny(*args, *TAGGED), 1)
        assert "in/a.flac and in/b.flac would both be written to separated/A/00 Same - " in line
    assert not [*tmp_path.glob("separated/*/*")]


def test_a_library_named_after_tags_is_resumed(run_tiny: RunStem, tmp_path: Path) -> None:
    """Also with the stems beside the songs: they have tags too, but are not separated again."""
    for number, title in enumerate(("One", "Two"), 1):
        song(tmp_path / f"in/{number}.flac", artist="A", title=title)
    (tmp_path / "in/bad.mp3").write_bytes(b"")
    assert run_tiny("batch", "in", "-o", "in", *TAGGED).exit_code == 1
    stems = {f"A/00 {title} - {stem}.wav" for title in ("One", "Two") for stem in STEMS}
    songs = {"1.flac", "2.flac", "bad.mp3", ".stem-journal.sqlite"}
    assert tree(tmp_path / "in") == {*stems, *songs}
    again = run_tiny("batch", "in", "-o", "in", *TAGGED)
    assert "2 songs skipped: done in an earlier run" in again.stderr
    assert tree(tmp_path / "in") == {*stems, *songs}
    song(tmp_path / "in/2.flac", artist="A", title="Zwei")
    assert run_tiny("batch", "in", "-o", "in", *TAGGED).exit_code == 1
    assert {f"A/00 Zwei - {stem}.wav" for stem in STEMS} <= tree(tmp_path / "in")


@pytest.mark.parametrize("more", [(), ("--skip-existing",), ("--overwrite",)])
def test_a_missing_song_is_an_error_although_its_stems_exist(
    more: tuple[str, ...], run_tiny: RunStem, tmp_path: Path
) -> None:
    song(tmp_path / "a.flac")
    assert run_tiny("separate", "a.flac").exit_code == 0
    line = error_line(run_tiny("separate", "gone/a.flac", *more), 1)
    assert line.startswith("Error: There is no file gone/a.flac")
