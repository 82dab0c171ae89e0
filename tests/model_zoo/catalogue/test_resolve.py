"""Arguments of ``--model`` and ``--from``. Expected: the error messages for users."""

from __future__ import annotations

from pathlib import Path

import pytest

from model_zoo import weights
from model_zoo.catalogue.cards import Card
from model_zoo.catalogue.install import install
from model_zoo.catalogue.names import is_path
from model_zoo.catalogue.resolve import BEST, LAST, RECIPE, no_run, resolve_weights
from model_zoo.errors import NoModelError, UnknownNameError, UsageError
from model_zoo.files import SUFFIX
from tests.model_zoo.small import small_network


@pytest.fixture(autouse=True)
def work_folder(tmp_path: Path, zoo: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: a finished run, two that just started, songs, and an empty folder."""
    weights.save(tmp_path / "runs" / "toy" / BEST, small_network())
    for name in (LAST, RECIPE):
        (tmp_path / "runs" / "toy" / name).touch()
    for run, *names in (("young", RECIPE, LAST), ("new", RECIPE)):
        (tmp_path / run).mkdir()
        for name in names:
            (tmp_path / run / name).touch()
    (tmp_path / "songs").mkdir()
    for name in "abcd":
        (tmp_path / "songs" / f"{name}.wav").touch()
    (tmp_path / "empty").mkdir()
    (tmp_path / "net.pth").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("argument", ["runs/toy", "runs/toy/", f"runs/toy/{BEST}", "./runs/toy"])
def test_a_run_resolves_to_its_best_weights(argument: str) -> None:
    assert resolve_weights(argument) == Path("runs/toy") / BEST


def test_a_model_takes_precedence_over_a_folder_of_the_same_name(
    work_folder: Path, zoo: Path
) -> None:
    (work_folder / "runs" / "toy").rename(work_folder / "toy")
    assert resolve_weights("toy") == Path("toy") / BEST
    install(small_network(), Card("toy", "melrnn", stems=("vocals",)))
    assert resolve_weights("toy") == zoo / "toy.safetensors"
    assert resolve_weights("./toy") == Path("toy") / BEST


def test_the_example_is_not_the_missing_run_itself(
    work_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no run exists, the example is the default folder, or another if that is missing."""
    (work_folder / "nothing").mkdir()
    monkeypatch.chdir(work_folder / "nothing")
    for name, example in {"runs/latest": "runs/mine", "my.safetensors": "runs/latest"}.items():
        with pytest.raises(NoModelError, match=f"^{name} does not exist.* e.g. {example}, or a"):
            resolve_weights(name)


RUN = "Use the folder of a run, e.g. runs/toy, or a .safetensors file"
ON = "the run has not been validated or finished. Try: stem train --data DIR --output"


@pytest.mark.parametrize(
    ("argument", "sentence"),
    [
        (
            f"runs/toy/{LAST}",
            f"runs/toy/{LAST} is a checkpoint for resume. For the best weights of"
            " the run use its folder: runs/toy",
        ),
        (
            f"young/{LAST}",
            f"young has no {BEST} yet, only {LAST} and {RECIPE}: {ON} young --resume",
        ),
        ("young", f"young has no {BEST} yet, only {LAST} and {RECIPE}: {ON} young --resume"),
        ("new", f"new has no {BEST} yet, only {RECIPE}: {ON} new"),
        ("runs", "runs holds toy, so it is not the folder of a run. Try: runs/toy"),
        (
            "songs",
            "songs holds a.wav, b.wav, c.wav and 1 more, so it is not the folder of a run. " + RUN,
        ),
        ("empty", f"empty is an empty folder, so it is not the folder of a run. {RUN}"),
        ("runs/tov", "runs/tov does not exist. Did you mean runs/toy?"),
        (f"rusn/toy/{BEST}", f"rusn/toy/{BEST} does not exist. Did you mean runs/toy/{BEST}?"),
        (f"runs/toy/bset{SUFFIX}", f"does not exist. Did you mean runs/toy/{BEST}?"),
        ("nowhere/run", f"nowhere/run does not exist. {RUN}"),
        ("gone.safetensors", f"gone.safetensors does not exist. {RUN}"),
        ("model_bs_roformer_ep_317_sdr_12.9775.ckpt", "Did you mean model_bs_roformer_ep_317_sdr"),
        ("xyzzy-model.ckpt", "run: model_zoo.importers.convert('xyzzy-model.ckpt', name='NAME')"),
        ("UVR-BVE-4B_SN-44100-2.pth", "weights of UVR's VR networks cannot be used yet"),
        (
            "net.pth",
            "net.pth is not a .safetensors file. To convert a checkpoint of another program: "
            "model_zoo.importers.convert('net.pth', name='NAME')",
        ),
        ("melunet", "melunet is a network without weights. Try: stem train --recipe melunet"),
        ("spleeter", "spleeter is an architecture, not a model. Did you mean spleeter_2stems?"),
    ],
)
def test_invalid_models_are_reported_in_one_sentence(argument: str, sentence: str) -> None:
    with pytest.raises(NoModelError) as caught:
        resolve_weights(argument)
    assert sentence in str(caught.value)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("argument", ["", "melrofomer", "v1.2"])
def test_other_arguments_are_names(argument: str) -> None:
    assert not is_path(argument)
    with pytest.raises(UnknownNameError, match="stem models list"):
        resolve_weights(argument)


@pytest.mark.parametrize(
    ("folder", "problem"),
    [
        ("gone", "gone does not exist, so there is no run to resume"),
        ("net.pth", "net.pth is a file, so there is no run in it to resume"),
        ("new", f"new holds no run to resume: there is no {LAST}"),
    ],
)
def test_nothing_to_resume_is_reported_in_one_sentence(folder: str, problem: str) -> None:
    advice = "Use --output with the folder of a run, or leave out --resume"
    error = no_run(Path(folder))
    assert (type(error), str(error)) == (UsageError, f"{problem}. {advice}")
