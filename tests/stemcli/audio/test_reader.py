from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mutagen.apev2 import BINARY, APEv2, APEValue
from mutagen.mp4 import MP4, MP4FreeForm

from model_zoo.errors import ConfigError, DecodeError
from stemcli.audio.reader import open_audio, probe
from tests.audio_files import ffmpeg, stems_in_one_file, tones, write_audio
from tests.stemcli.audio.decoding import decode, snr

# Tolerance per subtype, as a fraction of full scale.
EXACT = {
    "PCM_U8": 2**-7,  # 8 bits keep only every 256th 16-bit step
    "PCM_16": 0.0,
    "PCM_24": 0.0,
    "PCM_32": 0.0,
    "FLOAT": 0.0,
    "DOUBLE": 0.0,
}
DEPTHS = {"PCM_24": "24", "PCM_32": "24", "FLOAT": "32f", "DOUBLE": "32f"}


@pytest.mark.parametrize("subtype", EXACT)
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_wav_is_read_exactly(tmp_path: Path, subtype: str, channels: int) -> None:
    """Property: lossless formats return exactly representable samples."""
    wave = tones(5001, channels=channels)
    path = write_audio(tmp_path / "song.wav", wave, subtype=subtype)
    assert np.abs(decode(path) - wave).max() <= EXACT[subtype]
    assert probe(path).depth == DEPTHS.get(subtype, "16")


@pytest.mark.parametrize("extension", ["flac", "aiff", "caf", "w64", "wv"])
def test_other_lossless_formats_are_exact(tmp_path: Path, extension: str) -> None:
    wave = tones(30000)
    assert np.array_equal(decode(write_audio(tmp_path / f"song.{extension}", wave)), wave)


def test_lossless_m4a_is_exact_and_has_a_bit_depth(tmp_path: Path) -> None:
    wave, path = tones(30000), tmp_path / "song.m4a"
    input_options = ("-f", "f32le", "-ar", 44100, "-ac", 2, "-i", "-", "-c:a", "alac")
    ffmpeg(*input_options, "-sample_fmt", "s32p", path, sound=wave)
    assert np.array_equal(decode(path), wave)
    assert probe(path).depth == "24"


@pytest.mark.parametrize("extension", ["mp3", "ogg", "opus", "m4a", "mp4", "webm"])
def test_lossy_formats_keep_alignment_and_length(tmp_path: Path, extension: str) -> None:
    """Property: these containers record their padding, so the length is exact."""
    rate = 48000 if extension in ("opus", "webm") else 44100
    wave = tones(30000, rate)
    decoded = decode(write_audio(tmp_path / f"song.{extension}", wave, rate))
    assert decoded.shape == wave.shape
    assert (
        snr(wave[1000:-1000], decoded[1000:-1000]) > 15
    )  # a shift by a few samples would be below


@pytest.mark.parametrize("extension", ["wma", "mkv", "aac", "ac3"])
def test_formats_without_a_length_are_read_like_ffmpeg(tmp_path: Path, extension: str) -> None:
    """Reference: ffmpeg's decode into raw floats: complete codec frames, with padding."""
    path = write_audio(tmp_path / f"song.{extension}", tones(30000))
    raw = np.frombuffer(ffmpeg("-i", path, "-f", "f32le", "-"), "<f4").reshape(-1, 2)
    assert np.array_equal(decode(path), raw)
    assert abs(len(raw) - 30000) <= 2048


def test_itunsmpb_sets_the_length(tmp_path: Path) -> None:
    """By hand: iTunSMPB has 1024 samples of priming, 600 of padding, 29400 of audio."""
    path = write_audio(tmp_path / "song.m4a", tones(30000))
    file = MP4(path)
    comment = " 00000000 00000400 00000258 00000000000072D8 00000000"
    file["----:com.apple.iTunes:iTunSMPB"] = MP4FreeForm(comment.encode())
    file.save()
    assert len(decode(path)) == probe(path).frames == 29400


def test_a_length_far_below_the_audio_is_ignored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Never more than an encoder's padding is cut."""
    path = write_audio(tmp_path / "song.m4a", tones(30000))
    monkeypatch.setattr("stemcli.audio.ffmpeg_decoder.real_frames", lambda *_: 25000)
    assert len(decode(path)) >= 30000


@pytest.mark.parametrize("extension", ["wav", "mp3", "m4a"])
@pytest.mark.parametrize("name", ['it\'s: a "song" [live] (niño)', "音楽 🎵", "-y", "100%d"])
def test_any_file_name_is_read(tmp_path: Path, name: str, extension: str) -> None:
    plain = write_audio(tmp_path / f"plain.{extension}", tones(3000))
    odd = plain.rename(tmp_path / f"{name}.{extension}")
    assert len(decode(odd)) == 3000


def test_the_video_of_a_film_is_ignored(tmp_path: Path) -> None:
    wave, path = tones(30000), tmp_path / "film.mp4"
    picture = ("-f", "lavfi", "-i", "color=c=red:s=32x32:r=5:d=2")
    sound = ("-f", "f32le", "-ar", 44100, "-ac", 2, "-i", "-")
    ffmpeg(*picture, *sound, "-c:v", "mpeg4", "-c:a", "aac", path, sound=wave)
    assert decode(path).shape == wave.shape


@pytest.mark.parametrize("extension", ["ogg", "opus", "m4a", "flac", "wav"])
def test_surround_channels_have_the_order_of_wav(tmp_path: Path, extension: str) -> None:
    """Property: channel k has the tone of channel k, in any order of the codec."""
    wave = tones(24000, 48000, channels=6)
    wave[:, 3] = 0.3 * np.sin(2 * np.pi * 60 * np.arange(24000) / 48000)  # the LFE channel
    path = tmp_path / f"song.{extension}"
    ffmpeg("-f", "f32le", "-ar", 48000, "-ac", 6, "-i", "-", "-b:a", "480k", path, sound=wave)
    decoded = decode(path)[:24000]
    correlation = np.abs(wave[: len(decoded)].T @ decoded)
    assert correlation.argmax(axis=1).tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("extension", ["wav", "flac", "mp3", "ogg", "opus", "m4a"])
def test_an_excerpt_is_a_slice_of_the_song(tmp_path: Path, extension: str) -> None:
    """Property: reading from start to end gives a slice of the complete song."""
    rate = 48000 if extension == "opus" else 44100
    path = write_audio(tmp_path / f"song.{extension}", tones(60000, rate), rate)
    full = decode(path)
    excerpt = decode(path, start=0.50001, end=1.0001)
    assert np.array_equal(excerpt, full[round(0.50001 * rate) : round(1.0001 * rate)])
    assert np.array_equal(decode(path, start=1.1, end=99), full[round(1.1 * rate) :])


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15, deadline=None
)
@given(block=st.integers(1, 9000), extension=st.sampled_from(["wav", "mp3", "ogg"]))
def test_the_block_size_changes_nothing(tmp_path: Path, block: int, extension: str) -> None:
    """Property: the block size does not change any sample."""
    path = tmp_path / f"song.{extension}"
    if not path.exists():
        write_audio(path, tones(9001))
    with open_audio(path, block=block) as reader:
        blocks = list(reader)
    assert {len(each) for each in blocks[:-1]} <= {block}
    assert np.array_equal(np.concatenate(blocks), decode(path))


def rewrite_size(path: Path, size: int) -> Path:
    """Set the size in the data chunk of a WAV."""
    data = bytearray(path.read_bytes())
    struct.pack_into("<I", data, data.index(b"data") + 4, size)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("size", [0, 1000, 2**31, 2**32 - 1])
def test_a_wav_with_a_wrong_size_is_read_to_its_real_end(tmp_path: Path, size: int) -> None:
    """As after a recorder was switched off, beyond 4 GB, or in a stream of unknown length."""
    wave = tones(50000)
    path = rewrite_size(write_audio(tmp_path / "song.wav", wave), size)
    assert np.array_equal(decode(path), wave)


@pytest.mark.parametrize("tail", [b"LIST\x04\0\0\0INFO", b"ID3" + bytes(99999), bytes(99999)])
def test_bytes_after_the_audio_of_a_wav_are_ignored(tmp_path: Path, tail: bytes) -> None:
    wave = tones(5000)
    path = write_audio(tmp_path / "song.wav", wave)
    path.write_bytes(path.read_bytes() + tail)
    assert np.array_equal(decode(path), wave)


def test_a_flac_of_unknown_length_is_read_completely(tmp_path: Path) -> None:
    """A FLAC written into a pipe has zero as its number of samples."""
    wave, path = tones(100001), tmp_path / "song.flac"
    streamed = ("-f", "f32le", "-ar", 44100, "-ac", 2, "-i", "-", "-f", "flac", "-")
    path.write_bytes(ffmpeg(*streamed, sound=wave))
    assert probe(path).frames == len(wave)
    assert np.array_equal(decode(path), wave)


def test_a_flac_with_too_small_a_count_is_read_completely(tmp_path: Path) -> None:
    """The 36-bit count ends at byte 26 (RFC 9639, section 8.2)."""
    wave = tones(100001)
    path = write_audio(tmp_path / "song.flac", wave)
    data = bytearray(path.read_bytes())
    data[22:26] = (90_000).to_bytes(4, "big")
    path.write_bytes(data)
    assert np.array_equal(decode(path), wave)


def test_an_mp3_with_a_damaged_header_is_read_completely(tmp_path: Path) -> None:
    """Contradictory counts of frames and bytes, and a misplaced header."""
    path = write_audio(tmp_path / "song.mp3", tones(100000))
    data = path.read_bytes()
    at = data.find(b"Xing") + 8
    damaged = tmp_path / "damaged.mp3"
    for header in (struct.pack(">II", 30, 2**31), data[at + 1 : at + 8]):
        damaged.write_bytes(data[:at] + header + data[at + 8 :])
        assert len(decode(damaged)) >= 100000


@pytest.mark.parametrize("quiet_first", [True, False])
def test_an_mp3_without_a_count_is_read_completely(tmp_path: Path, quiet_first: bool) -> None:
    """Reference: ffmpeg's full decode.

    The length of such a file is estimated from the bit rate of its first frame: too long for a
    quiet beginning and too short for a loud one.
    """
    silence, loud = np.zeros((30000, 2), np.float32), tones(60000)
    parts = (silence, loud) if quiet_first else (loud, silence)
    counted = write_audio(tmp_path / "counted.mp3", np.concatenate(parts))
    bare = tmp_path / "bare.mp3"
    ffmpeg("-i", counted, "-c:a", "copy", "-write_xing", 0, "-id3v2_version", 0, bare)
    raw = np.frombuffer(ffmpeg("-i", bare, "-f", "f32le", "-"), "<f4").reshape(-1, 2)
    assert probe(counted).frames == 90000
    assert len(raw) >= 90000
    np.testing.assert_allclose(decode(bare), raw, atol=1e-4)


def test_two_mp3s_in_one_file_are_both_read(tmp_path: Path) -> None:
    """The first header counts only its own frames."""
    first = write_audio(tmp_path / "first.mp3", tones(100000))
    both = tmp_path / "both.mp3"
    both.write_bytes(2 * first.read_bytes())
    assert len(decode(both)) >= 200000


def test_tags_after_an_mp3_are_not_audio(tmp_path: Path) -> None:
    path = write_audio(tmp_path / "song.mp3", tones(30000))
    tag = APEv2()
    tag["Cover Art (Front)"] = APEValue(b"cover.jpg\0" + bytes(50000), BINARY)
    tag.save(path)
    assert len(decode(path)) == 30000


def test_an_mp3_read_in_blocks_equals_one_read_at_once(tmp_path: Path) -> None:
    """Reference: libsndfile reading everything with one call, without seeking."""
    path = write_audio(tmp_path / "song.mp3", tones(200001))
    at_once, _ = soundfile.read(path, dtype="float32")
    with open_audio(path, block=1000) as reader:
        assert np.array_equal(np.concatenate(list(reader)), at_once)


@pytest.mark.usefixtures("bundled_ffmpeg")
def test_the_bundled_ffmpeg_replaces_a_missing_one(tmp_path: Path) -> None:
    wave = tones(30000)
    path = write_audio(tmp_path / "song.m4a", wave)
    assert decode(path).shape == wave.shape


@pytest.mark.parametrize(
    ("part", "sentence"),
    [
        ({"start": -1.0}, "start must not be negative"),
        ({"start": 2.0, "end": 2.0}, "lie before end, found 2.0 and 2.0"),
        ({"end": 0.0}, "end must be above 0, found 0.0"),
    ],
)
def test_an_empty_excerpt_is_refused(tmp_path: Path, part: dict[str, float], sentence: str) -> None:
    path = write_audio(tmp_path / "song.wav", tones(100))
    with pytest.raises(ConfigError, match=sentence):
        open_audio(path, start=part.get("start"), end=part.get("end"))


@pytest.mark.audio
def test_real_songs_have_the_length_of_ffmpegs_decode(mixtures: list[Path]) -> None:
    """Reference: ffmpeg's full decode.

    Before version 7, ffmpeg also decodes the padding of AAC that is recorded in iTunSMPB: less
    than one codec frame of 1024 samples.
    """
    for path in mixtures:
        info = probe(path)
        with open_audio(path) as reader:
            frames = sum(len(block) for block in reader)
        raw = ffmpeg("-i", path, "-map", "0:a:0", "-f", "f32le", "-")
        padding = len(raw) // 4 // info.channels - frames
        assert 0 <= padding < (1024 if path.suffix == ".m4a" else 1), path.name
        assert info.frames in (frames, None), path.name


def test_each_audio_stream_can_be_read_by_number(tmp_path: Path) -> None:
    """ALAC is lossless, so stream k equals the encoded wave."""
    waves = [np.roll(tones(20000), 100 * shift, axis=0) for shift in range(3)]
    path = stems_in_one_file(tmp_path / "song.stem.mp4", waves, "alac")
    for stream, wave in enumerate(waves):
        with open_audio(path, stream=stream) as reader:
            assert np.abs(np.concatenate(list(reader)) - wave).max() < 1e-4
    with pytest.raises(DecodeError, match=r"has 3 audio tracks .* and no track 4"):
        open_audio(path, stream=3)


def test_padding_is_removed_from_every_stream(tmp_path: Path) -> None:
    """AAC pads its last frame of 1024; the length of each track says where its audio ends."""
    path = stems_in_one_file(tmp_path / "song.mp4", [tones(20000), tones(20000)], "aac")
    for stream in (0, 1):
        with open_audio(path, stream=stream) as reader:
            assert sum(len(block) for block in reader) == 20000
