"""Names of options in messages: fields, flags, and settings where their values come from."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading

import pytest

from model_zoo.errors import OutputError, StemError, describe_error, errors_about
from model_zoo.option_names import (
    VARIABLE,
    Verbatim,
    command_line,
    contradiction,
    convert_command,
    flags_in_use,
    names_flags,
    option,
    setting,
    subject,
    use_flags,
)


def test_a_python_program_reads_fields() -> None:
    assert option("depth") == subject("depth") == "depth"
    assert setting(track=Verbatim("N"), model=("a", "b")) == "track=N, model=['a', 'b']"
    assert subject("model", ("a", "b")) == "model=['a', 'b']"
    assert convert_command("a b.pth", "x") == "model_zoo.importers.convert('a b.pth', name='x')"


def test_a_command_reads_flags() -> None:
    with command_line():
        assert option("depth") == subject("depth") == "--bit-depth"
        assert option("stems", "--stem") == "--stem"
        assert setting(track=Verbatim("N"), model=("a", "b")) == "--track N --model a --model b"
        assert setting(stems=("a", "b"), existing="overwrite") == "--stems a,b --overwrite"
        assert subject("model", ("a", "b")) == "--model a --model b"
        assert contradiction("bitrate", "quality") == (
            "--bitrate and --quality contradict each other; use one of them"
        )


def test_a_complaint_names_the_setting_and_advice_the_flag() -> None:
    with command_line({"depth": "STEM_BIT_DEPTH", "model": "model in a b.toml"}):
        assert subject("depth") == "STEM_BIT_DEPTH"
        assert subject("depth", "24") == "'24' from STEM_BIT_DEPTH"
        assert subject("model", ("a", "b")) == "'a,b' from model in a b.toml"
        assert option("depth") == "--bit-depth"
        assert setting(depth="24") == "--bit-depth 24"
        assert subject("format") == "--format"
        assert contradiction("depth", "format") == (
            "STEM_BIT_DEPTH and --format contradict each other; use one of them"
        )


def test_all_threads_and_child_processes_know_the_names() -> None:
    found: list[str] = []
    code = "from model_zoo.option_names import *; print(option('depth'), subject('depth'))"
    with command_line({"depth": "STEM_BIT_DEPTH"}):
        thread = threading.Thread(target=lambda: found.append(subject("batch_size")))
        thread.start()
        thread.join()
        child = [sys.executable, "-c", code]
        found.append(subprocess.run(child, capture_output=True, text=True, check=True).stdout)
        error = pickle.dumps(OutputError(setting(existing="skip", output="a b")))
    assert found == ["--batch-size", "--bit-depth STEM_BIT_DEPTH\n"]
    assert str(pickle.loads(error)) == "--skip-existing --output 'a b'"


def test_names_return_to_those_before() -> None:
    assert not names_flags()
    with command_line():
        assert flags_in_use() == {}
        with command_line({"seed": "STEM_SEED"}):
            assert flags_in_use() == {"seed": "STEM_SEED"}
        assert flags_in_use() == {}
        with pytest.raises(KeyError), command_line({"seed": "STEM_SEED"}):
            raise KeyError
        assert flags_in_use() == {}
    assert flags_in_use() is None
    assert VARIABLE not in os.environ


@pytest.mark.parametrize("origins", [None, {}, {"device": "STEM_DEVICE"}])
def test_another_process_takes_the_names_over(origins: dict[str, str] | None) -> None:
    with command_line():
        use_flags(origins)
        assert flags_in_use() == origins
        assert names_flags() == (origins is not None)


def test_an_error_about_an_option_names_its_setting() -> None:
    """The sentence itself stays, and the first who knows the option is right."""
    with pytest.raises(StemError) as caught, errors_about("phase_model"):
        raise OutputError("It is full").about("output")
    for error in (caught.value, pickle.loads(pickle.dumps(caught.value))):
        assert describe_error(error) == str(error) == "It is full"
        with command_line({"phase_model": "STEM_PHASE_MODEL"}):
            assert describe_error(error) == "It is full"
        with command_line({"output": "STEM_OUTPUT"}):
            assert (describe_error(error), str(error)) == (
                "It is full (from STEM_OUTPUT)",
                "It is full",
            )
    with pytest.raises(StemError) as caught, errors_about("phase_model"):
        raise OutputError("It is full")
    assert caught.value.option == "phase_model"
