"""Errors about values from settings: they name where a value is set, and blame no other setting.

The engine is replaced where the words of its errors do not matter.
"""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path

import pytest
import soundfile

from model_zoo.errors import DeviceError, StemError, UnknownNameError
from model_zoo.option_names import command_line, option
from stemcli.audio.tracks import NoTrackError
from stemcli.cli.batch import command as batch
from stemcli.cli.fitting_settings import EXCLUSIVE
from tests.stemcli.batch.fake import make_songs
from tests.stemcli.cli.conftest import Engine, RunStem, Store
from tests.stemcli.engine.stubs import noise
from trainers.data.layouts.checks import MissingStemsError


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("STEM_FORMAT", "mp4", "Error: Invalid value for STEM_FORMAT: 'mp4' is not one of "),
        ("STEM_JOBS", "many", "Error: Invalid value for STEM_JOBS: 'many' is not a whole number"),
        ("STEM_SEGMENT", "soon", "Error: Invalid value for STEM_SEGMENT: 'soon' is not a time."),
        (
            "STEM_OVERWRITE",
            "perhaps",
            "Error: Invalid value for STEM_OVERWRITE: 'perhaps' is",
        ),
        ("STEM_SEGMENT", "0.1", "Error: STEM_SEGMENT must be from 0.25 to 600.0 seconds"),
        ("STEM_MODEL", "melrofrmer", "Error: Unknown model 'melrofrmer': did you mean 'melrof"),
        ("STEM_FILENAME", "{trak}", "Error: STEM_FILENAME: unknown field {trak}"),
    ],
)
def test_errors_name_the_variable(
    name: str, value: str, sentence: str, run_stem: RunStem, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    (tmp_path / "song.wav").touch()
    monkeypatch.setenv(name, value)
    result = run_stem("separate", "song.wav")
    assert result.exit_code == 2
    assert result.stderr.startswith(sentence)
    assert name in result.stderr
    assert f"--{name.removeprefix('STEM_').lower()}" not in result.stderr


@pytest.mark.parametrize(
    ("name", "value", "beginning", "end"),
    [
        (
            "STEM_PHASE_MODEL",
            "spleeter_2stems",
            "'spleeter_2stems' from STEM_PHASE_MODEL: this network",
            "Use --model spleeter_2stems",
        ),
        ("STEM_PHASE_MODEL", "nope", "Unknown model 'nope'", "(from STEM_PHASE_MODEL)"),
        ("STEM_OUTPUT", "song.wav", "", "Choose another --output (from STEM_OUTPUT)"),
        ("STEM_OUTPUT", "-", "-o - writes a stem of one song", "(from STEM_OUTPUT)"),
        ("STEM_OUTPUT", "nope://x", "", "(from STEM_OUTPUT)"),
        ("STEM_STEMS", "vocls", "Unknown stem 'vocls'", "(from STEM_STEMS)"),
        ("STEM_TWO_STEMS", "vocls", "Unknown stem 'vocls'", "(from STEM_TWO_STEMS)"),
        ("STEM_STEMS", "instrumental,no_vocals", "STEM_STEMS: ", "twice; name it once"),
        ("STEM_DEVICE", "cuda:99", "", "best available (from STEM_DEVICE)"),
        ("STEM_MODEL", "a,a", "a model is named twice ('a,a' from STEM_MODEL)", ""),
        ("STEM_FILENAME", "{stem}.{ext}", "", "Add {track} to --filename (from STEM_FILENAME)"),
    ],
)
def test_complaints_name_the_variable_and_advice_the_flag(
    name: str, value: str, beginning: str, end: str, run_stem: RunStem, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    for song in ("song.wav", "other.wav"):
        soundfile.write(tmp_path / song, noise(100), 8000)
    monkeypatch.setenv(name, value)
    result = run_stem("separate", "song.wav", "other.wav")
    assert result.exit_code != 0
    errors = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert [line.count("STEM_") for line in errors] == [1]
    assert errors[0].startswith(f"Error: {beginning}")
    assert errors[0].endswith(end)


def test_errors_name_the_file(store: Store, run_stem: RunStem, tmp_path: Path) -> None:
    (tmp_path / "song.wav").touch()
    file = store('format = "mp3"\nbitrate = 5000')
    assert run_stem("separate", "song.wav").stderr == (
        f"Error: bitrate in {file} of mp3 goes from 64 to 320, found 5000\n"
    )
    file = store('model = "melrofrmer"')
    assert run_stem("separate", "song.wav").stderr.endswith(
        f"did you mean 'melroformer'? See: stem models list (from model in {file})\n"
    )
    file = store('jobs = "many"')
    assert f"Invalid value for jobs in {file}: 'many'" in run_stem("separate", "song.wav").stderr
    file = store("skip_existing = true\noverwrite = true")
    assert run_stem("separate", "song.wav").stderr.startswith(
        f"Error: skip_existing in {file} and overwrite in {file} contradict each other"
    )


def test_options_that_contradict_each_other(store: Store, run_stem: RunStem) -> None:
    """Typed ones are refused with their flags; these are the pairs of which a stronger one wins."""
    values = {"stems": "vocals", "two_stems": "drums", "bitrate": "192", "quality": "2"}
    for pair in EXCLUSIVE:
        with command_line():
            flags = [option(name) for name in pair]
            typed = [word for name in pair for word in (option(name), values.get(name)) if word]
        result = run_stem("separate", "song.wav", "-f", "mp3", *typed)
        assert f"{flags[0]} and {flags[1]} contradict each other; use one of them" in result.stderr


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        (
            ("separate", "song.wav", "--bitrate", "5000"),
            "--bitrate of mp3 goes from 64 to 320, found 5000",
        ),
        (
            ("separate", "song.wav", "-m", "spleeter_2stems", "--stems", "vocls"),
            "Unknown stem 'vocls': did you mean 'vocals'?",
        ),
        # The values of these settings are words of the sentences.
        (("batch", "song.mp3"), "song.mp3 is a file. Try: stem separate song.mp3"),
        (("separate", "Music"), "Music is a folder. Try: stem batch Music"),
        (
            ("separate", "song.wav", "--stems", "piano"),
            "Unknown stem 'piano': known: vocals, instrumental. To see models that give piano:"
            " stem models list --stem piano",
        ),
    ],
)
def test_errors_about_what_was_typed_name_no_setting(
    typed: tuple[str, ...], sentence: str, store: Store, run_stem: RunStem, tmp_path: Path
) -> None:
    store('format = "mp3"\nmodel = "melroformer"\noutput = "Music"')
    make_songs(tmp_path, "song.wav", "song.mp3", "Music/song.wav")
    assert run_stem(*typed).stderr == f"Error: {sentence}\n"


def test_a_value_that_is_refused_when_it_is_typed(run_stem: RunStem) -> None:
    assert "Invalid value for '-f' / '--format'" in run_stem("separate", "x", "-f", "mp4").stderr


ERRORS: tuple[tuple[StemError, int], ...] = (
    (DeviceError("cuda is not available"), 2),
    (UnknownNameError("model", "x", ["y"], instead="it is not installed"), 2),
    (NoTrackError("There is no third track"), 1),
    (MissingStemsError(["there are no vocals"], {"drums"}), 2),
)


@pytest.mark.parametrize(("error", "exit_code"), ERRORS, ids=lambda one: type(one).__name__)
def test_errors_keep_their_class_attributes_and_exit_code(
    error: StemError, exit_code: int, store: Store, run_stem: RunStem, engine: Engine
) -> None:
    file = store('device = "cuda"')
    engine.error = copy.copy(error).about("device")
    sentence = f"{error} (from device in {file})"
    result = run_stem("separate", "song.wav")
    assert (result.exit_code, result.stderr) == (exit_code, f"Error: {sentence}\n")
    result = run_stem("separate", "song.wav", "--json")
    document = json.loads(result.stdout)
    assert document.pop("schema") >= 1
    assert document == {
        "event": "error", "kind": type(error).__name__, "message": sentence,
        "exit_code": exit_code,
    }  # fmt: skip
    make_songs(Path(), "Music/song.wav")
    with pytest.raises(type(error)) as caught:
        batch.main(["Music"], standalone_mode=False)
    assert {**vars(caught.value), "option": ""} == {**vars(error), "option": ""}
    assert str(caught.value) == sentence


def test_errors_of_single_songs_name_the_setting(
    run_tiny: RunStem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The depth of the stems is that of the song, so the song decides whether they clip."""
    soundfile.write(tmp_path / "song.wav", noise(4000), 8000, "PCM_16")
    monkeypatch.setenv("STEM_CLIP_MODE", "none")
    documents = run_tiny("separate", "song.wav", "--json").stdout.splitlines()
    failed = [json.loads(line) for line in documents if '"track_failed"' in line]
    assert [event["message"] for event in failed] == [
        "'none' from STEM_CLIP_MODE would let wav at 16 bit clip; use --bit-depth 32f"
    ]


def test_errors_of_child_processes_name_the_setting(
    run_stem: RunStem, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each speed is measured in a process of its own."""
    monkeypatch.setenv("STEM_DEVICE", "cuda:99")
    result = run_stem("eval", "speed", "-m", "spleeter_2stems")
    assert result.exit_code == 2
    assert re.match(r"Error: (No CUDA GPU is visible|There is no 'cuda:99')", result.stderr)
    assert result.stderr.endswith("best available (from STEM_DEVICE)\n")
