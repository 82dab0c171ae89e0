"""The public interface for Python programs: names, messages, inputs, async variants and types."""

from __future__ import annotations

import asyncio
import copy
import io
import os
import pickle
import re
import sys
import tempfile
import threading
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

import stemcli
from model_zoo import errors
from model_zoo.importers import convert
from model_zoo.option_names import command_line
from stemcli.engine.events import Event, TrackFailed
from stemcli.engine.options import OptionFields
from stemcli.engine.session import Session
from stemcli.version import version
from stemcli.web import BLOCK
from tests.stemcli.engine.sessions import RATE, files, make_session, song
from tests.stemcli.engine.stubs import noise
from tests.web_server import content, serve

ROOT = Path(__file__).parents[3]


def test_one_name_or_several() -> None:
    one, several = stemcli.Options(model="a", stems="x"), stemcli.Options(model=["a", "b"])
    assert (one.model, one.stems, several.model) == (("a",), ("x",), ("a", "b"))
    assert one == stemcli.Options(model=["a"], stems=("x",))
    assert hash(one) == hash(stemcli.Options(model=("a",), stems=["x"]))
    assert stemcli.Options(model=Path("runs/x"), output=Path("out")).to_dict() == {
        **stemcli.Options().to_dict(),
        "model": ("runs/x",),
        "output": "out",
    }
    assert replace(several, model="c").model == ("c",)
    assert pickle.loads(pickle.dumps(several)) == copy.deepcopy(several) == several
    assert stemcli.Options.from_dict({"model": "a", "stems": "x"}) == one
    assert stemcli.Options(stems="") == stemcli.Options()


def test_a_session_takes_options_fields_or_both(tmp_path: Path) -> None:
    assert Session(model=["a", "b"]).options == stemcli.Options(model=["a", "b"])
    given = stemcli.Options(model="a", seed=3)
    assert Session(given, seed=4).options == replace(given, seed=4)
    with pytest.raises(stemcli.ConfigError, match="unknown key 'segmen', did you mean 'segment'"):
        Session(segmen=1.0)


def test_journals_compare_equal(tmp_path: Path) -> None:
    """The settings of a run hold models as they did when only tuples were taken."""
    assert make_session(tmp_path).settings == make_session(tmp_path, model=("net",)).settings
    assert make_session(tmp_path).settings["model"] == [["net", ""]]


def test_keyword_arguments_have_the_types_of_the_fields() -> None:
    assert {*OptionFields.__annotations__} == {field.name for field in fields(stemcli.Options)}


def test_the_errors_are_those_of_the_packages() -> None:
    exported = [name for name in stemcli.__all__ if name.endswith("Error")]
    assert len(exported) == 16
    for name in exported:
        assert getattr(stemcli, name) is getattr(errors, name)
        assert issubclass(getattr(stemcli, name), stemcli.StemError)


def test_the_version(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib import metadata

    assert stemcli.__version__ == metadata.version("stemcli")
    monkeypatch.setattr("stemcli.version.number", lambda: "")
    version.cache_clear()  # another test may have asked for it
    assert re.fullmatch(r"0\+[0-9a-f]{12}", stemcli.__version__)
    version.cache_clear()


BAD_OPTIONS: tuple[tuple[dict[str, Any], str, str], ...] = (
    ({"model": ()}, "add model=NAME", "add --model NAME"),
    ({"model": ["a", "a"]}, "(model=['a', 'a'])", "(--model a --model a)"),
    ({"stems": ["a", "a"]}, "(stems=['a', 'a'])", "(--stems a,a)"),
    ({"stems": "a", "two_stems": "b"}, "stems and two_stems ", "--stems and --two-stems "),
    ({"stems": "a", "karaoke": True}, "stems and karaoke ", "--stems and --karaoke "),
    ({"overlap": 1.0}, "overlap must be", "--overlap must be"),
    ({"segment": 0.1}, "segment must be", "--segment must be"),
    ({"shifts": 0}, "shifts must be", "--shifts must be"),
    ({"batch_size": -1}, "batch_size must be", "--batch-size must be"),
    ({"track": 0}, "track counts from 1", "--track counts from 1"),
    ({"start": -1.0}, "start must be from 0", "--start must be from 0"),
    ({"start": 2.0, "end": 1.0}, "end must come after start", "--end must come after --start"),
    ({"output": ""}, "output is empty; use e.g. output='.'", "use e.g. --output ."),
    ({"format": "mp4"}, "format must be one of", "--format must be one of"),
    ({"depth": "20"}, "depth must be one of", "--bit-depth must be one of"),
    ({"format": "mp3", "depth": "24"}, "depth is for wav", "--bit-depth is for wav"),
    (
        {"format": "flac", "depth": "32f"},
        "use depth='24' or format='wav'",
        "use --bit-depth 24 or --format wav",
    ),
    ({"bitrate": 96}, "bitrate is for", "--bitrate is for"),
    ({"format": "mp3", "bitrate": 1}, "bitrate of mp3 goes", "--bitrate of mp3 goes"),
    ({"format": "mp3", "bitrate": 65}, "bitrate of mp3 must", "--bitrate of mp3 must"),
    ({"quality": 1.0}, "quality is for", "--quality is for"),
    ({"format": "opus", "quality": 1.0}, "use bitrate", "use --bitrate"),
    ({"format": "mp3", "quality": 11.0}, "quality of mp3 goes", "--quality of mp3 goes"),
    (
        {"format": "mp3", "quality": 1.0, "bitrate": 96},
        "bitrate and quality contradict",
        "--bitrate and --quality contradict",
    ),
    (
        {"clip_mode": "none", "format": "mp3"},
        "clip_mode='none' needs floating point, which mp3 does not have; use format='wav', "
        "depth='32f'",
        "--clip-mode none needs floating point, which mp3 does not have; use --format wav "
        "--bit-depth 32f",
    ),
)
"""Wrong options with the message of Python, and that of the command line."""


@pytest.mark.parametrize(("options", "in_python", "on_command_line"), BAD_OPTIONS)
def test_messages_name_fields_or_flags(
    options: dict[str, Any], in_python: str, on_command_line: str
) -> None:
    for use in (stemcli.Options, Session, lambda **each: stemcli.separate("x.wav", **each)):
        with pytest.raises(stemcli.ConfigError) as caught:
            use(**options)
        assert in_python in str(caught.value)
        assert "--" not in str(caught.value)
    with command_line(), pytest.raises(stemcli.ConfigError) as caught:
        stemcli.Options(**options)
    assert on_command_line in str(caught.value)


WRONG_TYPES: dict[str, Any] = {field.name: object() for field in fields(stemcli.Options)}


@pytest.mark.parametrize("name", WRONG_TYPES)
def test_a_wrong_type_names_the_field(name: str) -> None:
    with pytest.raises(stemcli.ConfigError, match=rf"\b{name} must be ") as caught:
        stemcli.Options(**{name: WRONG_TYPES[name]})
    assert "--" not in str(caught.value)


LATER: dict[str, dict[str, Any]] = {
    "an unknown model": {"model": "nope"},
    "a weights file of another program": {"model": "net.pth"},
    "a missing weights file": {"model": "gone.safetensors"},
    "a model of another role": {"model": "phase_predictor"},
    "a phase model that separates": {"phase_model": "spleeter_2stems"},
    "an unknown stem": {"stems": "guitar"},
    "a stem of a model that is not installed": {"stems": "piano"},
    "a model that is not installed": {"model": "spleeter:4stems"},
    "one stem by two names": {"stems": ["instrumental", "accompaniment"]},
    "a device": {"device": "cuda:99"},
    "an unknown field of the template": {"filename": "{composer}/{stem}.{ext}"},
    "a template without stem": {"filename": "{track}.{ext}"},
    "a template that leaves the folder": {"filename": "../{stem}.{ext}"},
    "another extension": {"filename": "{stem}.mp3"},
    "a URL": {"output": "s3://bucket/stems"},
    "an output that is a file": {"output": "song.wav"},
    "a start behind the end of the song": {"start": 60.0},
    "a track that does not exist": {"track": 9},
    "stems that exist": {"output": "there"},
    "too many channels": {"format": "mp3", "output": "mp3"},
    "a rate that is too high": {"format": "mp3"},
    "a song that does not exist": {"song": "gone.wav"},
    "a file that is not a song": {"song": "net.pth"},
    "a picture without matplotlib": {"picture": True},
    "a format that clips": {"clip_mode": "none", "depth": "auto"},
}
"""Options that are found wrong when a song is separated."""


@pytest.mark.parametrize("name", LATER)
def test_later_errors_name_no_flag(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("net.pth").write_bytes(b"x")
    Path("there/song").mkdir(parents=True)
    Path("there/song/vocals.wav").touch()
    channels = 6 if name == "too many channels" else 2
    rate = 384_000 if name == "a rate that is too high" else RATE
    soundfile.write("song.wav", noise(2000, channels), rate, "PCM_16")
    options = {"device": "cpu", **LATER[name]}
    chosen = options.pop("song", "song.wav")
    sent: list[Event] = []
    if name == "a rate that is too high":  # lower rates are converted; flac cannot
        options["format"] = "flac"
        soundfile.write("song.wav", noise(2000), 800_000, "PCM_16")
    if name == "a picture without matplotlib":
        monkeypatch.setitem(sys.modules, "stemcli.plots", None)
    with pytest.raises(stemcli.StemError) as caught:
        stemcli.separate(chosen, on_event=sent.append, **options)
    assert "--" not in without_shell_commands(str(caught.value))
    for event in sent:
        assert "--" not in without_shell_commands(getattr(event, "message", ""))


def without_shell_commands(message: str) -> str:
    """``message`` without commands for what Python has no function for."""
    return re.sub(r"(stem train|pip install)( --?[a-z-]+| [A-Z]+| \w+)+", "", message)


def test_convert_names_its_parameters(tmp_path: Path) -> None:
    with pytest.raises(stemcli.ConfigError, match=r"^name: 'spleeter_2stems' is a bundled") as one:
        convert(tmp_path / "x.pth", name="spleeter_2stems")
    assert "--" not in str(one.value)


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def test_a_file_object(tmp_path: Path, temporary: Path) -> None:
    """Seekable or not, it gives the stems of the file; temporary files are removed."""
    path = song(tmp_path / "song.wav")
    by_path = make_session(tmp_path / "path").separate_file(path)
    opened = make_session(tmp_path / "opened")
    with path.open("rb") as file:
        by_file = opened.separate_file(file)
        assert not file.closed
    reading, writing = os.pipe()
    sender = threading.Thread(target=lambda: send(writing, path.read_bytes()))
    sender.start()
    with os.fdopen(reading, "rb") as pipe:
        by_pipe = opened.separate_file(pipe, name="pipe.wav")
    sender.join()
    assert by_file.outputs["vocals"] == tmp_path / "opened/song/vocals.wav"
    assert by_pipe.outputs["vocals"] == tmp_path / "opened/pipe/vocals.wav"
    for stem, expected in by_path.outputs.items():
        assert by_file.outputs[stem].read_bytes() == expected.read_bytes()
        assert by_pipe.outputs[stem].read_bytes() == expected.read_bytes()
    assert files(temporary) == []


def send(descriptor: int, data: bytes) -> None:
    with os.fdopen(descriptor, "wb") as pipe:
        pipe.write(data)


def test_a_file_object_that_cannot_be_used(tmp_path: Path) -> None:
    session = make_session(tmp_path / "out")
    with pytest.raises(stemcli.UsageError, match=r"has no name\. Add one"):
        session.separate_file(io.BytesIO(b""))
    with pytest.raises(stemcli.UsageError, match=r"x\.wav was opened for text"):
        session.separate_file(io.StringIO("text"), name="x.wav")  # type: ignore[arg-type]
    sent: list[Event] = []
    session = make_session(tmp_path / "out", on_event=sent.append)
    with pytest.raises(stemcli.DecodeError, match=r"read from x\.wav: it is a text") as caught:
        session.separate_file(io.BytesIO(b"no sound"), name="../x.wav")
    assert sent[-1] == TrackFailed("x.wav", str(caught.value))
    assert files(tmp_path) == []


def test_a_url_is_downloaded(tmp_path: Path, temporary: Path) -> None:
    """Reference: the same song as a file. Nothing stays in the temporary folder after an error."""
    path = song(tmp_path / "song.wav")
    by_path = make_session(tmp_path / "path").separate_file(path)
    with serve() as server:
        url = server.add("/x/my%20song.wav", content(path.read_bytes()))
        by_url = make_session(tmp_path / "url").separate_file(url + "?key=1")
        assert by_url.outputs["vocals"] == tmp_path / "url/my song/vocals.wav"
        assert by_url.outputs["vocals"].read_bytes() == by_path.outputs["vocals"].read_bytes()
        with pytest.raises(stemcli.StorageError, match="404"):
            make_session(tmp_path / "none").separate_file(server.url + "/none.wav")
    assert files(temporary) == []
    local = make_session(tmp_path / "local").separate_file(f"file://{path}")
    assert local.outputs["vocals"].read_bytes() == by_path.outputs["vocals"].read_bytes()


def test_the_progress_of_a_download_is_an_event(tmp_path: Path) -> None:
    """The second half is sent after the first was reported."""
    data = song(tmp_path / "song.wav").read_bytes()
    data += bytes(2 * BLOCK - len(data))
    events: list[stemcli.Event] = []

    def on_event(event: stemcli.Event) -> None:
        events.append(event)
        server.released.set()

    with serve() as server:
        session = make_session(tmp_path / "out", on_event=on_event)
        session.separate_file(server.add("/x.wav", server.in_halves(data)))
    assert events[0] == stemcli.DownloadProgress("x.wav", BLOCK, 2 * BLOCK)


def test_an_array_gives_arrays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stems of the bundled model, of the same shape and type of values."""
    monkeypatch.chdir(tmp_path)
    stems = stemcli.separate(noise(4000), sample_rate=RATE, device="cpu")
    assert {name: (wave.shape, wave.dtype) for name, wave in stems.items()} == dict.fromkeys(
        ("vocals", "instrumental"), ((4000, 2), np.dtype(np.float32))
    )
    assert files(tmp_path) == []


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"song": "x.wav", "name": "y.wav"}, "name is for file objects and URLs"),
        ({"song": "x.wav", "on_evnt": print}, "unknown key 'on_evnt', did you mean 'on_event'"),
        ({"song": "x.wav", "nmae": "y.wav"}, "unknown key 'nmae', did you mean 'name'"),
        ({"song": np.zeros((9, 1)), "smaple_rate": 8000}, "did you mean 'sample_rate'"),
        ({"song": "x.wav", "end": float("inf")}, "end must be from 0 to 1,000,000 s.*found inf"),
        (
            {"song": "x.wav", "start": float("nan")},
            "start must be from 0 to .* found nan",
        ),
        ({"song": "x.wav", "segment": 1e9}, "segment must be from 0.25 to 600.0 seconds"),
        (
            {"song": "x.wav", "model": "spleeter_2stems,melroformer"},
            r"one model is named at a time; use model=\['spleeter_2stems', 'melroformer'\]",
        ),
        ({"song": "x.wav", "sample_rate": 8000}, "sample_rate is for waveforms"),
        ({"song": b"RIFF"}, r"song is bytes. Use song=io.BytesIO\(data\)"),
        ({"song": np.zeros((9, 1))}, "song is of type ndarray.*sample_rate=44100"),
        ({"song": None}, "song is of type NoneType"),
        (
            {"song": np.zeros((9, 1)), "sample_rate": 8000, "output": "x", "format": "mp3"},
            "^output, format: a waveform is returned",
        ),
    ],
)
def test_arguments_that_do_not_fit_the_song(arguments: dict[str, Any], sentence: str) -> None:
    with pytest.raises(stemcli.UsageError, match=sentence):
        stemcli.separate(**arguments)
    with pytest.raises(stemcli.UsageError, match=sentence):
        asyncio.run(stemcli.separate_async(**arguments))
