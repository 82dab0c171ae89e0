from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from mutagen.mp3 import MP3, BitrateMode
from numpy.typing import NDArray

from model_zoo.errors import EncodeError, OutputError
from stemcli.audio.encoders import WavSink, to_integers
from stemcli.audio.formats import OutputFormat
from stemcli.audio.reader import probe
from stemcli.audio.writer import open_writer
from tests.audio_files import ffmpeg, tones
from tests.little_room import room_for
from tests.stemcli.audio.hearing import hear, snr

LOSSLESS = [("wav", "16"), ("wav", "24"), ("wav", "32f"), ("flac", "16"), ("flac", "24")]
STEPS = {"16": 2.0**-15, "24": 2.0**-23, "32f": 2.0**-24}
LOSSY = ["mp3", "ogg", "opus", "m4a"]


def write(
    path: Path, wave: NDArray[np.float32], rate: int = 44100, block: int = 7000, **choices: object
) -> Path:
    """Write ``wave`` in blocks of so many frames in the format that the extension names."""
    format = OutputFormat.from_dict({"name": path.suffix[1:], **choices})
    with open_writer(path, rate, wave.shape[1], format) as writer:
        for start in range(0, len(wave), block):
            writer.write(wave[start : start + block])
    return path


@pytest.mark.parametrize(("name", "depth"), LOSSLESS)
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_representable_samples_survive(
    tmp_path: Path, name: str, depth: str, channels: int
) -> None:
    """Property: samples that are whole numbers of 16-bit steps come back bit for bit, extremes too."""
    wave = tones(20001, 48000, channels)
    wave[5], wave[6] = -1.0, 32767 / 32768
    path = write(tmp_path / f"stem.{name}", wave, 48000, depth=depth)
    assert np.array_equal(hear(path), wave)
    assert probe(path).depth == depth


@pytest.mark.parametrize(("name", "depth"), LOSSLESS)
def test_other_samples_are_off_by_half_a_step_at_most(
    tmp_path: Path, name: str, depth: str
) -> None:
    """Tolerance from the bit depth: rounding to the nearest step."""
    wave = (tones(20000) * np.float32(0.7654321)).astype(np.float32)
    heard = hear(write(tmp_path / f"stem.{name}", wave, depth=depth))
    assert np.abs(heard - wave).max() <= STEPS[depth] / 2


@given(st.lists(st.floats(-4, 4, width=32), min_size=1, max_size=50), st.sampled_from([16, 24]))
def test_integers_never_wrap_and_round_to_the_nearest(samples: list[float], bits: int) -> None:
    """Property: clipping is a projection, rounding moves by at most half a step."""
    wave = np.array(samples, np.float32)
    full = 2.0 ** (bits - 1)
    expected = np.clip(wave.astype(np.float64) * full, -full, full - 1)
    assert np.abs(to_integers(wave, bits) - expected).max() <= 0.5


@pytest.mark.parametrize("name", ["wav", "flac", *LOSSY])
def test_what_is_too_loud_is_clipped(tmp_path: Path, name: str) -> None:
    """A square of full height is what remains of a tone eight times too loud; it never wraps."""
    rate = 48000
    loud = (8 * tones(30000, rate)).astype(np.float32)
    choices = {"depth": "16"} if name in ("wav", "flac") else {}
    heard = hear(write(tmp_path / f"stem.{name}", loud, rate, **choices))
    assert snr(np.clip(loud, -1, 1), heard) > (80 if choices else 10)


def test_floating_point_keeps_what_is_too_loud(tmp_path: Path) -> None:
    loud = (8 * tones(3000)).astype(np.float32)
    assert np.array_equal(hear(write(tmp_path / "stem.wav", loud, depth="32f")), loud)


@pytest.mark.parametrize("name", LOSSY)
@pytest.mark.parametrize("rate", [24000, 48000])
@pytest.mark.parametrize("frames", [1000, 1152 * 20, 30011])
def test_lossy_stems_keep_their_length_and_place(
    tmp_path: Path, name: str, rate: int, frames: int
) -> None:
    """Property: as many samples come back as went in, in their place, whatever the codec's frames."""
    wave = tones(frames, rate)
    heard = hear(write(tmp_path / f"stem.{name}", wave, rate))
    assert heard.shape == wave.shape
    assert frames == 1000 or snr(wave[1000:-1000], heard[1000:-1000]) > 15


@pytest.mark.parametrize("name", ["wav", "flac", "mp3", "ogg", "opus"])
def test_a_single_sample_survives(tmp_path: Path, name: str) -> None:
    assert hear(write(tmp_path / f"stem.{name}", tones(1, 48000), 48000)).shape == (1, 2)


@pytest.mark.usefixtures("bundled_ffmpeg")
@pytest.mark.parametrize("name", ["ogg", "opus", "m4a"])
def test_the_bundled_ffmpeg_writes_too(tmp_path: Path, name: str) -> None:
    wave = tones(30011, 48000, 4)
    assert hear(write(tmp_path / f"stem.{name}", wave, 48000)).shape == wave.shape


@pytest.mark.parametrize("name", ["ogg", "opus", "m4a"])
def test_surround_keeps_its_order(tmp_path: Path, name: str) -> None:
    """Property: channel k holds the tone of channel k, whatever order the codec stores them in."""
    wave = tones(24000, 48000, channels=6)
    wave[:, 3] = 0.3 * np.sin(2 * np.pi * 60 * np.arange(24000) / 48000)  # the low one
    heard = hear(write(tmp_path / f"stem.{name}", wave, 48000))
    assert np.abs(wave.T @ heard).argmax(axis=1).tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize(("name", "frames"), [("mp3", 10489), ("opus", 11417), ("m4a", 10489)])
def test_a_rate_that_the_format_does_not_know(tmp_path: Path, name: str, frames: int) -> None:
    """Worked by hand: 10000 samples at 10512 Hz are 10487.8 at 11025 Hz and 11415.5 at 12000 Hz."""
    path = tmp_path / f"stem.{name}"
    writer = open_writer(path, 10512, 1, OutputFormat(name))
    writer.write(tones(10000, 10512, 1))
    writer.commit()
    assert abs(len(hear(path)) - frames) <= 1
    assert writer.notices[0].startswith(f"{name} does not support 10512 Hz: written at 1")


@pytest.mark.parametrize("bitrate", [64, 128, 320])
def test_mp3_has_the_bit_rate_that_was_asked_for(tmp_path: Path, bitrate: int) -> None:
    path = write(tmp_path / "stem.mp3", tones(48000, 48000), 48000, bitrate=bitrate)
    known: Any = MP3(path).info
    assert (round(known.bitrate / 1000), known.bitrate_mode) == (bitrate, BitrateMode.CBR)


@pytest.mark.parametrize(("name", "best", "worst"), [("mp3", 0, 9), ("ogg", 10, 0)])
def test_better_quality_takes_more_space(
    tmp_path: Path, name: str, best: float, worst: float
) -> None:
    sizes = [
        write(tmp_path / f"{quality}.{name}", tones(44100), quality=quality).stat().st_size
        for quality in (best, worst)
    ]
    assert sizes[0] > 1.5 * sizes[1]


@pytest.mark.parametrize("name", ["ogg", "opus", "m4a"])
def test_a_higher_bit_rate_takes_more_space(tmp_path: Path, name: str) -> None:
    sound = tones(48000, 48000)
    sizes = [
        write(tmp_path / f"{rate}.{name}", sound, 48000, bitrate=rate).stat().st_size
        for rate in (256, 48)
    ]
    assert sizes[0] > 1.5 * sizes[1]


@pytest.mark.parametrize("frames", [3000, 300000])
def test_a_bit_rate_that_the_encoder_refuses(tmp_path: Path, frames: int) -> None:
    """Vorbis has no 500 kbit/s for one channel at 8 kHz, which shows at the end or before it."""
    with pytest.raises(EncodeError, match=r"cannot write ogg at 8000 Hz.*leaving out --bitrate"):
        write(tmp_path / "stem.ogg", tones(frames, 8000, 1), 8000, bitrate=500)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ["wav", "flac", "mp3", "ogg", "opus", "m4a"])
def test_equal_sound_gives_equal_bytes(tmp_path: Path, name: str) -> None:
    paths = [write(tmp_path / f"{copy}.{name}", tones(9000, 48000), 48000) for copy in "ab"]
    assert paths[0].read_bytes() == paths[1].read_bytes()


@pytest.mark.parametrize("depth", ["16", "24", "32f"])
def test_a_wav_beyond_the_limit_is_an_rf64(tmp_path: Path, depth: str) -> None:
    """Reference: libsndfile and ffmpeg read it. The limit is lowered from 4 GB to 10 kB."""
    path, wave = tmp_path / "stem.wav", tones(9001, channels=3)
    sink = WavSink(path, 44100, 3, depth, largest_riff=10000)
    sink.write(wave)
    sink.close()
    assert soundfile.info(path).format == "RF64"
    assert np.array_equal(hear(path), wave)
    raw = np.frombuffer(ffmpeg("-i", path, "-f", "f32le", "-"), "<f4")
    assert np.array_equal(raw.reshape(-1, 3), wave)


@pytest.mark.parametrize("depth", ["16", "24", "32f"])
@pytest.mark.parametrize("frames", [1001, 1002])
def test_other_programs_read_our_wav(tmp_path: Path, depth: str, frames: int) -> None:
    """Reference: libsndfile and ffmpeg. An odd number of bytes is padded."""
    wave = tones(frames, channels=1)
    path = write(tmp_path / "stem.wav", wave, depth=depth)
    known = soundfile.info(path)
    raw = np.frombuffer(ffmpeg("-i", path, "-f", "f32le", "-"), "<f4")
    assert (known.format, known.frames, path.stat().st_size % 2) == ("WAV", frames, 0)
    assert np.array_equal(raw, wave[:, 0])


@pytest.mark.parametrize("name", ["wav", "flac", "mp3", "ogg"])
def test_a_file_appears_when_it_is_complete(tmp_path: Path, name: str) -> None:
    path = tmp_path / "new" / f"stem.{name}"
    writer = open_writer(path, 44100, 2, OutputFormat(name))
    writer.write(tones(5000))
    assert not path.exists()
    writer.close()
    assert [writer.temporary] == list(path.parent.iterdir())
    writer.commit()
    writer.discard()
    assert [path] == list(path.parent.iterdir())


def write_and_interrupt(path: Path) -> None:
    with open_writer(path, 44100, 2, OutputFormat(path.suffix[1:])) as writer:
        writer.write(tones(5000))
        raise KeyboardInterrupt


@pytest.mark.parametrize("name", ["wav", "flac", "mp3", "ogg"])
def test_an_exception_leaves_nothing_behind(tmp_path: Path, name: str) -> None:
    path = tmp_path / f"stem.{name}"
    path.write_text("what was there before")
    with pytest.raises(KeyboardInterrupt):
        write_and_interrupt(path)
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_text() == "what was there before"


def test_not_a_number_is_refused(tmp_path: Path) -> None:
    wave = tones(100)
    wave[50, 1] = np.nan
    with pytest.raises(EncodeError, match=r"would hold NaN\. Try --precision fp32"):
        write(tmp_path / "stem.wav", wave)


@pytest.mark.parametrize("name", ["wav", "flac", "ogg"])
def test_a_place_where_nothing_can_be_written(tmp_path: Path, name: str) -> None:
    (tmp_path / "taken").write_text("a file where a folder should be")
    with pytest.raises(OutputError, match=r"cannot be written .* Use --output with another"):
        write(tmp_path / "taken" / f"stem.{name}", tones(100))


@pytest.mark.parametrize("name", ["wav", "flac", "mp3", "ogg"])
@pytest.mark.parametrize("block", [100, 7000])
def test_a_full_disk_is_named_and_keeps_nothing(tmp_path: Path, name: str, block: int) -> None:
    """In small blocks the disk refuses what waits in a buffer, and again when that is closed."""
    wave = tones(100_000)
    with room_for(5_000), pytest.raises(OutputError, match=r"cannot be written .* Use --output"):
        write(tmp_path / f"stem.{name}", wave, block=block)
    assert os.listdir(tmp_path) == []
