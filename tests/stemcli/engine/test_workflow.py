"""Workflows: files that name steps, and chains of networks that run them.

Truth by hand with networks that scale their input, and by the same steps run one after the other.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_zoo.catalogue.public import presets, public_models
from model_zoo.errors import ConfigError, UsageError
from stemcli.engine import workflow as module
from stemcli.engine.chain import ChainStream
from stemcli.engine.models import LoadedModel
from stemcli.engine.networks import load_networks
from stemcli.engine.options import Options
from stemcli.engine.overlap_add import Block
from stemcli.engine.session import Session
from stemcli.engine.workflow import REST, Workflow, read_workflow
from tests.stemcli.engine.stubs import CPU, Positional, Scaling, Stub, noise, stream

RATE = 8000
STEPS = """
description = "Lead and backing vocals, and the band"

[[steps]]
model = "first"
outputs = { a = "vocals", rest = "band" }

[[steps]]
input = "vocals"
model = ["second", "third"]
weights = [3, 1]
outputs = { b = "backing", a = "lead" }
"""


def test_the_example_names_stems_of_its_models() -> None:
    """Reference: the outputs that the catalogue states."""
    assert module.__doc__ is not None
    example = "".join(re.findall(r"^ {4}(.*\n)", module.__doc__, re.M))
    steps = read_workflow(example).steps
    assert [step.model for step in steps] == [("mel_band_roformer_kim",), ("karaoke",)]
    network, preset = public_models()["mel_band_roformer_kim"], presets()["karaoke"]
    assert {*steps[0].outputs} <= {*network.outputs, REST}
    assert {*steps[1].outputs} == {*preset.stems}


class Unchanged(Scaling):
    """A network whose stems stay as they are."""

    adds_up = False


def models() -> dict[str, Stub]:
    return {
        "first": Scaling(stems=("a", "b")),
        "second": Positional(stems=("a", "b"), sample_rate=6000, segment=300),
        "third": Scaling(stems=("a", "b", "c"), segment=100),
    }


def session(text: str, networks: dict[str, Stub] | None = None, **options: Any) -> Session:
    known = networks or models()
    chosen = Options(workflow=text, device="cpu", precision="fp32", **options)
    return Session(chosen, load=lambda name: LoadedModel(name, known[name]))


def test_outputs_that_no_step_uses_are_kept() -> None:
    workflow = read_workflow(STEPS)
    assert workflow.outputs == ("vocals", "band", "backing", "lead")
    assert workflow.stems == ("band", "backing", "lead")
    assert read_workflow(f'keep = ["lead", "vocals"]\n{STEPS}').stems == ("vocals", "lead")


def test_scales_by_hand() -> None:
    """0.1 of the song, then 0.2 of that; the rest of the first step is 0.9."""
    text = """
[[steps]]
model = "first"
outputs = { a = "x", rest = "y" }
[[steps]]
model = "third"
input = "x"
outputs = { b = "z" }
"""
    song = noise(1000)
    known = {"first": Unchanged(stems=("a",)), "third": Unchanged(stems=("a", "b"))}
    stems = session(text, known).separate_array(song, RATE)
    assert list(stems) == ["y", "z"]
    np.testing.assert_allclose(stems["y"], 0.9 * song, atol=1e-6)
    np.testing.assert_allclose(stems["z"], 0.02 * song, atol=1e-6)


@given(st.integers(1, 6000), st.integers(1, 2), st.integers(1, 3000))
@settings(max_examples=20)
def test_a_chain_equals_its_steps_one_after_the_other(
    frames: int, channels: int, size: int
) -> None:
    """Reference: the same networks on whole arrays, step by step."""
    known = models()

    def step(song: Block, **options: Any) -> dict[str, Block]:
        chosen = Options(device="cpu", precision="fp32", **options)
        return Session(chosen, load=lambda name: LoadedModel(name, known[name])).separate_array(
            song, RATE
        )

    song = noise(frames, channels)
    first = step(song, model="first", two_stems="a")
    second = step(first["a"], model=["second", "third"], weights=[3, 1], stems=["b", "a"])
    options = Options(workflow=STEPS, device="cpu", precision="fp32")
    chain = load_networks(options, CPU, lambda name: LoadedModel(name, known[name])).networks
    found = stream(ChainStream(chain, RATE, channels), song, size)
    expected = np.stack([first["b"], second["b"], second["a"]], axis=1)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_model_of_several_steps_is_loaded_once() -> None:
    loads = []

    def load(name: str) -> LoadedModel:
        loads.append(name)
        return LoadedModel(name, Scaling(stems=("a",)))

    text = '[[steps]]\nmodel = "m"\noutputs = { a = "x" }\n'
    again = '[[steps]]\nmodel = "m"\ninput = "x"\noutputs = { a = "y" }\n'
    Session(Options(workflow=text + again, device="cpu"), load=load).separate_array(noise(9), RATE)
    assert loads == ["m"]


def test_memory_does_not_grow_with_the_song() -> None:
    """Property: at most some chunks are held between the steps."""
    known = models()
    options = Options(workflow=STEPS, device="cpu", precision="fp32")
    chain = load_networks(options, CPU, lambda name: LoadedModel(name, known[name])).networks
    engine, held = ChainStream(chain, RATE, 1), []
    for _ in range(800):
        engine.push(noise(50, 1))
        held.append(engine.buffered)
    assert max(held[400:]) <= 1.1 * max(held[:400])


def test_the_journal_compares_the_content_of_a_workflow() -> None:
    """A changed step, or changed weights of a model, are another sound."""
    one, same = session(STEPS).settings, session(f"{STEPS}\n# a comment\n").settings
    assert one == same
    assert session(STEPS.replace("[3, 1]", "[1, 1]")).settings != one
    assert [name for name, _ in one["model"]] == ["first", "second", "third"]


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('"vocals"\nmodel', '"vocls"\nmodel', "step 2 has an unknown input 'vocls'; did you mean"),
        ('a = "lead"', 'a = "band"', "two outputs are called 'band'"),
        ('a = "lead"', 'rest = "lead", a = "c"', "rest needs exactly one stem beside it"),
        ('"backing", a = "lead"', '"mixture"', "two outputs are called 'mixture'"),
        ("description", 'keep = ["led"]\ndescription', "keep names an unknown output 'led'"),
        ("input =", "inptu =", "unknown key 'inptu', did you mean 'input'"),
        ('model = "first"', "model = 1", "model must be a list"),
        ("[[steps]]", "[steps]", "cannot be used"),
        (STEPS, "\n", "key 'steps' is missing"),
        (STEPS, "\nsteps = []", "there is no step"),
    ],
)
def test_mistakes_are_named(old: str, new: str, says: str) -> None:
    assert old in STEPS
    with pytest.raises(UsageError, match=says):
        read_workflow(STEPS.replace(old, new))


def test_a_missing_file_and_a_song_are_no_workflows(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot be read \(No such file"):
        read_workflow(str(tmp_path / "none.toml"))
    song = tmp_path / "song.toml"
    song.write_bytes(bytes(range(256)))
    with pytest.raises(UsageError, match="cannot be used"):
        read_workflow(str(song))


@pytest.mark.parametrize("field", ["model", "phase_model", "stems", "two_stems"])
def test_a_workflow_and_a_model_contradict_each_other(field: str) -> None:
    with pytest.raises(ConfigError, match=f"workflow and {field} contradict"):
        Options(workflow=STEPS, **{field: "x"})


def test_a_workflow_comes_back_from_its_dictionary() -> None:
    """Property: a cluster gets options as plain values."""
    workflow = read_workflow(STEPS)
    assert Workflow.from_dict(workflow.to_dict()) == workflow
