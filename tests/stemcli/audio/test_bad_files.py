from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from model_zoo.errors import DecodeError, FfmpegMissingError
from stemcli.audio.containers.ogg import page_checksum
from stemcli.audio.info import require_file
from stemcli.audio.reader import open_audio, probe
from tests.audio_files import ffmpeg, noisy_tones, tones, write_audio
from tests.stemcli.audio.decoding import decode


def missing(folder: Path) -> Path:
    write_audio(folder / "song.wav", tones(10))
    return folder / "sonng.wav"


def missing_with_another_extension(folder: Path) -> Path:
    """The shared extension must not count, or ``vocals.mp3`` would be the closest name."""
    for name in ("mysong.wav", "vocals.mp3"):
        write_audio(folder / name, tones(10))
    return folder / "song1.mp3"


def missing_with_several_extensions(folder: Path) -> Path:
    for name in ("song.mp3", "song.wav", "song.flac"):
        write_audio(folder / name, tones(10))
    return folder / "son.mp3"


def a_link_to_nowhere(folder: Path) -> Path:
    (folder / "song.wav").symlink_to("gone.wav")
    return folder / "song.wav"


def a_pipe_without_a_writer(folder: Path) -> Path:
    os.mkfifo(folder / "song.wav")
    return folder / "song.wav"


def a_folder(folder: Path) -> Path:
    return folder


def empty(folder: Path) -> Path:
    (folder / "song.mp3").touch()
    return folder / "song.mp3"


def text(folder: Path) -> Path:
    (folder / "song.mp3").write_text("These are the words of a song, not its sound.\n" * 99)
    return folder / "song.mp3"


def text_by_name(folder: Path) -> Path:
    (folder / "song.txt").write_text("la la la\n" * 99)
    return folder / "song.txt"


def film_without_sound(folder: Path) -> Path:
    ffmpeg("-f", "lavfi", "-i", "color=c=red:s=32x32:r=5:d=1", "-c:v", "mpeg4", folder / "film.mp4")
    return folder / "film.mp4"


def no_samples(folder: Path) -> Path:
    return write_audio(folder / "song.wav", np.zeros((0, 2), np.float32))


def no_samples_ogg(folder: Path) -> Path:
    return write_audio(folder / "song.ogg", np.zeros((0, 2), np.float32))


SENTENCES: dict[Callable[[Path], Path], str] = {
    missing: r"There is no file .*sonng.wav: did you mean 'song.wav'\?",
    missing_with_another_extension: r"did you mean 'mysong.wav'\?",
    missing_with_several_extensions: r"did you mean 'song.mp3'\?",
    a_link_to_nowhere: r"song.wav is a link to gone.wav, which does not exist",
    a_pipe_without_a_writer: r"song.wav is a pipe or a device\. Save the sound to a file",
    a_folder: r"is a folder\. Separate its songs one by one",
    empty: r"song.mp3 is empty \(0 bytes\)\. Copy or download it again",
    text: r"No sound can be read from .*song.mp3: it is a text file; use the song itself",
    text_by_name: r"No sound can be read from .*song.txt: it is a text file; use the song itself",
    film_without_sound: r"film.mp4 contains pictures but no sound\. Use the file with the sound",
    no_samples: r"song.wav contains no sound \(0 samples\)\. Export",
    no_samples_ogg: r"song.ogg contains no sound \(0 samples\)\. Export",
}


@pytest.mark.parametrize("make", SENTENCES)
def test_bad_files_give_one_error_message(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    with pytest.raises(DecodeError, match=SENTENCES[make]) as caught:
        decode(make(tmp_path))
    assert "\n" not in str(caught.value)


def test_a_url_in_the_place_of_a_path_is_named_with_both_slashes() -> None:
    with pytest.raises(DecodeError, match=r"https://example.org/a.mp3 is a URL\. Use it as"):
        require_file(Path("https://example.org/a.mp3"))


def test_an_unreadable_file_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error is simulated, because root may read everything."""

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    path = write_audio(tmp_path / "song.wav", tones(10))
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(DecodeError, match=r"cannot be opened \(Permission denied\)\. Check"):
        probe(path)


def test_a_start_beyond_the_end_is_reported(tmp_path: Path) -> None:
    path = write_audio(tmp_path / "song.wav", tones(4410))
    with pytest.raises(DecodeError, match=r"ends before 3.00 s.*Use a smaller start"):
        decode(path, start=3.0)


@pytest.mark.parametrize("extension", ["flac", "mp3", "ogg", "opus", "m4a"])
def test_damage_in_the_middle_is_reported_with_its_time(tmp_path: Path, extension: str) -> None:
    """Two of twelve seconds are overwritten, at about second six."""
    rate = 48000 if extension == "opus" else 44100
    path = write_audio(tmp_path / f"song.{extension}", noisy_tones(12 * rate), rate)
    data = bytearray(path.read_bytes())
    sixth = len(data) // 12
    data[6 * sixth : 8 * sixth] = bytes(7 * position % 251 for position in range(2 * sixth))
    path.write_bytes(data)
    with pytest.raises(
        DecodeError, match=r"damaged: decoding stops at .* of 1[12]\.\d\d s"
    ) as caught:
        decode(path)
    advised_end = re.search(r"with end=(\d+\.\d+)", str(caught.value))
    assert advised_end
    assert 4.5 < float(advised_end[1]) < 6.5
    assert len(decode(path, end=float(advised_end[1]))) == round(float(advised_end[1]) * rate)


@pytest.mark.parametrize("rate", [1, 800_000_000])
def test_absurd_sample_rates_are_reported(tmp_path: Path, rate: int) -> None:
    path = write_audio(tmp_path / "song.wav", tones(1000), rate)
    with pytest.raises(DecodeError, match=rf"damaged: its header has a sample rate of {rate} Hz"):
        open_audio(path)


def test_damage_after_the_claimed_length_is_reported(tmp_path: Path) -> None:
    """A song of four seconds claims a length of one, and is damaged at second three."""
    path = write_audio(tmp_path / "song.flac", noisy_tones(4 * 44100))
    data = bytearray(path.read_bytes())
    data[22:26] = (44100).to_bytes(4, "big")  # the lower 32 of 36 bits (RFC 9639, section 8.2)
    third = 3 * len(data) // 4
    data[third : third + 4000] = bytes(7 * position % 251 for position in range(4000))
    path.write_bytes(data)
    with pytest.raises(DecodeError, match=r"damaged: decoding stops at [23]\.\d\d s of 4\.00 s"):
        decode(path)


def test_damage_at_the_start_is_reported_without_advice_to_use_the_rest(tmp_path: Path) -> None:
    path = write_audio(tmp_path / "song.flac", noisy_tones(3000))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(DecodeError, match=r"stops at 0\.00 s of 0\.07 s\. Download it again$"):
        decode(path)


def test_damage_of_a_flac_is_reported_with_its_time_after_seeking(tmp_path: Path) -> None:
    """libFLAC itself fails to seek without reporting where."""
    path = write_audio(tmp_path / "song.flac", noisy_tones(4 * 44100))
    data = bytearray(path.read_bytes())
    data[len(data) // 2 :] = bytes(len(data) - len(data) // 2)
    path.write_bytes(data)
    with pytest.raises(DecodeError, match=r"damaged: decoding stops at [12]\.\d\d s of 4\.00 s"):
        decode(path, start=3.0)


def test_a_missing_ffmpeg_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_audio(tmp_path / "song.m4a", tones(5000))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(FfmpegMissingError, match="Install it, or try: pip install imageio-ffmpeg"):
        open_audio(path)


def test_the_checksum_of_an_ogg_page() -> None:
    """Reference: the bit-by-bit division of RFC 3533."""
    page = b"OggS and some bytes \x00\xff"
    register = 0
    for byte in page:
        register ^= byte << 24
        for _ in range(8):
            register = (register << 1) ^ (0x104C11DB7 if register & 0x80000000 else 0)
    assert page_checksum(page) == register
