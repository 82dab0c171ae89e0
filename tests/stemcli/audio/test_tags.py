from __future__ import annotations

import struct
import sys
from pathlib import Path

import mutagen
import numpy as np
import pytest
from mutagen import id3
from mutagen.apev2 import BINARY, APEValue
from mutagen.asf._attrs import ASFByteArrayAttribute
from mutagen.ogg import OggPage

from stemcli.audio.tag_formats import read_tags, write_tags
from stemcli.audio.tags import Picture, Tags, copy_tags, ffmpeg_tags, parsed
from tests.audio_files import ffmpeg, tones, write_audio
from tests.stemcli.audio.decoding import decode

# The smallest PNG: one gray pixel.
COVER = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010800000000"
    "3a7e9b550000000a49444154789c6360000000020001e221bc330000000049454e44ae426082"
)
SONG = Tags(
    {
        "title": ["Fantasma (niño)"],
        "artist": ["Los Rombos", "Невідомий"],
        "album": ["Álbum 専"],
        "date": ["1999"],
        "tracknumber": ["3/12"],
    },
    [Picture(COVER, "image/png")],
)
CONTAINERS = ["mp3", "flac", "ogg", "opus", "m4a", "wav"]


def tagged(path: Path) -> Path:
    """Write a song with the tags ``SONG``."""
    write_audio(path, tones(9000, 48000), 48000)
    assert write_tags(path, SONG) == []
    return path


@pytest.mark.parametrize("source", CONTAINERS)
@pytest.mark.parametrize("target", CONTAINERS)
def test_tags_and_cover_are_copied(tmp_path: Path, source: str, target: str) -> None:
    """Property: the stem gets the song's tags, and its audio does not change."""
    song = tagged(tmp_path / f"song.{source}")
    stem = write_audio(tmp_path / f"stem.{target}", tones(9000, 48000), 48000)
    audio = decode(stem)
    assert copy_tags(song, stem, stem="vocals") == []
    copied = read_tags(stem)
    assert copied == SONG.for_stem("vocals")
    assert copied.texts["title"] == ["Fantasma (niño) (vocals)"]
    assert np.array_equal(decode(stem), audio)


def test_tags_of_wma(tmp_path: Path) -> None:
    """The bytes of WM/Picture are worked by hand."""
    song = write_audio(tmp_path / "song.wma", tones(9000))
    file = mutagen.File(song)
    file.tags["Title"], file.tags["WM/AlbumTitle"] = "Song", "Album"
    header = "image/png\0cover\0".encode("utf-16-le")
    picture = b"\x03" + len(COVER).to_bytes(4, "little") + header + COVER
    file.tags["WM/Picture"] = [ASFByteArrayAttribute(picture)]
    file.save()
    assert read_tags(song) == Tags(
        {"title": ["Song"], "album": ["Album"]}, [Picture(COVER, "image/png")]
    )


def test_tags_of_wavpack(tmp_path: Path) -> None:
    song = write_audio(tmp_path / "song.wv", tones(9000))
    file = mutagen.File(song)
    file.tags["Title"], file.tags["Track"] = "Song", "3"
    file.tags["Cover Art (Front)"] = APEValue(b"cover.png\0" + COVER, BINARY)
    file.save()
    assert read_tags(song) == Tags(
        {"title": ["Song"], "tracknumber": ["3"]}, [Picture(COVER, "image/png")]
    )


def test_a_song_without_tags_gives_a_stem_without_tags(tmp_path: Path) -> None:
    song = write_audio(tmp_path / "song.wav", tones(900))
    stem = write_audio(tmp_path / "stem.flac", tones(900))
    before = stem.read_bytes()
    assert copy_tags(song, stem, stem="vocals") == []
    assert stem.read_bytes() == before


def test_a_cover_that_m4a_cannot_store_is_reported(tmp_path: Path) -> None:
    song = write_audio(tmp_path / "song.mp3", tones(9000))
    write_tags(song, Tags({"title": ["Song"]}, [Picture(b"GIF89a", "image/gif")]))
    stem = write_audio(tmp_path / "stem.m4a", tones(9000))
    assert copy_tags(song, stem) == ["m4a cannot store an image/gif cover: it was left out"]
    assert read_tags(stem) == Tags({"title": ["Song"]})


@pytest.mark.parametrize("suffix", ["mkv", "mka", "webm", "avi", "flv", "nut", "caf", "au", "w64"])
def test_tags_of_other_containers(suffix: str, tmp_path: Path) -> None:
    """Reference: the tags written by ffmpeg. Some formats keep the title, some nothing."""
    song = tmp_path / f"song.{suffix}"
    title = "Left = right; #1 \\ (niño)"
    texts = ("-metadata", f"title={title}", "-metadata", "track=3")
    ffmpeg("-f", "lavfi", "-i", "sine=d=1", *texts, song)
    stem = write_audio(tmp_path / "stem.flac", tones(900))
    assert copy_tags(song, stem, stem="vocals") == []
    if suffix not in ("w64", "au"):
        assert read_tags(stem).texts["title"] == [f"{title} (vocals)"]


@pytest.mark.parametrize("suffix", ["ts", "mpg", "dts", "voc"])
def test_a_song_without_tags_gives_no_notice(suffix: str, tmp_path: Path) -> None:
    song = tmp_path / f"song.{suffix}"
    ffmpeg("-f", "lavfi", "-i", "sine=d=1:sample_rate=48000", "-strict", -2, song)
    stem = write_audio(tmp_path / "stem.flac", tones(900))
    assert copy_tags(song, stem, stem="vocals") == []


def test_ffmetadata_is_parsed() -> None:
    """By hand, from "Metadata" in ffmpeg-formats; the titles of chapters are ignored."""
    text = (
        ";FFMETADATA1\ntitle=A\\=B\\\\\\\nC\nALBUM_ARTIST=Us\ntrack=3/12\nencoder=x\n"
        "[CHAPTER]\nTIMEBASE=1/1000\ntitle=Verse\nartist=Nobody\n"
    )
    expected = {"title": ["A=B\\\nC"], "albumartist": ["Us"], "tracknumber": ["3/12"]}
    assert parsed(text) == Tags(expected)


@pytest.mark.parametrize("rest", ["artist=" + "x" * 50, "artist=x\\\n", "x" * 2**20])
def test_a_truncated_tag_is_dropped(rest: str) -> None:
    """Its end is missing because reading stops at a limit."""
    assert parsed(f"title=Song\n{rest}") == Tags({"title": ["Song"]})


def test_lines_without_a_name_are_skipped() -> None:
    """At any length: a search for a name at each position of a megabyte would take minutes."""
    text = "x" * 2**20 + "\n=Us\n\ntitle=\\\\\nartist=Us\n"
    assert parsed(text) == Tags({"title": ["\\"], "artist": ["Us"]})


def test_without_ffmpeg_there_are_no_tags(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    song = write_audio(tmp_path / "song.caf", tones(900))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    assert ffmpeg_tags(song) == Tags()


@pytest.mark.parametrize("number", ["A1", "the third", "3/ ", "3/12 ", "70000"])
def test_an_odd_track_number_does_not_lose_other_tags(tmp_path: Path, number: str) -> None:
    """By hand: M4A stores two 16-bit numbers; vinyl rips number their sides A and B."""
    song = write_audio(tmp_path / "song.mp3", tones(9000))
    frames = id3.ID3()
    frames.add(id3.TRCK(encoding=3, text=number))
    frames.add(id3.TIT2(encoding=3, text="Song"))
    frames.save(song)
    stem = write_audio(tmp_path / "stem.m4a", tones(9000))
    notices = copy_tags(song, stem)
    texts = read_tags(stem).texts
    assert texts["title"] == ["Song"]
    if number.startswith("3"):
        assert (notices, texts["tracknumber"]) == ([], [number.strip().rstrip("/")])
    else:
        assert notices == [f"m4a cannot store the tracknumber {number!r}: it was left out"]


@pytest.mark.parametrize("container", ["wav", "aiff"])
def test_tags_in_info_and_text_chunks(tmp_path: Path, container: str) -> None:
    """Reference: RIFF INFO and AIFF text chunks written by ffmpeg."""
    song = tmp_path / f"song.{container}"
    texts = ("-metadata", "title=Song", "-metadata", "artist=Band")
    ffmpeg("-f", "lavfi", "-i", "sine=d=0.1", *texts, "-write_id3v2", "0", song)
    stem = write_audio(tmp_path / "stem.flac", tones(9000))
    assert copy_tags(song, stem, stem="vocals") == []
    assert read_tags(stem).texts["title"] == ["Song (vocals)"]


def test_damaged_tags_are_reported_and_never_raise(tmp_path: Path) -> None:
    """From a damaged file no tags are read."""
    stem = write_audio(tmp_path / "stem.m4a", tones(9000))
    (tmp_path / "broken.flac").write_bytes(b"fLaC" + bytes(9))
    (notice,) = copy_tags(tmp_path / "broken.flac", stem)
    assert notice.startswith("the tags of broken.flac cannot be read (")


def test_tags_of_speex(tmp_path: Path) -> None:
    """By hand: comments start on the second page; the numbers on the first are not their count."""
    head = struct.pack(
        "<8s20s13i", b"Speex   ", b"1.2", 1, 80, 16_000, 1, 4, 1, -1, 320, 0, 1, *[0] * 3
    )
    comments = struct.pack("<I4sII10s", 4, b"stem", 1, 10, b"title=Song")
    with (tmp_path / "song.spx").open("wb") as file:
        for number, packet in enumerate((head, comments)):
            page = OggPage()
            page.sequence, page.first, page.position, page.packets = (
                number,
                number == 0,
                0,
                [packet],
            )
            file.write(page.write())
    assert read_tags(tmp_path / "song.spx") == Tags({"title": ["Song"]})
