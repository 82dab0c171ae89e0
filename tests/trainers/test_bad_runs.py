"""``stem train`` with bad checkpoints, disks and luck, as it is typed.

Truth: exit codes of the README; one sentence with what was found and what to type; no file that was
not there; the last good checkpoint byte for byte.
"""

from __future__ import annotations

import errno
import json
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.tensorboard.writer import FileWriter

from model_zoo import weights
from model_zoo.catalogue import resolve
from model_zoo.catalogue.resolve import LAST
from model_zoo.weights import read_safetensors, write_safetensors
from tests.trainers.commands import Spoil, changed, refused, train
from trainers.loop import checks
from trainers.loop.checks import lock_folder


def rewritten(change: Callable[[dict[str, Any], dict[str, str]], object]) -> Spoil:
    """The checkpoint with other tensors or texts."""

    def spoil(run: Path) -> None:
        tensors, texts = read_safetensors(run / LAST)
        change(tensors, texts)
        write_safetensors(run / LAST, tensors, texts)

    return spoil


def counted(texts: dict[str, str], step: str) -> None:
    """Another number of steps, as JSON or more than JSON would have it."""
    counters = json.loads(texts["progress"])
    others = ", ".join(f'"{key}": {json.dumps(counters[key])}' for key in counters if key != "step")
    texts["progress"] = f'{{"step": {step}, {others}}}'


def widened(recipe: Path, **options: int) -> None:
    values = json.loads(recipe.read_text())
    values["model"]["options"] |= options
    recipe.write_text(json.dumps(values))


BAD_CHECKPOINTS: dict[str, tuple[Spoil, str]] = {
    "cut short": (
        lambda run: (run / LAST).write_bytes((run / LAST).read_bytes()[:5000]),
        "last.safetensors is damaged",
    ),
    "empty": (lambda run: (run / LAST).write_bytes(b""), "last.safetensors is damaged"),
    "other weights": (
        lambda run: (run / LAST).write_bytes((run / "best.safetensors").read_bytes()),
        "last.safetensors is not the checkpoint of a run",
    ),
    "counters that are words": (
        rewritten(lambda _, texts: texts.update(progress='{"step": "x", "ema_updates": null}')),
        "its counter step is 'x'",
    ),
    **{
        f"a counter of {value}": (
            rewritten(lambda _, texts, value=value: counted(texts, value)),
            "does not fit this recipe or is damaged: its counter step is",
        )
        for value in ("-1", "NaN")
    },
    "a counter of 5,000 digits": (
        rewritten(lambda _, texts: counted(texts, "9" * 5000)),
        "does not fit this recipe or is damaged",
    ),
    "counters nested without end": (
        rewritten(lambda _, texts: texts.update(progress="[" * 100_000)),
        "does not fit this recipe or is damaged: it is nested too deeply",
    ),
    "an optimizer's step of -5": (
        rewritten(lambda tensors, _: [tensors[n].fill_(-5) for n in tensors if ".step" in n]),
        "its optimizer took -5 steps",
    ),
    "a recipe of a giant network": (
        lambda run: widened(run / "recipe.json", hidden_channels=20_000),
        "last.safetensors does not fit this recipe or is damaged: ",
    ),
    "a recipe nested without end": (
        lambda run: (run / "recipe.json").write_text("[" * 100_000),
        "recipe.json is damaged",
    ),
    "a tensor less": (
        rewritten(lambda tensors, _: tensors.pop(next(n for n in tensors if "model." in n))),
        "missing",
    ),
    "a recipe cut short": (
        lambda run: (run / "recipe.json").write_text('{"seed": 1'),
        "recipe.json is damaged. Use --recipe with the recipe that the run was started with",
    ),
}


@pytest.mark.parametrize("kind", BAD_CHECKPOINTS)
def test_bad_checkpoints(tiny: Path, place: Path, kind: str) -> None:
    assert train().exit_code == 0
    spoil, sentence = BAD_CHECKPOINTS[kind]
    spoil(place / "run")
    before = (place / "run" / LAST).read_bytes()
    refused(train("--resume", *changed("schedule.steps=6"), recipe=""), 1, sentence)
    assert (place / "run" / LAST).read_bytes() == before


@pytest.mark.parametrize(
    ("change", "version"),
    [
        (lambda _, texts: texts.pop("format"), "an earlier"),
        (lambda _, texts: texts.update(format="3"), "a later"),
    ],
)
def test_runs_of_another_version(
    tiny: Path, place: Path, change: Callable[[Any, dict[str, str]], object], version: str
) -> None:
    """By hand: format 1 had no entry for it, and recipes with a key that no longer exists.

    The weights of such a run are loaded.
    """
    assert train().exit_code == 0
    rewritten(change)(place / "run")
    recipe = place / "run" / "recipe.json"
    recipe.write_text(recipe.read_text().replace('"optimizer"', '"optimiser"'))
    told = (
        f"run was trained by {version} version of Stem and cannot be resumed: start from its "
        "weights with --from run and another --output"
    )
    refused(train("--resume", recipe=""), 1, told)
    refused(train("--resume"), 1, told)
    refused(train(), 1, told)
    assert told in train("--dry-run").stderr
    assert train("--from", "run", "--output", "next").exit_code == 0


def test_a_checkpoint_of_another_recipe(tiny: Path, gan: Path, place: Path) -> None:
    assert train().exit_code == 0
    before = (place / "run" / LAST).read_bytes()
    refused(train("--resume", recipe="gan.yaml"), 1, "it has model, the recipe model and disc")
    larger = train("--resume", *changed("model.options.num_layers=2"))
    refused(larger, 1, "freq_blocks.1.att.c_attn.weight", "more missing. Leave out --recipe and")
    assert (place / "run" / LAST).read_bytes() == before


def test_a_damaged_history_loses_its_bad_lines(tiny: Path, place: Path) -> None:
    assert train().exit_code == 0
    history = place / "run/history.jsonl"
    good = history.read_bytes()
    history.write_bytes(b"\xff\xfe{\n[]\nnull\n" + good + b'{"step": 4, "lo')
    assert train("--resume").exit_code == 0
    assert history.read_bytes() == good


def test_a_finished_run_says_how_to_go_on(tiny: Path, place: Path) -> None:
    assert train().exit_code == 0
    before = (place / "run" / LAST).read_bytes()
    (place / "run/best.safetensors").unlink()
    done = train("--resume", recipe="")
    assert done.exit_code == 0
    assert "all steps had been done before; for more, use --set schedule.steps=8" in done.stderr
    assert resolve.load("run/best.safetensors").stems == ("vocals",)
    assert (place / "run" / LAST).read_bytes() == before
    assert "step 8/8" in train("--resume", *changed("schedule.steps=8"), recipe="").stderr


def test_resuming_with_other_values_says_which(tiny: Path, place: Path) -> None:
    """By hand: the recipe in the file has four steps and the seed 3."""
    told = "Resuming with changed values: "
    assert train(*changed("seed=5")).exit_code == 0
    assert told not in train("--resume", recipe="").stderr
    lines = train("--resume", *changed("schedule.steps=5")).stderr.splitlines()
    assert [line for line in lines if line.startswith(told)] == [
        f"{told}schedule.steps 4 -> 5; seed 5 -> 3"
    ]


def test_starting_from_the_folder_of_a_run(tiny: Path, place: Path) -> None:
    assert train().exit_code == 0
    (place / "run").rename(place / "first")
    assert train("--from", "first", "--dry-run").exit_code == 0
    refused(
        train("--from", f"first/{LAST}"),
        2,
        "For the best weights of the run use its folder: first",
    )
    refused(train("--from", "gone.safetensors"), 2, "gone.safetensors does not exist. Use the")


@pytest.mark.parametrize(
    ("precision", "kind"),
    [
        ("fp32", "gan"),
        ("fp16", "tiny"),
        pytest.param("fp32", "tiny", marks=pytest.mark.slow),
        pytest.param("fp16", "gan", marks=pytest.mark.slow),
    ],
)
def test_a_run_that_diverges_keeps_its_last_checkpoint(
    kind: str, precision: str, place: Path, request: pytest.FixtureRequest
) -> None:
    name = str(request.getfixturevalue(kind).name)
    assert train(recipe=name).exit_code == 0
    before = (place / "run" / LAST).read_bytes()
    more = changed("schedule.steps=9", "optimizer.name=adamw", "loop.checkpoint_every=99")
    plain = changed("optimizer.name=adamw", "optimizer.lr=1e20", "schedule.steps=9")
    (place / "run").rename(place / "kept")
    fast = train(*plain, "--precision", precision, recipe=name)
    refused(fast, 1, "Run it again with smaller learning rates: --set optimizer.lr=5e+19")
    assert not (place / "run" / LAST).exists()
    (place / "run").rename(place / "diverged")
    (place / "kept").rename(place / "run")
    muon = changed("optimizer.lr=1e20", "optimizer.muon_lr=1e20", "validation.every=99")
    del more[2:4]
    refused(train("--resume", *more, *muon, recipe=name), 1, "is not finite")
    assert (place / "run" / LAST).read_bytes() == before


def test_weights_that_are_not_finite_are_never_saved(
    tiny: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert train().exit_code == 0
    before = (place / "run" / LAST).read_bytes()
    from trainers.loop.state import EMA

    def spoil(average: EMA, model: torch.nn.Module) -> None:
        with torch.no_grad():
            next(model.parameters()).fill_(torch.nan)

    monkeypatch.setattr(EMA, "update", spoil)
    done = train("--resume", *changed("schedule.steps=6", "loop.checkpoint_every=1"))
    refused(done, 1, "is not finite after step 5. Run it again with smaller learning rates")
    assert (place / "run" / LAST).read_bytes() == before


@pytest.mark.parametrize(
    ("found", "sentences"),
    [
        (
            "DefaultCPUAllocator: can't allocate memory",
            ["A step does not fit in the memory of cpu", "--set loop.accumulation_steps=2"],
        ),
        (
            "DataLoader worker (pid 7) is killed by signal: Killed. ",
            ["A data loader process was killed", "--set loop.num_workers=0"],
        ),
    ],
)
def test_what_torch_says_in_the_middle_of_a_step(
    tiny: Path, place: Path, monkeypatch: pytest.MonkeyPatch, found: str, sentences: list[str]
) -> None:
    """The words are those of torch 2.13, which tells the death of a helper in a signal handler."""
    from trainers.loop import trainer as loop

    def fail(*_: object) -> None:
        raise RuntimeError(found)

    monkeypatch.setattr(loop, "training_step", fail)
    refused(train(), 1, *sentences)


def full(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_while_a_checkpoint_is_written(
    tiny: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert train().exit_code == 0
    before = (place / "run" / LAST).read_bytes()
    monkeypatch.setattr(weights, "save_file", full)
    done = train("--resume", *changed("schedule.steps=6", "validation.every=99"))
    refused(done, 1, "No space left on device")
    assert (place / "run" / LAST).read_bytes() == before
    assert [*(place / "run").rglob("*.part")] == []


def test_a_full_disk_while_logs_are_written(
    tiny: Path, place: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """What was learned is saved; the thread that writes for TensorBoard dies without a word."""
    assert train().exit_code == 0
    event, written = FileWriter.add_event, threading.Event()

    def fill(writer: FileWriter, *words: Any) -> None:
        event(writer, *words)
        if written.is_set():
            thread = threading.Thread(target=full)
            thread.start()
            thread.join()
            full()

    monkeypatch.setattr(FileWriter, "add_event", fill)
    from trainers.loop.loggers.backends import HistoryLogger

    scalars = HistoryLogger.scalars

    def note(book: HistoryLogger, *words: Any) -> None:
        scalars(book, *words)
        written.set()

    monkeypatch.setattr(HistoryLogger, "scalars", note)
    done = train(
        "--resume", *changed("schedule.steps=9", "loop.checkpoint_every=99", "log.every=1")
    )
    refused(done, 1, "Cannot write the logs of run (No space left on device)", "with --resume")
    assert "Traceback" not in capfd.readouterr().err
    _, texts = read_safetensors(place / "run" / LAST)
    assert json.loads(texts["progress"])["step"] == 6


@pytest.mark.parametrize("words", [[], ["--dry-run"]])
def test_outputs_that_cannot_be(tiny: Path, place: Path, words: list[str]) -> None:
    (place / "file").write_text("mine")
    refused(train("--output", "file", *words), 1, "file is a file. Use --output")
    refused(train("--output", "file/run", *words), 1, "file is a file. Use --output")
    assert (place / "file").read_text() == "mine"
    assert train().exit_code == 0
    told, done = "run already holds a run. Add --resume or use another --output", train(*words)
    if words:  # nothing is kept, so nothing is in the way
        assert (done.exit_code, told in done.stderr) == (0, True), done.stderr
    else:
        refused(done, 1, told)


def test_a_folder_that_may_not_be_written(
    tiny: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    refused(train(), 1, "is not writable. Use --output with a folder that is")


def test_two_runs_into_one_folder(tiny: Path, place: Path) -> None:
    with lock_folder(place / "run"):
        refused(train(), 1, "Another run is writing into run. Wait for it, or use another")
    assert not (place / "run").exists()
    assert train().exit_code == 0
    assert not checks._OPEN


def test_logs_that_are_not_there_leave_nothing_behind(
    tiny: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    refused(train(*changed("log.wandb=mine")), 2, "Weights & Biases is not installed")
    assert not (place / "run").exists()
