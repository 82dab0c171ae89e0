from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_zoo.errors import ConfigError, OutputError
from stemcli.engine.outputs import check_template, plan_outputs


def plan(
    song: str | Path = "in/My Song.mp3",
    template: str = "{track}/{stem}.{ext}",
    stems: tuple[str, ...] = ("vocals", "other"),
    folder: str | Path = "out",
) -> dict[str, Path]:
    return plan_outputs(
        Path(song), stems, template=template, folder=Path(folder), extension="wav", model="net"
    )


def test_all_fields_by_hand() -> None:
    paths = plan(template="{model}/{track} - {stem}.{ext}")
    assert paths == {
        "vocals": Path("out/net/My Song - vocals.wav"),
        "other": Path("out/net/My Song - other.wav"),
    }


@pytest.mark.parametrize(
    ("template", "sentence"),
    [
        ("{track}/{stm}.{ext}", r"unknown field \{stm\}, did you mean \{stem\}\?"),
        ("{zzz}/{stem}", r"unknown field \{zzz\}, known: \{track\} \{stem\} \{ext\} \{model\}"),
        ("{track.parent}/{stem}", r"unknown field \{track.parent\}"),
        ("{}{stem}", r"unknown field \{\}"),
        ("{stem:>9}", r"\{stem\} takes neither ':' nor '!'; write \{stem\}"),
        ("{track!r}", r"\{track\} takes neither ':' nor '!'; write \{track\}"),
        ("{stem", "cannot be parsed"),
        ("", "it is empty"),
        ("../{stem}.{ext}", "leaves the output folder"),
        ("{track}/../../{stem}.{ext}", "leaves the output folder"),
        ("/tmp/{stem}.{ext}", "leaves the output folder"),
    ],
)
def test_templates_that_are_refused(template: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        check_template(template)


def test_all_mistakes_are_reported_together() -> None:
    with pytest.raises(ConfigError) as caught:
        check_template("../{trac}/{stm}")
    assert len(caught.value.mistakes) == 3


@pytest.mark.parametrize("template", ["{track}.{ext}", "all.wav"])
def test_two_stems_on_one_path_are_refused(template: str) -> None:
    with pytest.raises(ConfigError, match=r"'vocals' and 'other' would both .* add \{stem\}"):
        plan(template=template)


@pytest.mark.parametrize(
    "stems", [("vocals", "Vocals"), ("caf\N{LATIN SMALL LETTER E WITH ACUTE}", "cafe\u0301")]
)
def test_names_that_collide_on_some_file_systems_are_refused(stems: tuple[str, str]) -> None:
    """Reference: HFS+, APFS and NTFS ignore case; HFS+ normalizes accents."""
    with pytest.raises(ConfigError, match="would both be written"):
        plan(stems=stems)


def test_the_song_is_never_replaced(tmp_path: Path) -> None:
    song = tmp_path / "vocals.wav"
    with pytest.raises(OutputError, match="would replace the song"):
        plan(song, "{stem}.{ext}", folder=tmp_path)


def test_a_hard_link_to_the_song_is_not_replaced(tmp_path: Path) -> None:
    song, link = tmp_path / "song.wav", tmp_path / "vocals.wav"
    song.write_bytes(b"sound")
    os.link(song, link)
    with pytest.raises(OutputError, match="would replace the song"):
        plan(song, "{stem}.{ext}", folder=tmp_path)


@pytest.mark.parametrize("stem", ["a/b", "a\\b", "../up", ".."])
def test_a_stem_name_never_adds_folders(stem: str) -> None:
    (path,) = plan(stems=(stem,), template="{stem}/x.wav").values()
    assert path.parent.parent == Path("out")
    assert path.parent.name != ".."


@pytest.mark.parametrize("template", ["{stem}", "{stem}.mp3", "{stem}/", "{ext}.{stem}"])
def test_the_extension_must_match_the_format(template: str) -> None:
    with pytest.raises(ConfigError, match=r"does not end in \.wav.*choose the format with format"):
        plan(template=template)


def test_the_template_may_end_in_the_extension() -> None:
    assert plan(stems=("a",), template="{stem}.WAV") == {"a": Path("out/a.WAV")}


def test_a_song_that_is_a_circular_link_is_planned(tmp_path: Path) -> None:
    (tmp_path / "song.wav").symlink_to("song.wav")
    assert plan(tmp_path / "song.wav", stems=("a",)) == {"a": Path("out/song/a.wav")}


@given(
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1).filter(
        lambda name: name not in {".", ".."} and "/" not in name
    )
)
def test_outputs_stay_in_their_folder(name: str) -> None:
    """Property: for any song name, with braces and dots too."""
    for path in plan(Path("in") / name).values():
        assert path.parts[0] == "out"
        assert ".." not in path.parts
        assert len(path.parts) == 3
