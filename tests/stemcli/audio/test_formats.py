from __future__ import annotations

from pathlib import Path

import pytest

from model_zoo.errors import ConfigError, EncodeError
from stemcli.audio.formats import OutputFormat
from stemcli.audio.info import AudioInfo

MISTAKES = [
    (
        {"name": "mp4"},
        "format must be one of 'wav', 'flac', 'mp3', 'ogg', 'opus', 'm4a', found 'mp4'",
    ),
    ({"depth": "20"}, "depth must be one of 'auto', '16', '24', '32f', found '20'"),
    ({"name": "mp3", "depth": "16"}, "depth is for wav and flac, not for mp3"),
    ({"name": "flac", "depth": "32f"}, "use depth='24' or format='wav'"),
    ({"bitrate": 320}, "bitrate is for mp3, ogg, opus and m4a, not for wav; leave it out"),
    ({"name": "mp3", "bitrate": 500}, "bitrate of mp3 goes from 64 to 320, found 500"),
    ({"name": "mp3", "bitrate": 100}, "bitrate of mp3 must be one of 64, 80, 96"),
    (
        {"name": "opus", "quality": 5.0},
        "for mp3 and ogg, not for opus; use bitrate",
    ),
    ({"quality": 5.0}, "for mp3 and ogg, not for wav; leave it out"),
    ({"name": "mp3", "quality": 10.0}, r"quality of mp3 goes from 0 \(best\) to 9, found 10"),
    ({"name": "ogg", "quality": 4.0, "bitrate": 96}, "contradict each other; use one of them"),
]


@pytest.mark.parametrize(("choices", "sentence"), MISTAKES)
def test_invalid_format_options_are_refused(choices: dict[str, str | int], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        OutputFormat.from_dict(choices)


@pytest.mark.parametrize(
    ("name", "depth", "song_depth", "resolved", "clips"),
    [
        ("wav", "auto", "32f", "32f", False),
        ("wav", "auto", "24", "24", True),
        ("wav", "16", "24", "16", True),
        ("flac", "auto", "32f", "24", True),
        ("flac", "auto", "16", "16", True),
        ("mp3", "auto", "24", "auto", True),
    ],
)
def test_auto_depth_follows_the_song(
    name: str, depth: str, song_depth: str, resolved: str, clips: bool
) -> None:
    info = AudioInfo(Path("song"), 44100, 2, None, song_depth)
    format = OutputFormat(name, depth).resolve(info)
    assert (format.depth, format.clips) == (resolved, clips)


@pytest.mark.parametrize(("name", "channels"), [("mp3", 6), ("opus", 5), ("m4a", 7), ("flac", 9)])
def test_too_many_channels_are_refused(name: str, channels: int) -> None:
    info = AudioInfo(Path("song"), 44100, channels, None, "16")
    with pytest.raises(EncodeError, match=f"{name} cannot hold the song's {channels} channels"):
        OutputFormat(name).resolve(info)


@pytest.mark.parametrize(
    ("name", "requested", "written"),
    [
        ("wav", 10512, 10512),
        ("flac", 10512, 10512),
        ("ogg", 10512, 10512),
        ("mp3", 10512, 11025),
        ("mp3", 96000, 48000),
        ("opus", 44100, 48000),
        ("opus", 24000, 24000),
        ("m4a", 32768, 44100),
        ("m4a", 96000, 96000),
    ],
)
def test_the_nearest_supported_sample_rate(name: str, requested: int, written: int) -> None:
    """By hand from each codec's list of rates: the next higher one, or else the highest."""
    assert OutputFormat(name).rules.nearest_rate(requested) == written
