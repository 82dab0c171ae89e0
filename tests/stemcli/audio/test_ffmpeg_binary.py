"""A broken or incomplete ffmpeg is reported, and the bundled one is used instead.

Tested with short scripts that fail like real programs.
"""

from __future__ import annotations

import os
import shlex
import struct
import sys
from pathlib import Path

import pytest

from model_zoo.errors import DecodeError, EncodeError, FfmpegMissingError
from stemcli.audio import ffmpeg_binary
from stemcli.audio.encoders import require_encoder
from stemcli.audio.ffmpeg_binary import broken_ffmpeg, fallback_notice, fault, find_ffmpeg
from stemcli.audio.formats import OutputFormat
from stemcli.audio.reader import open_audio, probe
from stemcli.audio.writer import open_writer
from tests.audio_files import tones, write_audio
from tests.fake_ffmpeg import in_front, put
from tests.stemcli.audio.decoding import decode

LIBRARY = "ffmpeg: error while loading shared libraries: libopenh264.so.5: cannot open shared file"
BROKEN = {
    f'echo "{LIBRARY}" >&2; exit 127\n': LIBRARY,
    "exit 3\n": "it ends with 3",
    "kill -SEGV $$\n": "it ends with -11",
    "echo I am another program\n": "I am another program",
    "exec sleep 60\n": "it prints nothing for 0.5 seconds",
}


@pytest.fixture
def bundled() -> str:
    import imageio_ffmpeg

    return str(imageio_ffmpeg.get_ffmpeg_exe())


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in front on PATH."""
    monkeypatch.setenv("PATH", in_front(tmp_path / "bin"))
    monkeypatch.setattr(ffmpeg_binary, "START_TIMEOUT_S", 0.5)
    return tmp_path / "bin"


@pytest.mark.parametrize("script", BROKEN)
def test_the_bundled_ffmpeg_replaces_a_broken_one(
    script: str, programs: Path, bundled: str, tmp_path: Path
) -> None:
    song = write_audio(tmp_path / "song.m4a", tones(5000))
    program = put(programs, script, starts=False)
    assert find_ffmpeg() == bundled
    assert broken_ffmpeg() == f"the ffmpeg on PATH, {program}, does not start ({BROKEN[script]})"
    assert len(decode(song)) > 4000
    assert probe(song).notices == (fallback_notice(),)
    with open_writer(tmp_path / "stem.m4a", 44100, 2, OutputFormat("m4a")) as writer:
        writer.write(tones(5000))
    assert writer.notices == [fallback_notice()]


def test_an_ffmpeg_for_another_processor_is_broken(programs: Path, bundled: str) -> None:
    """An ELF header for a nonexistent machine."""
    program = put(programs, "")
    program.write_bytes(b"\x7fELF\2\1\1" + bytes(9) + struct.pack("<HH", 2, 0xFFFF) + bytes(99))
    assert find_ffmpeg() == bundled
    assert "does not start (Exec format error)" in broken_ffmpeg()


def test_a_working_ffmpeg_is_used_without_notice(programs: Path) -> None:
    program = put(programs, "")
    assert find_ffmpeg() == str(program)
    assert broken_ffmpeg() == fallback_notice() == ""


def test_ffmpeg_is_tried_once_and_again_if_replaced(programs: Path) -> None:
    tries = programs / "tries"
    script = f'echo >> {shlex.quote(str(tries))}; echo "ffmpeg version 0"'
    program = put(programs, script, starts=False)
    assert [fault(str(program)) for _ in range(3)] == ["", "", ""]
    assert tries.read_text() == "\n"
    program.write_text("#!/bin/sh\nexit 9\n")
    os.utime(program, ns=(0, 0))
    assert fault(str(program)) == "it ends with 9"


def test_if_none_works_all_are_named(
    programs: Path, bundled: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    song = write_audio(tmp_path / "song.m4a", tones(5000))
    program = put(programs, "exit 3\n", starts=False)
    other = put(tmp_path / "other", "exit 4\n", starts=False)
    monkeypatch.setattr("imageio_ffmpeg.get_ffmpeg_exe", lambda: str(other))
    with pytest.raises(FfmpegMissingError) as caught:
        open_audio(song)
    assert str(caught.value) == (
        f"This needs ffmpeg, but {program} does not start (it ends with 3), and neither does "
        f"{other} (it ends with 4). Install it again"
    )
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(FfmpegMissingError) as caught:
        require_encoder(OutputFormat("m4a"))
    assert str(caught.value) == (
        f"This needs ffmpeg, but {program} does not start (it ends with 3). Install it again, or "
        "try: pip install imageio-ffmpeg"
    )


@pytest.mark.parametrize(
    ("format", "codec"), [("m4a", "aac"), ("opus", "libopus"), ("ogg", "libvorbis")]
)
def test_a_missing_encoder_is_reported(
    format: str, codec: str, programs: Path, tmp_path: Path
) -> None:
    """The message blames neither the folder nor the bit rate."""
    program = put(programs, 'echo " A....D pcm_s16le            PCM signed 16-bit"\n')
    sentence = (
        f"{program} cannot write {format}, because it was built without the encoder {codec}\\. "
    )
    with pytest.raises(FfmpegMissingError, match=sentence):
        require_encoder(OutputFormat(format))
    with pytest.raises(FfmpegMissingError, match=sentence):
        open_writer(tmp_path / f"stem.{format}", 48000, 2, OutputFormat(format, bitrate=128))
    assert [each.name for each in tmp_path.iterdir()] == ["bin"]


@pytest.mark.parametrize(
    "log_line",
    [
        "[error] Decoder (codec aac) not found for input stream #0:0",
        "[aist#0:0/aac @ 0x1] [fatal] Decoding requested, but no decoder found for: aac",
    ],
    ids=["before 6", "since 6"],
)
def test_a_missing_decoder_is_reported(log_line: str, programs: Path, tmp_path: Path) -> None:
    song = write_audio(tmp_path / "song.m4a", tones(5000))
    stream = "[info]   Stream #0:0(und): Audio: aac (mp4a), 44100 Hz, stereo (default)"
    program = put(programs, f"echo '{stream}' >&2\necho '{log_line}' >&2\nexit 1\n")
    with pytest.raises(
        FfmpegMissingError, match=r"built without a decoder for aac\. Install a"
    ) as e:
        open_audio(song)
    assert str(e.value).startswith(f"{program} cannot read {song}, because")


@pytest.mark.parametrize("which", ["the system's", "the bundled"])
def test_an_unknown_codec_is_reported_for_the_song(
    which: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A WAV with format 0x1234, which is not assigned to any codec."""
    path = write_audio(tmp_path / "song.wav", tones(5000))
    data = bytearray(path.read_bytes())
    struct.pack_into("<H", data, 20, 0x1234)
    path.write_bytes(data)
    if which == "the bundled":
        monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DecodeError, match=r"song\.wav uses an audio codec that ffmpeg does not"):
        open_audio(path)


def test_a_killed_encoder_is_not_reported_as_a_full_disk(programs: Path, tmp_path: Path) -> None:
    put(programs, 'case "$*" in *-encoders*) echo " A aac";; *) kill -9 $$;; esac\n')
    with (
        pytest.raises(
            EncodeError, match=r"writing m4a, was killed by another program \(Killed\)\. Run"
        ),
        open_writer(tmp_path / "stem.m4a", 44100, 2, OutputFormat("m4a")) as writer,
    ):
        writer.write(tones(500_000))


def test_a_failing_encoder_without_settings_does_not_blame_them(
    programs: Path, tmp_path: Path
) -> None:
    script = 'case "$*" in *-encoders*) echo " A aac";; *) echo "[error] No." >&2; exit 1;; esac\n'
    put(programs, script)
    sentence = r"^ffmpeg cannot write m4a at 44100 Hz \(No\.\)\. Try format='flac'$"
    with (
        pytest.raises(EncodeError, match=sentence),
        open_writer(tmp_path / "stem.m4a", 44100, 2, OutputFormat("m4a")),
    ):
        pass
