"""Names of stems from the tags of a song.

References: files with tags written by mutagen and ffmpeg, and Microsoft's rules for names
(https://learn.microsoft.com/windows/win32/fileio/naming-a-file).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mutagen
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from mutagen import id3

from model_zoo.errors import ConfigError
from stemcli.audio.tags import Tags
from stemcli.engine import tag_fields
from stemcli.engine.outputs import check_template, plan_outputs
from stemcli.engine.tag_fields import TAG_FIELDS, tag_values
from stemcli.printable import LONGEST_NAME, portable
from tests.audio_files import ffmpeg, tones, write_audio

TEMPLATE = "{artist}/{album} ({year})/{number} {title} - {stem}.{ext}"
VALUES = {
    "artist": "Los Rombos",
    "album": "Álbum 専",
    "title": "Fantasma (niño)",
    "number": "03",
    "year": "1999",
}


def plan(song: Path, template: str = TEMPLATE, stem: str = "vocals") -> str:
    choices = {"folder": Path("out"), "extension": "wav", "model": "net"}
    (path,) = plan_outputs(song, [stem], template=template, **choices).values()
    return path.relative_to("out").as_posix()


@pytest.fixture
def tags(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """The tags of all songs, by field."""
    texts: dict[str, list[str]] = {}
    monkeypatch.setattr(tag_fields, "song_tags", lambda song: Tags(texts))
    return texts


def write_id3(version: int) -> Callable[[Path], None]:
    def write(song: Path) -> None:
        frames = [
            id3.TIT2(text=VALUES["title"]),
            id3.TPE1(text=VALUES["artist"]),
            id3.TALB(text=VALUES["album"]),
            id3.TRCK(text="3/12"),
            id3.TDRC(text="1999-05-12"),
        ]
        file = id3.ID3()
        for frame in frames:
            frame.encoding = id3.Encoding.UTF16 if version == 3 else id3.Encoding.UTF8
            file.add(frame)
        if version == 3:
            file.update_to_v23()
        file.save(song, v1=0, v2_version=version)

    return write


def write_id3_v1(song: Path) -> None:
    fields = [(b"TAG", 3), (b"Fantasma (ni\xf1o)", 30), (b"Los Rombos", 30), (b"Album", 30)]
    fields += [(b"1999", 4), (b"", 29), (b"\x03", 1), (b"\xff", 1)]  # ID3v1.1 has the number
    song.write_bytes(song.read_bytes() + b"".join(text.ljust(size, b"\0") for text, size in fields))


def write_names(**names: Any) -> Callable[[Path], None]:
    def write(song: Path) -> None:
        file = mutagen.File(song)
        if file.tags is None:
            file.add_tags()
        for name, value in names.items():
            file.tags[name] = value
        file.save()

    return write


VORBIS = write_names(
    title=VALUES["title"],
    artist=VALUES["artist"],
    album=VALUES["album"],
    tracknumber="3",
    date="1999-05-12",
)
APE = write_names(
    Title=VALUES["title"],
    Artist=VALUES["artist"],
    Album=VALUES["album"],
    Track="3/12",
    Year="1999",
)
MP4 = write_names(
    **{
        "©nam": VALUES["title"],
        "©ART": VALUES["artist"],
        "©alb": VALUES["album"],
        "trkn": [(3, 12)],
        "©day": "1999-05-12T07:00:00Z",
    }
)


def write_chunk(song: Path) -> None:
    """An ID3 tag inside the chunks of WAV or AIFF."""
    file = mutagen.File(song)
    file.add_tags()
    for name, text in (("TIT2", "title"), ("TPE1", "artist"), ("TALB", "album")):
        file.tags.add(id3.Frames[name](encoding=id3.Encoding.UTF8, text=VALUES[text]))
    file.tags.add(id3.TRCK(encoding=id3.Encoding.UTF8, text="3"))
    file.tags.add(id3.TDRC(encoding=id3.Encoding.UTF8, text="1999"))
    file.save()


@pytest.mark.parametrize(
    ("suffix", "write"),
    [
        ("mp3", write_id3(3)),
        ("mp3", write_id3(4)),
        ("flac", VORBIS),
        ("ogg", VORBIS),
        ("opus", VORBIS),
        ("m4a", MP4),
        ("wv", APE),
        ("wav", write_chunk),
        ("aiff", write_chunk),
    ],
    ids=["id3v2.3", "id3v2.4", "flac", "ogg", "opus", "m4a", "ape", "wav id3", "aiff id3"],
)
def test_values_from_every_kind_of_tags(
    suffix: str, write: Callable[[Path], None], tmp_path: Path
) -> None:
    song = write_audio(tmp_path / f"x.{suffix}", tones(9000, 48000), 48000)
    write(song)
    assert tag_values(song) == VALUES
    assert plan(song) == "Los Rombos/Álbum 専 (1999)/03 Fantasma (niño) - vocals.wav"


def test_values_from_id3_v1(tmp_path: Path) -> None:
    """The bytes are worked by hand (https://id3.org/ID3v1); they are Latin-1."""
    song = write_audio(tmp_path / "x.mp3", tones(9000))
    write_id3_v1(song)
    assert tag_values(song) == {**VALUES, "album": "Album"}


def test_values_from_a_film(tmp_path: Path) -> None:
    """Reference: the tags written by ffmpeg."""
    song = tmp_path / "x.mkv"
    named = {**VALUES, "track": "3/12", "date": "1999-05-12"}
    texts = [f"{name}={value}" for name, value in named.items() if name not in ("number", "year")]
    metadata = [word for text in texts for word in ("-metadata", text)]
    ffmpeg("-f", "lavfi", "-i", "sine=d=1", *metadata, song)
    assert tag_values(song) == VALUES


@pytest.mark.parametrize(
    ("suffix", "kept"), [("wav", TAG_FIELDS), ("aiff", ("title", "artist"))], ids=["wav", "aiff"]
)
def test_values_from_text_chunks(suffix: str, kept: tuple[str, ...], tmp_path: Path) -> None:
    """Reference: RIFF's INFO and AIFF's NAME and AUTH, written by libsndfile."""
    song = tmp_path / f"x.{suffix}"
    with soundfile.SoundFile(song, "w", 44100, 2) as file:
        file.title, file.artist, file.album = (
            VALUES[name] for name in ("title", "artist", "album")
        )
        file.date, file.tracknumber = "1999-05-12", "3/12"
        file.write(tones(9000))
    found = tag_values(song)
    assert {name: found[name] for name in kept} == {name: VALUES[name] for name in kept}


def test_fallbacks_of_a_song_without_tags(tmp_path: Path) -> None:
    song = write_audio(tmp_path / "My Song.wav", tones(900))
    assert plan(song) == "Unknown artist/Unknown album (0000)/00 My Song - vocals.wav"


@pytest.mark.parametrize("content", [None, b"", b"ID3\4\0\0\x7f\x7f\x7f\x7fTIT2"])
def test_fallbacks_of_a_song_that_cannot_be_read(content: bytes | None, tmp_path: Path) -> None:
    """Planning succeeds, so that the error is reported for this song alone."""
    song = tmp_path / "song.mp3"
    if content is not None:
        song.write_bytes(content)
    assert plan(song, "{artist}-{title}-{stem}.{ext}") == "Unknown artist-song-vocals.wav"


def test_empty_tags_count_as_missing(tags: dict[str, list[str]]) -> None:
    tags |= {name: [" ", ""] for name in ("title", "artist", "album", "tracknumber", "date")}
    values = tag_values(Path("song.wav"))
    assert [values[name] for name in TAG_FIELDS] == [
        *("Unknown artist", "Unknown album", "song", "00", "0000")
    ]


def test_several_artists_and_the_artist_of_the_album(tags: dict[str, list[str]]) -> None:
    tags["albumartist"] = ["Various"]
    assert tag_values(Path("song.wav"))["artist"] == "Various"
    tags["artist"] = ["A", "B"]
    assert tag_values(Path("song.wav"))["artist"] == "A, B"


@pytest.mark.parametrize(
    ("text", "number"),
    [
        *(("3", "03"), ("03", "03"), ("3/12", "03"), (" 3 / 12 ", "03"), ("12", "12")),
        *(("103", "103"), ("A3", "03"), ("three", "00"), ("/12", "12"), ("٣", "03")),
        ("123456789", "00"),
    ],
)
def test_the_number(text: str, number: str, tags: dict[str, list[str]]) -> None:
    tags["tracknumber"] = [text]
    assert tag_values(Path("song.wav"))["number"] == number


@pytest.mark.parametrize(
    ("text", "year"),
    [
        *(("1998", "1998"), ("1998-05-12", "1998"), ("1998-05-12T07:00:00Z", "1998")),
        *(("12.05.1998", "1998"), ("19980512", "1998"), ("98", "0000"), ("soon", "0000")),
    ],
)
def test_the_year(text: str, year: str, tags: dict[str, list[str]]) -> None:
    tags["date"] = [text]
    assert tag_values(Path("song.wav"))["year"] == year


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("AC/DC", "AC_DC"),
        ("..", "__"),
        ("../../etc/passwd", "_._.._etc_passwd"),
        ("C:\\Windows", "C__Windows"),
        ('What <is> "this"|that?*', "What _is_ _this__that__"),
        ("a\nb\x00c\x1b[2J", "a_b_c_[2J"),
        ("R.E.M.", "R.E.M_"),
        ("Wait... ", "Wait.._"),
        (".hidden", "_hidden"),
        ("  spaces  ", "spaces"),
        ("CON", "CON_"),
        ("nul", "nul_"),
        ("Aux.1", "Aux_.1"),
        ("COM7", "COM7_"),
        ("LPT²", "LPT²_"),
        ("COM10", "COM10"),
        ("Console", "Console"),
        ("cafe\N{COMBINING ACUTE ACCENT}", "caf\N{LATIN SMALL LETTER E WITH ACUTE}"),
        ("gp\N{RIGHT-TO-LEFT OVERRIDE}3m", "gp_3m"),
        ("{stem}", "{stem}"),
        ("???", "___"),
    ],
)
def test_a_name_that_is_valid_on_every_file_system(
    title: str, name: str, tags: dict[str, list[str]]
) -> None:
    tags["title"] = [title]
    assert plan(Path("song.wav"), "{title}/{stem}.{ext}") == f"{name}/vocals.wav"


def test_a_device_name_before_the_extension(tags: dict[str, list[str]]) -> None:
    """Reference: Windows opens the device for NUL.wav and NUL.tar.gz too."""
    tags["title"] = ["NUL"]
    assert plan(Path("song.wav"), "{title}.{ext}", "vocals") == "NUL_.wav"


def test_dots_in_the_middle_of_a_name_are_kept(tags: dict[str, list[str]]) -> None:
    tags["title"], tags["artist"] = ["...And Justice"], ["R.E.M."]
    template = "{artist} - {title} ({stem}).{ext}"
    assert plan(Path("song.wav"), template) == "R.E.M. - ...And Justice (vocals).wav"


def test_other_fields_keep_their_names() -> None:
    """The name of the user's own file is not changed, as before there were tag fields."""
    assert plan(Path(".a: b?.mp3"), "{track}/{stem}.{ext}") == ".a: b?/vocals.wav"


@pytest.mark.parametrize("title", ["x" * 400, "專" * 200, "🎸" * 100, "e\u0301\u0323" * 90])
def test_a_long_title_is_cut_at_a_character(title: str, tags: dict[str, list[str]]) -> None:
    """By hand: 255 bytes without the 16 of the artist, the stem and the extension remain."""
    tags["title"], tags["artist"] = [title], ["A"]
    name = plan(Path("song.wav"), "{artist}-{title}_{stem}.{ext}")
    kept = name.removeprefix("A-").removesuffix("_vocals.wav")
    assert portable(title).startswith(kept)
    assert name == f"A-{kept}_vocals.wav"
    following = portable(title)[len(kept)]
    assert not unicodedata.combining(following)
    assert LONGEST_NAME - 7 < len(name.encode()) <= LONGEST_NAME


def test_an_emoji_of_several_characters_is_not_split(tags: dict[str, list[str]]) -> None:
    family = "👩\u200d👩\u200d👧"
    tags["title"] = [family * 40]
    kept = plan(Path("song.wav"), "{title}/{stem}.{ext}").removesuffix("/vocals.wav")
    assert kept == family * (LONGEST_NAME // len(family.encode()))


def test_the_longest_of_several_values_is_cut(tags: dict[str, list[str]]) -> None:
    tags |= {"title": ["t" * 30], "artist": ["a" * 300], "album": ["b" * 300]}
    name = plan(Path("song.wav"), "{artist} {album} {title} {stem}.{ext}")
    assert name.endswith(f" {'t' * 30} vocals.wav")
    assert len(name) == LONGEST_NAME


@given(st.dictionaries(st.sampled_from(["title", "artist", "album"]), st.lists(st.text())))
def test_names_are_portable_for_any_tags(texts: dict[str, list[str]]) -> None:
    """Property: Microsoft's rules hold for every part, and no tag adds or removes a part."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tag_fields, "song_tags", lambda song: Tags(texts))
        parts = plan(Path("song.wav"), "{artist}/{album}/{title}/{stem}.{ext}").split("/")
    assert len(parts) == 4
    for part in parts:
        assert not set(part) & set('<>:"\\|?*')
        assert not any(unicodedata.category(character) == "Cc" for character in part)
        assert part == part.strip(" ")
        assert part[0] != "."
        assert part[-1] != "."
        assert part.split(".")[0].upper() not in {"CON", "PRN", "AUX", "NUL"}
        assert 0 < len(part.encode()) <= LONGEST_NAME


def test_tags_are_read_only_if_a_field_needs_them(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []
    monkeypatch.setattr(tag_fields, "song_tags", lambda song: read.append(song) or Tags())
    plan(Path("song.wav"), "{track}/{{title}} {stem}.{ext}")
    assert read == []
    plan(Path("song.wav"))
    assert read == [Path("song.wav")]


@pytest.mark.parametrize(
    ("field", "near"), [("titel", "title"), ("tracknumber", "number"), ("albm", "album")]
)
def test_a_mistyped_field_names_the_nearest(field: str, near: str) -> None:
    with pytest.raises(ConfigError, match=rf"did you mean \{{{near}\}}\?"):
        check_template(f"{{{field}}}/{{stem}}.{{ext}}")
