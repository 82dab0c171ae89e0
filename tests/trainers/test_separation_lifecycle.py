"""A separation model from step to step and from file to file.

Truth: laws (a saved model goes on as if nothing had happened), and the order in which calls make
sense.
"""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from model_zoo.catalogue import resolve
from model_zoo.errors import CheckpointError, NumericalError, UsageError
from tests.trainers.masking import (
    learn,
    model,
    sections,
    song,
    validate,
    voice,
)
from trainers.separation_model import SpectrogramMaskModel


def test_a_loop_learns_and_stops_when_it_stagnates(tmp_path: Path) -> None:
    """With a tiny rate in the end nothing changes, so that every validation is one without gain."""
    one = model(tmp_path, stop_patience=2, max_lr_steps=2)
    losses = learn(one, *range(12))
    assert losses[-1] < 0.7 * losses[0]
    validate(one)
    assert not one.scheduler_step()
    assert one.is_best_model
    stops, rates = [], []
    for _ in range(4):
        validate(one)  # the same as before: no gain
        stops.append(one.scheduler_step())
        rates.append(one.network_optimizer.lr)
        assert not one.is_best_model
    assert stops == [False, False, False, True]
    assert rates == pytest.approx([0.01, 0.001, 0.001, 0.0001])


def test_a_gain_resets_the_patience(tmp_path: Path) -> None:
    """Losses by hand: the second of the plateau comes after a gain, so that it is the first."""
    one = model(tmp_path, stop_patience=2, max_lr_steps=1)
    stops = []
    for losses in ([4.0, 2.0], [3.0], [2.0], [2.5], [2.1]):
        one.val_losses.extend(losses)
        stops.append(one.scheduler_step())
    assert stops == [False, False, False, False, True]
    assert one.progress.best_sdr == -2.0


@pytest.mark.parametrize("half", [False, True])
def test_a_saved_model_goes_on_as_if_nothing_had_happened(tmp_path: Path, half: bool) -> None:
    """Law: steps, validations and steps in one go, and with everything saved in the middle."""
    options = {"use_mixed_precision": half, "stop_patience": 1, "mixed_precision_scale": 8.0}
    whole = model(tmp_path, **options)
    learn(whole, 0, 1)
    for _ in range(2):
        validate(whole)
        whole.scheduler_step()
    validate(whole)
    whole.save(5)
    rest = SpectrogramMaskModel(sections(tmp_path, **options, global_step=5), device="cpu")
    for one in (whole, rest):
        assert one.network_optimizer.lr == pytest.approx(0.001)
    assert learn(rest, 2, 3) == learn(whole, 2, 3)
    assert [one.scheduler_step() for one in (rest, whole)] == [False, False]
    assert rest.progress == whole.progress
    assert rest.network_optimizer.scaler.state_dict() == whole.network_optimizer.scaler.state_dict()
    assert bool(rest.network_optimizer.scaler.state_dict()) == half
    for name, value in whole.separator.state_dict().items():
        assert torch.equal(rest.separator.state_dict()[name], value), name


def test_only_mixed_precision_needs_the_scale_of_gradients(tmp_path: Path) -> None:
    model(tmp_path).save(3, grad_scaler=False)
    assert model(tmp_path, global_step=3).progress.step == 0
    with pytest.raises(CheckpointError, match=r"tiny_autocast_3.* save\(\.\.\., grad_scaler=True"):
        model(tmp_path, global_step=3, use_mixed_precision=True)


@pytest.mark.parametrize("part", ["model", "optim", "scheduler", "grad_scaler"])
def test_parts_are_saved_alone(tmp_path: Path, part: str) -> None:
    files = {
        "model": "tiny_7.safetensors",
        "optim": "tiny_optimizer_7.pth",
        "scheduler": "tiny_scheduler_7.pth",
        "grad_scaler": "tiny_autocast_7.pth",
    }
    one = model(tmp_path)
    one.save(7, **{name: name == part for name in files})
    assert [path.name for path in (tmp_path / "checkpoint").iterdir()] == [files[part]]
    getattr(one, f"load_{part}")(7)
    with pytest.raises(CheckpointError, match="does not exist") as refused:
        getattr(one, f"load_{part}")(8)
    assert part == "model" or f"save(..., {part}=True)" in str(refused.value)


def test_what_is_loaded_replaces_what_was_there(tmp_path: Path) -> None:
    """Each part alone: weights, what the optimizer remembers, what validations said."""
    one = model(tmp_path)
    learn(one, 0)
    one.save(1)
    learn(one, 1)
    one.val_losses.append(3.0)
    one.scheduler_step()
    first = next(iter(one.separator.parameters()))
    moved = first.detach().clone()
    one.load_model(1)
    assert not torch.equal(first, moved)
    steps = one.network_optimizer.optimizers[0].state[first]["step"]
    one.load_optim(1)
    assert (steps, one.network_optimizer.optimizers[0].state[first]["step"]) == (2, 1)
    assert one.progress.best_sdr == -3.0
    one.load_scheduler(1)
    assert (one.progress.step, one.progress.best_sdr) == (1, -math.inf)


def test_saved_weights_are_a_model_of_the_command_line(tmp_path: Path) -> None:
    one = model(tmp_path)
    one.save_model(0)
    loaded = resolve.load(tmp_path / "checkpoint/tiny_0.safetensors")
    one.eval()
    assert torch.equal(loaded(song()), one.separator(song()))


def test_files_that_do_not_fit(tmp_path: Path) -> None:
    one = model(tmp_path)
    learn(one, 0)
    one.save(1)
    values = sections(tmp_path)
    values["model_params"]["hidden_channels"] = 3
    other = SpectrogramMaskModel(values, device="cpu")
    with pytest.raises(CheckpointError, match="does not fit SpectrogramNetSimpleSeparator"):
        other.load_model(1)
    with pytest.raises(CheckpointError, match="optimizer state of another network"):
        other.load_optim(1)
    for name in ("optimizer", "scheduler", "autocast"):
        (tmp_path / f"checkpoint/tiny_{name}_1.pth").write_bytes(b"no file of torch")
    for load in (one.load_optim, one.load_scheduler, one.load_grad_scaler):
        with pytest.raises(CheckpointError, match="is damaged"):
            load(1)


def test_code_in_files_is_not_run(tmp_path: Path) -> None:
    one = model(tmp_path)
    path = tmp_path / "checkpoint/tiny_scheduler_1.pth"
    path.parent.mkdir()
    torch.save({"progress": Path("something that is no plain value")}, path)
    with pytest.raises(CheckpointError, match="is damaged or was not saved by this class"):
        one.load_scheduler(1)


def test_calls_in_the_wrong_order(tmp_path: Path) -> None:
    one = model(tmp_path)
    with pytest.raises(UsageError, match=r"call train\(\) and compute_loss\(\)"):
        one.backward()
    with pytest.raises(UsageError, match=r"call test\(\) and compute_loss\(\) before"):
        one.scheduler_step()
    with pytest.raises(UsageError, match=r"no mixture: call set_data\(\) first"):
        one.forward()
    one.set_data(song())
    with pytest.raises(UsageError, match=r"no estimate: .* forward\(\) or test\(\)"):
        one.compute_loss()
    one.forward()
    with pytest.raises(UsageError, match="pass mixture and target to set_data"):
        one.compute_loss()
    validate(one)
    with pytest.raises(UsageError, match="no loss to differentiate"):
        one.backward()


@pytest.mark.parametrize("kind", ["SpectrogramNetSimple", "SpectrogramNetVAE"])
def test_only_fresh_estimates_of_training_are_learned_from(tmp_path: Path, kind: str) -> None:
    """A VAE remembers the divergence of its last pass in training, whose graph is used up."""
    criterion = "kl_div" if kind == "SpectrogramNetVAE" else "l2"
    values = sections(tmp_path, criterion=criterion)
    values["model_params"]["model_type"] = kind
    one = SpectrogramMaskModel(values, device="cpu")
    learn(one, 0)
    validate(one)
    one.train()
    refused(one)
    one.forward()
    one.compute_loss()
    one.backward()
    refused(one)
    one.forward()
    one.optimizer_step()
    refused(one)
    one.eval()
    one.forward()
    one.train()
    refused(one)


def refused(one: SpectrogramMaskModel) -> None:
    with pytest.raises(UsageError, match=r"call train\(\), then forward\(\)"):
        one.compute_loss()
    with pytest.raises(UsageError, match="no loss to differentiate"):
        one.backward()


def test_validations_that_are_not_finite_are_no_plateau(tmp_path: Path) -> None:
    one = model(tmp_path, stop_patience=1, max_lr_steps=1)
    for loss in (math.nan, math.inf):
        one.val_losses.extend([1.0, loss])
        with pytest.raises(
            NumericalError, match=f"mean validation loss is {loss}: load earlier weights"
        ):
            one.scheduler_step()
    one.val_losses.append(1.0)
    assert not one.scheduler_step()
    assert one.is_best_model


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ((torch.ones(200),), r"\(channel, time\) or \(batch, channel, time\), found \(200,\)"),
        ((torch.ones(1, 0),), r"found \(1, 0\)"),
        ((torch.ones(1, 20),), "longer than 32 samples, found 20"),
        ((torch.ones(1, 99), torch.ones(1, 98)), r"shape \(1, 1, 1, 99\), found \(1, 98\)"),
        ((), "found 0"),
        ((torch.ones(1, 99),) * 3, "found 3"),
    ],
)
def test_data_that_do_not_fit(tmp_path: Path, data: tuple[Tensor, ...], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        model(tmp_path).set_data(*data)


def test_gradients_that_are_not_finite_move_nothing(tmp_path: Path) -> None:
    one = model(tmp_path)
    before = [value.clone() for value in one.separator.parameters()]
    one.set_data(torch.full((1, 200), math.inf), voice()[0])
    one.forward()
    one.compute_loss()
    one.backward()
    with pytest.raises(NumericalError, match=r"use a training_params\.lr below 0\.01"):
        one.optimizer_step()
    assert all(map(torch.equal, before, one.separator.parameters()))
