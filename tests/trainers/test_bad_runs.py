"""``stem train`` with damaged checkpoints, full disks and diverging runs.

Expected: the exit codes of the README; one error message that says what was found and what to
type; no new files; the last good checkpoint, byte for byte.
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
from tests.trainers.commands import Damage, assert_error, set_options, train
from trainers.loop import checks
from trainers.loop.checkpoint import FORMAT
from trainers.loop.checks import lock_folder


def rewrite(change: Callable[[dict[str, Any], dict[str, str]], object]) -> Damage:
    """Damage that changes the tensors or the metadata of the checkpoint."""

    def damage(run: Path) -> None:
        tensors, texts = read_safetensors(run / LAST)
        change(tensors, texts)
        write_safetensors(run / LAST, tensors, texts)

    return damage


def set_step_counter(texts: dict[str, str], step: str) -> None:
    """Set the step counter to this text, which need not be valid JSON."""
    counters = json.loads(texts["progress"])
    others = ", ".join(f'"{key}": {json.dumps(counters[key])}' for key in counters if key != "step")
    texts["progress"] = f'{{"step": {step}, {others}}}'


def set_model_options(recipe: Path, **options: int) -> None:
    values = json.loads(recipe.read_text())
    values["model"]["options"] |= options
    recipe.write_text(json.dumps(values))


BAD_CHECKPOINTS: dict[str, tuple[Damage, str]] = {
    "truncated": (
        lambda run: (run / LAST).write_bytes((run / LAST).read_bytes()[:5000]),
        "last.safetensors is damaged",
    ),
    "empty": (lambda run: (run / LAST).write_bytes(b""), "last.safetensors is damaged"),
    "other weights": (
        lambda run: (run / LAST).write_bytes((run / "best.safetensors").read_bytes()),
        "last.safetensors is not the checkpoint of a run",
    ),
    "counters that are not numbers": (
        rewrite(lambda _, texts: texts.update(progress='{"step": "x", "ema_updates": null}')),
        "its counter step is 'x'",
    ),
    **{
        f"a counter of {value}": (
            rewrite(lambda _, texts, value=value: set_step_counter(texts, value)),
            "does not fit this recipe or is damaged: its counter step is",
        )
        for value in ("-1", "NaN")
    },
    "a counter of 5,000 digits": (
        rewrite(lambda _, texts: set_step_counter(texts, "9" * 5000)),
        "does not fit this recipe or is damaged",
    ),
    "deeply nested counters": (
        rewrite(lambda _, texts: texts.update(progress="[" * 100_000)),
        "does not fit this recipe or is damaged: it is nested too deeply",
    ),
    "an optimizer step of -5": (
        rewrite(lambda tensors, _: [tensors[n].fill_(-5) for n in tensors if ".step" in n]),
        "its optimizer took -5 steps",
    ),
    "a recipe of a giant network": (
        lambda run: set_model_options(run / "recipe.json", hidden_channels=20_000),
        "last.safetensors does not fit this recipe or is damaged: ",
    ),
    "a deeply nested recipe": (
        lambda run: (run / "recipe.json").write_text("[" * 100_000),
        "recipe.json is damaged",
    ),
    "a missing tensor": (
        rewrite(lambda tensors, _: tensors.pop(next(n for n in tensors if "model." in n))),
        "missing",
    ),
    "a truncated recipe": (
        lambda run: (run / "recipe.json").write_text('{"seed": 1'),
        "recipe.json is damaged. Use --recipe with the recipe that the run was started with",
    ),
}


@pytest.mark.parametrize("kind", BAD_CHECKPOINTS)
def test_bad_checkpoints(tiny: Path, workdir: Path, kind: str) -> None:
    assert train().exit_code == 0
    damage, message = BAD_CHECKPOINTS[kind]
    damage(workdir / "run")
    before = (workdir / "run" / LAST).read_bytes()
    assert_error(train("--resume", *set_options("schedule.steps=6"), recipe=""), 1, message)
    assert (workdir / "run" / LAST).read_bytes() == before


@pytest.mark.parametrize(
    ("change", "version"),
    [
        (lambda _, texts: texts.pop("format"), "an earlier"),
        (lambda _, texts: texts.update(format=str(int(FORMAT) + 1)), "a later"),
    ],
)
def test_runs_of_other_versions_are_refused(
    tiny: Path, workdir: Path, change: Callable[[Any, dict[str, str]], object], version: str
) -> None:
    """Format 1 had no format entry, and its recipes had a key that no longer exists.

    The weights of such a run can still be loaded.
    """
    assert train().exit_code == 0
    rewrite(change)(workdir / "run")
    recipe = workdir / "run" / "recipe.json"
    recipe.write_text(recipe.read_text().replace('"optimizer"', '"optimiser"'))
    message = (
        f"run was trained by {version} version of Stem and cannot be resumed: start from its "
        "weights with --from run and another --output"
    )
    assert_error(train("--resume", recipe=""), 1, message)
    assert_error(train("--resume"), 1, message)
    assert_error(train(), 1, message)
    assert message in train("--dry-run").stderr
    assert train("--from", "run", "--output", "next").exit_code == 0


def test_checkpoints_of_another_recipe_are_refused(tiny: Path, gan: Path, workdir: Path) -> None:
    assert train().exit_code == 0
    before = (workdir / "run" / LAST).read_bytes()
    assert_error(train("--resume", recipe="gan.yaml"), 1, "it has model, the recipe model and disc")
    other_size = train("--resume", *set_options("model.options.num_layers=2"))
    assert_error(
        other_size, 1, "freq_blocks.1.att.c_attn.weight", "more missing. Leave out --recipe and"
    )
    assert (workdir / "run" / LAST).read_bytes() == before


def test_damaged_history_loses_only_its_bad_lines(tiny: Path, workdir: Path) -> None:
    assert train().exit_code == 0
    history = workdir / "run/history.jsonl"
    good = history.read_bytes()
    history.write_bytes(b"\xff\xfe{\n[]\nnull\n" + good + b'{"step": 4, "lo')
    assert train("--resume").exit_code == 0
    assert history.read_bytes() == good


def test_a_finished_run_says_how_to_continue(tiny: Path, workdir: Path) -> None:
    assert train().exit_code == 0
    before = (workdir / "run" / LAST).read_bytes()
    (workdir / "run/best.safetensors").unlink()
    result = train("--resume", recipe="")
    assert result.exit_code == 0
    assert "all steps had been done before; for more, use --set schedule.steps=8" in result.stderr
    assert resolve.load("run/best.safetensors").stems == ("vocals",)
    assert (workdir / "run" / LAST).read_bytes() == before
    assert "step 8/8" in train("--resume", *set_options("schedule.steps=8"), recipe="").stderr


def test_resuming_reports_changed_values(tiny: Path, workdir: Path) -> None:
    """The recipe file has four steps and the seed 3."""
    message = "Resuming with changed values: "
    assert train(*set_options("seed=5")).exit_code == 0
    assert message not in train("--resume", recipe="").stderr
    stderr = train("--resume", *set_options("schedule.steps=5")).stderr.splitlines()
    assert [line for line in stderr if line.startswith(message)] == [
        f"{message}schedule.steps 4 -> 5; seed 5 -> 3"
    ]


def test_from_takes_the_folder_of_a_run(tiny: Path, workdir: Path) -> None:
    assert train().exit_code == 0
    (workdir / "run").rename(workdir / "first")
    assert train("--from", "first", "--dry-run").exit_code == 0
    assert_error(
        train("--from", f"first/{LAST}"),
        2,
        "For the best weights of the run use its folder: first",
    )
    assert_error(train("--from", "gone.safetensors"), 2, "gone.safetensors does not exist. Use the")


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
    kind: str, precision: str, workdir: Path, request: pytest.FixtureRequest
) -> None:
    name = str(request.getfixturevalue(kind).name)
    assert train(recipe=name).exit_code == 0
    before = (workdir / "run" / LAST).read_bytes()
    more = set_options("schedule.steps=9", "optimizer.name=adamw", "loop.checkpoint_every=99")
    high_lr = set_options("optimizer.name=adamw", "optimizer.lr=1e20", "schedule.steps=9")
    (workdir / "run").rename(workdir / "kept")
    diverged = train(*high_lr, "--precision", precision, recipe=name)
    assert_error(diverged, 1, "Run it again with smaller learning rates: --set optimizer.lr=5e+19")
    assert not (workdir / "run" / LAST).exists()
    (workdir / "run").rename(workdir / "diverged")
    (workdir / "kept").rename(workdir / "run")
    high_muon_lr = set_options("optimizer.lr=1e20", "optimizer.muon_lr=1e20", "validation.every=99")
    del more[2:4]
    assert_error(train("--resume", *more, *high_muon_lr, recipe=name), 1, "is not finite")
    assert (workdir / "run" / LAST).read_bytes() == before


def test_weights_that_are_not_finite_are_never_saved(
    tiny: Path, workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert train().exit_code == 0
    before = (workdir / "run" / LAST).read_bytes()
    from trainers.loop.state import EMA

    def damage(average: EMA, model: torch.nn.Module) -> None:
        with torch.no_grad():
            next(model.parameters()).fill_(torch.nan)

    monkeypatch.setattr(EMA, "update", damage)
    result = train("--resume", *set_options("schedule.steps=6", "loop.checkpoint_every=1"))
    assert_error(result, 1, "is not finite after step 5. Run it again with smaller learning rates")
    assert (workdir / "run" / LAST).read_bytes() == before


@pytest.mark.parametrize(
    ("error", "messages"),
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
def test_torch_errors_in_a_step_become_one_message(
    tiny: Path, workdir: Path, monkeypatch: pytest.MonkeyPatch, error: str, messages: list[str]
) -> None:
    """The messages are those of torch 2.13, which reports a dead worker from a signal handler."""
    from trainers.loop import trainer as loop

    def fail(*_: object) -> None:
        raise RuntimeError(error)

    monkeypatch.setattr(loop, "training_step", fail)
    assert_error(train(), 1, *messages)


def raise_disk_full(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_while_a_checkpoint_is_written(
    tiny: Path, workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert train().exit_code == 0
    before = (workdir / "run" / LAST).read_bytes()
    monkeypatch.setattr(weights, "save_file", raise_disk_full)
    result = train("--resume", *set_options("schedule.steps=6", "validation.every=99"))
    assert_error(result, 1, "No space left on device")
    assert (workdir / "run" / LAST).read_bytes() == before
    assert [*(workdir / "run").rglob("*.part")] == []


def test_a_full_disk_while_logs_are_written(
    tiny: Path, workdir: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Progress is saved, and TensorBoard's writer thread ends without a traceback."""
    assert train().exit_code == 0
    add_event, history_written = FileWriter.add_event, threading.Event()

    def add_event_on_full_disk(writer: FileWriter, *args: Any) -> None:
        add_event(writer, *args)
        if history_written.is_set():
            thread = threading.Thread(target=raise_disk_full)
            thread.start()
            thread.join()
            raise_disk_full()

    monkeypatch.setattr(FileWriter, "add_event", add_event_on_full_disk)
    from trainers.loop.loggers.backends import HistoryLogger

    scalars = HistoryLogger.scalars

    def scalars_and_flag(logger: HistoryLogger, *args: Any) -> None:
        scalars(logger, *args)
        history_written.set()

    monkeypatch.setattr(HistoryLogger, "scalars", scalars_and_flag)
    result = train(
        "--resume", *set_options("schedule.steps=9", "loop.checkpoint_every=99", "log.every=1")
    )
    assert_error(
        result, 1, "Cannot write the logs of run (No space left on device)", "with --resume"
    )
    assert "Traceback" not in capfd.readouterr().err
    _, texts = read_safetensors(workdir / "run" / LAST)
    assert json.loads(texts["progress"])["step"] == 6


@pytest.mark.parametrize("options", [[], ["--dry-run"]])
def test_unusable_outputs(tiny: Path, workdir: Path, options: list[str]) -> None:
    (workdir / "file").write_text("mine")
    assert_error(train("--output", "file", *options), 1, "file is a file. Use --output")
    assert_error(train("--output", "file/run", *options), 1, "file is a file. Use --output")
    assert (workdir / "file").read_text() == "mine"
    assert train().exit_code == 0
    message = "run already holds a run. Add --resume or use another --output"
    result = train(*options)
    if options:  # a dry run keeps nothing, so an existing run does not matter
        assert (result.exit_code, message in result.stderr) == (0, True), result.stderr
    else:
        assert_error(result, 1, message)


def test_a_read_only_output_folder(
    tiny: Path, workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert_error(train(), 1, "is not writable. Use --output with a folder that is")


def test_two_runs_into_one_folder(tiny: Path, workdir: Path) -> None:
    with lock_folder(workdir / "run"):
        assert_error(train(), 1, "Another run is writing into run. Wait for it, or use another")
    assert not (workdir / "run").exists()
    assert train().exit_code == 0
    assert not checks._OPEN


def test_a_missing_logger_leaves_no_files(
    tiny: Path, workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    assert_error(train(*set_options("log.wandb=mine")), 2, "Weights & Biases is not installed")
    assert not (workdir / "run").exists()
