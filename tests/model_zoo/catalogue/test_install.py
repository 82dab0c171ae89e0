"""Adding a run to the zoo. Reference: the weights of the run; texts written by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from model_zoo import weights
from model_zoo.catalogue import cards, resolve
from model_zoo.catalogue.cards import find
from model_zoo.catalogue.install import DEFINITION, add_run, install
from model_zoo.catalogue.resolve import BEST, RECIPE, SUMMARY
from model_zoo.errors import ConfigError, StemError
from tests.model_zoo.small import small_network

FULL_SUMMARY = {
    "recipe": "four-stems",
    "step": 12_000,
    "best_mean": 5.256,
    "sdr": {"vocals": 5.256},
    "songs": 87,
    "validation_songs": 14,
    "data": "musdb18hq",
}


@pytest.fixture
def run(tmp_path: Path, zoo: Path) -> Path:
    """The folder of a finished run, with weights in half precision."""
    folder = tmp_path / "run"
    weights.save(folder / BEST, small_network(), {"residual": "band"}, half=True)
    (folder / RECIPE).write_text(json.dumps({"name": "tiny"}))
    return folder


def summarize(run: Path, **changes: Any) -> None:
    (run / SUMMARY).write_text(json.dumps(FULL_SUMMARY | changes))


def test_the_model_computes_the_same_as_the_run(run: Path) -> None:
    """Bit for bit, with tensors of the same dtypes."""
    add_run(run, name="mine")
    added, original = resolve.load("mine"), resolve.load(run / BEST)
    mixture = torch.sin(torch.arange(16_000) ** 1.5 / 40).reshape(1, 1, -1)
    assert torch.equal(added(mixture), original(mixture))
    kinds = {tensor.dtype for tensor in weights.read(find_file("mine")).tensors.values()}
    assert kinds == {tensor.dtype for tensor in weights.read(run / BEST).tensors.values()}


def find_file(name: str) -> Path:
    return cards.verify(find(name))


def test_the_card_has_the_facts_of_the_run(run: Path) -> None:
    summarize(run)
    card = add_run(run, name="mine", licence="CC0")
    assert find("mine") == card
    assert (card.architecture, card.outputs) == ("melrnn", ("vocals", "band"))
    assert (card.sample_rate, card.licence) == (16_000, "CC0")
    assert card.parameters == small_network().parameter_count()
    assert card.source == "Trained with stem, recipe four-stems, best weights of 12,000 steps"
    assert card.training_data == "87 songs of the folder musdb18hq"
    (score,) = card.scores
    assert score.dataset == "14 validation songs, by which the step was chosen"
    assert score.stem == "vocals"
    assert (score.metric, score.definition, score.value) == ("SDR", DEFINITION, 5.26)


def test_unknown_facts_are_left_out(run: Path) -> None:
    card = add_run(run, name="mine")
    assert card.licence == "not stated"
    assert card.source == "Trained with stem, recipe tiny"
    assert (card.training_data, card.scores) == ("", ())


@pytest.mark.parametrize(
    "changes",
    [{"best_mean": None, "validation_songs": 0}, {"sdr": {"vocals": float("-inf")}}],
    ids=["not validated", "not finite"],
)
def test_an_undefined_score_is_left_out(run: Path, changes: dict[str, Any]) -> None:
    summarize(run, **changes)
    assert add_run(run, name="mine").scores == ()


def test_one_song_is_in_the_singular(run: Path) -> None:
    summarize(run, songs=1, validation_songs=1, data="", step=1)
    card = add_run(run, name="mine")
    assert card.training_data == "1 song"
    assert card.source.endswith(", best weights of 1 step")
    assert card.scores[0].dataset == "1 validation song, by which the step was chosen"


def test_unknown_keys_of_a_summary_are_ignored(run: Path) -> None:
    summarize(run, hours=3)
    assert add_run(run, name="mine").training_data == "87 songs of the folder musdb18hq"


def test_a_weights_file_finds_the_summary_of_its_run(run: Path) -> None:
    summarize(run)
    assert add_run(run / BEST, name="mine").training_data == "87 songs of the folder musdb18hq"


def test_a_file_from_elsewhere(run: Path, tmp_path: Path) -> None:
    (run / BEST).rename(tmp_path / "friend.safetensors")
    card = add_run(tmp_path / "friend.safetensors", name="friend")
    assert (card.source, card.outputs) == ("Weights file friend.safetensors", ("vocals", "band"))


def test_a_residual_that_is_a_stem_is_ignored(run: Path) -> None:
    weights.save(run / BEST, small_network(), {"residual": "vocals"})
    assert add_run(run, name="mine").outputs == ("vocals",)


def pretrained(run: Path) -> Path:
    weights.save(run / BEST, small_network(), {"objective": "denoising"})
    return run


def a_song(run: Path) -> Path:
    (run / "song.wav").touch()
    return run / "song.wav"


def truncated(run: Path) -> Path:
    (run / BEST).write_bytes((run / BEST).read_bytes()[:500])
    return run


def of_another_program(run: Path) -> Path:
    weights.write_safetensors(run / BEST, {"a": torch.zeros(1)}, {})
    return run


def a_bad_summary(run: Path) -> Path:
    summarize(run, step="many")
    return run


def a_truncated_summary(run: Path) -> Path:
    (run / SUMMARY).write_text('{"step":')
    return run


def a_list(run: Path) -> Path:
    (run / SUMMARY).write_text("[1]")
    return run


@pytest.mark.parametrize(
    ("make", "code", "sentence"),
    [
        (
            a_song,
            2,
            r"song\.wav is not a \.safetensors file\..*importers\.convert\('.*song\.wav', name=",
        ),
        (
            pretrained,
            2,
            r"run was pretrained by denoising and cannot separate yet.*train --from \S+run$",
        ),
        (truncated, 1, r"best\.safetensors is damaged or is not a safetensors file"),
        (of_another_program, 1, r"does not say which network.*importers\.convert"),
        (
            a_bad_summary,
            1,
            r"summary\.json cannot be used .*step must be a whole number, found 'many'",
        ),
        (a_truncated_summary, 1, r"summary\.json cannot be used .*Remove it"),
        (a_list, 1, r"summary\.json cannot be used \(it is not a mapping\)"),
    ],
)
def test_invalid_runs_are_refused(
    run: Path, zoo: Path, make: Callable[[Path], Path], code: int, sentence: str
) -> None:
    with pytest.raises(StemError, match=sentence) as caught:
        add_run(make(run), name="mine")
    assert caught.value.exit_code == code
    assert not (zoo / "mine.toml").exists()


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("taken", "'taken' is in your zoo already"),
        ("melroformer", "'melroformer' is a bundled model"),
        ("Mine!", "a name has lower-case letters"),
    ],
)
def test_taken_and_invalid_names_are_refused(run: Path, name: str, sentence: str) -> None:
    add_run(run, name="taken")
    before = find("taken")
    with pytest.raises(ConfigError, match=sentence):
        add_run(run, name=name)
    assert find("taken") == before


def test_own_models_can_be_replaced(run: Path) -> None:
    network = small_network()
    with torch.no_grad():
        for weight in network.parameters():
            weight.zero_()
    install(network, add_run(run, name="mine"), overwrite=True)
    add_run(run, name="mine", overwrite=True)
    expected = resolve.load(run / BEST).state_dict()
    state = resolve.load("mine").state_dict()
    assert all(value.equal(expected[name]) for name, value in state.items())
