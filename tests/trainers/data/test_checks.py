"""Checks of the files of songs, and their error messages."""

from __future__ import annotations

from pathlib import Path

import pytest

from model_zoo.errors import ConfigError, DataError
from tests.audio_files import tones, write_audio
from tests.trainers.data.songs_on_disk import FOUR, LENGTH, RATE, STEMS, recipe, survey, write
from trainers.config import DataRecipe
from trainers.data.layouts.checks import PADDING, SLACK
from trainers.data.layouts.survey import inspect


def problems(root: Path, data: DataRecipe | None = None, *stems: str) -> list[str]:
    with pytest.raises(DataError) as caught:
        survey(data or recipe(), root, stems or STEMS)
    return [problem.replace(f"{root}/", "") for problem in caught.value.problems]


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    write(tmp_path, "a/{vocals,drums}.wav")
    (tmp_path / "a" / "bass.wav").write_text("no sound")
    (tmp_path / "a" / "other.flac").touch()
    found = problems(tmp_path)
    assert [problem.split(":")[0] for problem in found] == [
        "No sound can be read from a/bass.wav",
        "a/other.flac is empty (0 bytes). Copy or download it again",
    ]


@pytest.mark.parametrize("difference", [1, -1])
def test_lengths_may_differ_by_the_slack(tmp_path: Path, difference: int) -> None:
    slack = round(SLACK * RATE)
    write(tmp_path, "a/{vocals,mixture}.wav")
    write(tmp_path, "a/drums.wav", frames=LENGTH + difference * slack)
    assert inspect(recipe(), tmp_path, STEMS).problems == ()
    wrong = LENGTH + difference * (slack + 1)
    write(tmp_path, "a/drums.wav", frames=wrong)
    assert problems(tmp_path) == [
        f"a/drums.wav is {wrong} samples long and mixture.wav {LENGTH} samples:"
        " cut or pad them to one length"
    ]


def test_the_file_of_another_length_is_named(tmp_path: Path) -> None:
    write(tmp_path, "a/{vocals,drums}.wav")
    write(tmp_path, "a/mixture.wav", frames=2 * LENGTH)
    assert [problem.split()[0] for problem in problems(tmp_path)] == ["a/mixture.wav"]


def test_lossy_files_may_have_encoder_padding(tmp_path: Path) -> None:
    wave = tones(44_100)
    (tmp_path / "a").mkdir()
    write_audio(tmp_path / "a" / "vocals.wav", wave)
    write_audio(tmp_path / "a" / "drums.m4a", wave)
    write_audio(tmp_path / "a" / "mixture.mp3", tones(44_100 + PADDING))
    assert inspect(recipe(), tmp_path, STEMS).problems == ()
    write_audio(tmp_path / "a" / "drums.m4a", tones(44_100 + 2 * PADDING))
    assert len(problems(tmp_path)) == 1


def test_sample_rates_within_a_song_must_be_equal(tmp_path: Path) -> None:
    """Lengths at different sample rates are compared in seconds."""
    write(tmp_path, "a/{vocals,mixture}.wav")
    write(tmp_path, "a/drums.wav", rate=2 * RATE, frames=2 * LENGTH)
    rates = "a/drums.wav is at 16000 Hz and mixture.wav at 8000 Hz: convert it to 8000 Hz"
    assert problems(tmp_path) == [rates]
    write(tmp_path, "a/drums.wav", rate=2 * RATE, frames=4 * LENGTH)
    lengths = "a/drums.wav is 2.00 s long and mixture.wav 1.00 s: cut or pad them to one length"
    assert problems(tmp_path) == [rates, lengths]


def test_more_than_two_channels(tmp_path: Path) -> None:
    write(tmp_path, "a/vocals.wav")
    write(tmp_path, "a/drums.wav", channels=6)
    assert problems(tmp_path) == ["a/drums.wav has 6 channels: mix it down to 2"]


def test_single_stems_are_checked_separately(tmp_path: Path) -> None:
    write(tmp_path, "vocals/a.wav")
    write(tmp_path, "drums/b.wav", channels=3, frames=5 * LENGTH)
    assert problems(tmp_path) == ["drums/b.wav has 3 channels: mix it down to 2"]


def test_missing_stems_are_named_and_may_be_silence(tmp_path: Path) -> None:
    write(tmp_path, "a/{vocals,drums}.wav", "b/{vocals,bass}.wav", "c/drums.wav", "c/mixture.wav")
    assert problems(tmp_path) == [
        "b has no drums: add it, or use --set data.missing=silence",
        "c has no vocals: add it, or use --set data.missing=silence",
    ]
    assert inspect(recipe(missing="silence"), tmp_path, STEMS).problems == ()


def test_missing_parts_of_a_group(tmp_path: Path) -> None:
    write(tmp_path, f"a/{{{','.join(FOUR)}}}.wav", "b/{vocals,bass,other}.wav")
    data = recipe(groups={"instrumental": ["bass", "drums", "other"]})
    message = "b has no drums (part of instrumental): add it, or use --set data.missing=silence"
    assert problems(tmp_path, data, "vocals", "instrumental") == [message]


def test_targets_without_a_mixture_and_mixtures_without_a_target(tmp_path: Path) -> None:
    write(tmp_path, "mixture/{a,b}.wav", "vocals/{a,c}.wav")
    assert problems(tmp_path, None, "vocals") == [
        "vocals/c.wav has no mixture of the same name in mixture/",
        "song b has no vocals: add it, or use --set data.missing=silence",
    ]


def test_a_song_needs_more_than_one_stem(tmp_path: Path) -> None:
    write(tmp_path, "a/vocals.wav", "b/{vocals,drums}.wav")
    message = "a has only vocals: add the mixture or the other stems"
    assert problems(tmp_path, None, "vocals") == [message]


def test_a_stem_in_two_files(tmp_path: Path) -> None:
    write(tmp_path, "a/{vocals,drums}.wav", "a/vocals.flac")
    message = "a/vocals.flac and vocals.wav have the same name: keep one of them"
    assert problems(tmp_path) == [message]


def test_all_problems_are_reported_together(tmp_path: Path) -> None:
    write(tmp_path, "a/{vocals,drums}.wav", "c/vocals.wav", "c/mixture.wav")
    write(tmp_path, "a/bass.wav", frames=2 * LENGTH)
    write(tmp_path, "a/mixture.wav", channels=6)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "vocals.wav").write_text("no sound")
    found = problems(tmp_path)
    assert [problem.split(":")[0] for problem in found] == [
        "No sound can be read from b/vocals.wav",
        "a/mixture.wav has 6 channels",
        "a/bass.wav is 16000 samples long and mixture.wav 8000 samples",
        "b has no drums",
        "b has only vocals",
        "c has no drums",
    ]


def test_twenty_problems_are_shown_and_the_rest_counted(tmp_path: Path) -> None:
    write(tmp_path, "first/{vocals,drums}.wav")
    write(tmp_path, f"{{{','.join(f'{number:02}' for number in range(23))}}}/{{vocals,bass}}.wav")
    with pytest.raises(DataError) as caught:
        survey(recipe(), tmp_path, STEMS)
    assert len(caught.value.problems) == 23
    assert str(caught.value).count("has no drums") == 20
    assert str(caught.value).endswith(
        "/19 has no drums: add it, or use --set data.missing=silence; and 3 more"
    )
    assert caught.value.exit_code == 1


@pytest.mark.parametrize(
    ("stems", "messages"),
    [
        (
            ("vocals", "instrumental"),
            "the data has no instrumental; found bass, drums, other, vocals."
            " Use --set data.groups.instrumental=[bass,drums,other]",
        ),
        (
            ("vocal", "drum"),
            "the data has no vocal; the data has no drum; found bass, drums, other, vocals."
            " Use --set data.groups.vocal=[vocals] --set data.groups.drum=[drums]",
        ),
        (
            ("vocals", "piano"),
            "the data has no piano; found bass, drums, other, vocals."
            " Choose stems of the data, or other data",
        ),
    ],
)
def test_stems_missing_from_the_data(tmp_path: Path, stems: tuple[str, ...], messages: str) -> None:
    write(tmp_path, f"a/{{{','.join(FOUR)}}}.wav")
    with pytest.raises(ConfigError) as caught:
        survey(recipe(), tmp_path, stems)
    assert str(caught.value) == f"stems of the network: {messages}"


def test_the_option_in_that_message_works(tmp_path: Path) -> None:
    write(tmp_path, f"a/{{{','.join(FOUR)}}}.wav")
    data = recipe(groups={"instrumental": ["bass", "drums", "other"], "choir": ["vocals"]})
    found = survey(data, tmp_path, ("vocals", "instrumental"))
    assert len(found.training) == 1
    unused = "data.groups.choir is not used: the network has vocals, instrumental"
    assert found.summary[-1] == unused


def test_a_group_of_missing_stems(tmp_path: Path) -> None:
    write(tmp_path, f"a/{{{','.join(FOUR)}}}.wav")
    data = recipe(groups={"instrumental": ["bass", "guitar"]})
    with pytest.raises(ConfigError, match="the data has no guitar for instrumental; found bass"):
        survey(data, tmp_path, ("vocals", "instrumental"))
