"""Training, saving and loading of separation models, and the order of calls.

Reference for a loaded model: the model that was never saved.
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
    make_model,
    sections,
    song,
    train_steps,
    validate,
    voice,
)
from trainers.separation_model import SpectrogramMaskModel


def test_a_loop_learns_and_stops_without_gains(tmp_path: Path) -> None:
    """The first validation is the best; later ones repeat it, so they have no gain."""
    model = make_model(tmp_path, stop_patience=2, max_lr_steps=2)
    losses = train_steps(model, *range(12))
    assert losses[-1] < 0.7 * losses[0]
    validate(model)
    assert not model.scheduler_step()
    assert model.is_best_model
    stops, rates = [], []
    for _ in range(4):
        validate(model)  # same loss as before: no gain
        stops.append(model.scheduler_step())
        rates.append(model.network_optimizer.lr)
        assert not model.is_best_model
    assert stops == [False, False, False, True]
    assert rates == pytest.approx([0.01, 0.001, 0.001, 0.0001])


def test_a_gain_resets_the_patience(tmp_path: Path) -> None:
    """The second loss of a plateau counts as the first if a gain came before it."""
    model = make_model(tmp_path, stop_patience=2, max_lr_steps=1)
    stops = []
    for losses in ([4.0, 2.0], [3.0], [2.0], [2.5], [2.1]):
        model.val_losses.extend(losses)
        stops.append(model.scheduler_step())
    assert stops == [False, False, False, False, True]
    assert model.progress.best_sdr == -2.0


@pytest.mark.parametrize("mixed_precision", [False, True])
def test_a_loaded_model_continues_bit_for_bit(tmp_path: Path, mixed_precision: bool) -> None:
    """Reference: the same steps and validations without saving in between."""
    options = {
        "use_mixed_precision": mixed_precision,
        "stop_patience": 1,
        "mixed_precision_scale": 8.0,
    }
    original = make_model(tmp_path, **options)
    train_steps(original, 0, 1)
    for _ in range(2):
        validate(original)
        original.scheduler_step()
    validate(original)
    original.save(5)
    loaded = SpectrogramMaskModel(sections(tmp_path, **options, global_step=5), device="cpu")
    for model in (original, loaded):
        assert model.network_optimizer.lr == pytest.approx(0.001)
    assert train_steps(loaded, 2, 3) == train_steps(original, 2, 3)
    assert [model.scheduler_step() for model in (loaded, original)] == [False, False]
    assert loaded.progress == original.progress
    assert (
        loaded.network_optimizer.scaler.state_dict()
        == original.network_optimizer.scaler.state_dict()
    )
    assert bool(loaded.network_optimizer.scaler.state_dict()) == mixed_precision
    for name, value in original.separator.state_dict().items():
        assert torch.equal(loaded.separator.state_dict()[name], value), name


def test_only_mixed_precision_needs_the_gradient_scaler(tmp_path: Path) -> None:
    make_model(tmp_path).save(3, grad_scaler=False)
    assert make_model(tmp_path, global_step=3).progress.step == 0
    with pytest.raises(CheckpointError, match=r"tiny_autocast_3.* save\(\.\.\., grad_scaler=True"):
        make_model(tmp_path, global_step=3, use_mixed_precision=True)


@pytest.mark.parametrize("part", ["model", "optim", "scheduler", "grad_scaler"])
def test_parts_can_be_saved_separately(tmp_path: Path, part: str) -> None:
    files = {
        "model": "tiny_7.safetensors",
        "optim": "tiny_optimizer_7.pth",
        "scheduler": "tiny_scheduler_7.pth",
        "grad_scaler": "tiny_autocast_7.pth",
    }
    model = make_model(tmp_path)
    model.save(7, **{name: name == part for name in files})
    assert [path.name for path in (tmp_path / "checkpoint").iterdir()] == [files[part]]
    getattr(model, f"load_{part}")(7)
    with pytest.raises(CheckpointError, match="does not exist") as caught:
        getattr(model, f"load_{part}")(8)
    assert part == "model" or f"save(..., {part}=True)" in str(caught.value)


def test_loading_replaces_the_current_state(tmp_path: Path) -> None:
    """Each part is loaded separately: weights, optimizer state, validation scores."""
    model = make_model(tmp_path)
    train_steps(model, 0)
    model.save(1)
    train_steps(model, 1)
    model.val_losses.append(3.0)
    model.scheduler_step()
    weight = next(iter(model.separator.parameters()))
    changed_weight = weight.detach().clone()
    model.load_model(1)
    assert not torch.equal(weight, changed_weight)
    steps = model.network_optimizer.optimizers[0].state[weight]["step"]
    model.load_optim(1)
    assert (steps, model.network_optimizer.optimizers[0].state[weight]["step"]) == (2, 1)
    assert model.progress.best_sdr == -3.0
    model.load_scheduler(1)
    assert (model.progress.step, model.progress.best_sdr) == (1, -math.inf)


def test_saved_weights_work_on_the_command_line(tmp_path: Path) -> None:
    model = make_model(tmp_path)
    model.save_model(0)
    loaded = resolve.load(tmp_path / "checkpoint/tiny_0.safetensors")
    model.eval()
    assert torch.equal(loaded(song()), model.separator(song()))


def test_checkpoints_of_another_network(tmp_path: Path) -> None:
    model = make_model(tmp_path)
    train_steps(model, 0)
    model.save(1)
    values = sections(tmp_path)
    values["model_params"]["hidden_channels"] = 3
    other = SpectrogramMaskModel(values, device="cpu")
    with pytest.raises(CheckpointError, match="does not fit SpectrogramNetSimpleSeparator"):
        other.load_model(1)
    with pytest.raises(CheckpointError, match="optimizer state of another network"):
        other.load_optim(1)
    for name in ("optimizer", "scheduler", "autocast"):
        (tmp_path / f"checkpoint/tiny_{name}_1.pth").write_bytes(b"not a torch file")
    for load in (model.load_optim, model.load_scheduler, model.load_grad_scaler):
        with pytest.raises(CheckpointError, match="is damaged"):
            load(1)


def test_code_in_files_is_not_run(tmp_path: Path) -> None:
    model = make_model(tmp_path)
    path = tmp_path / "checkpoint/tiny_scheduler_1.pth"
    path.parent.mkdir()
    torch.save({"progress": Path("not a plain value")}, path)
    with pytest.raises(CheckpointError, match="is damaged or was not saved by this class"):
        model.load_scheduler(1)


def test_calls_in_the_wrong_order(tmp_path: Path) -> None:
    model = make_model(tmp_path)
    with pytest.raises(UsageError, match=r"call train\(\) and compute_loss\(\)"):
        model.backward()
    with pytest.raises(UsageError, match=r"call test\(\) and compute_loss\(\) before"):
        model.scheduler_step()
    with pytest.raises(UsageError, match=r"no mixture: call set_data\(\) first"):
        model.forward()
    model.set_data(song())
    with pytest.raises(UsageError, match=r"no estimate: .* forward\(\) or test\(\)"):
        model.compute_loss()
    model.forward()
    with pytest.raises(UsageError, match="pass mixture and target to set_data"):
        model.compute_loss()
    validate(model)
    with pytest.raises(UsageError, match="no loss to differentiate"):
        model.backward()


@pytest.mark.parametrize("kind", ["SpectrogramNetSimple", "SpectrogramNetVAE"])
def test_only_new_training_estimates_have_a_loss(tmp_path: Path, kind: str) -> None:
    """A VAE keeps the divergence of its last training pass, whose graph has been freed."""
    criterion = "kl_div" if kind == "SpectrogramNetVAE" else "l2"
    values = sections(tmp_path, criterion=criterion)
    values["model_params"]["model_type"] = kind
    model = SpectrogramMaskModel(values, device="cpu")
    train_steps(model, 0)
    validate(model)
    model.train()
    assert_no_loss(model)
    model.forward()
    model.compute_loss()
    model.backward()
    assert_no_loss(model)
    model.forward()
    model.optimizer_step()
    assert_no_loss(model)
    model.eval()
    model.forward()
    model.train()
    assert_no_loss(model)


def assert_no_loss(model: SpectrogramMaskModel) -> None:
    with pytest.raises(UsageError, match=r"call train\(\), then forward\(\)"):
        model.compute_loss()
    with pytest.raises(UsageError, match="no loss to differentiate"):
        model.backward()


def test_non_finite_validation_losses_are_errors(tmp_path: Path) -> None:
    model = make_model(tmp_path, stop_patience=1, max_lr_steps=1)
    for loss in (math.nan, math.inf):
        model.val_losses.extend([1.0, loss])
        with pytest.raises(
            NumericalError, match=f"mean validation loss is {loss}: load earlier weights"
        ):
            model.scheduler_step()
    model.val_losses.append(1.0)
    assert not model.scheduler_step()
    assert model.is_best_model


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ((torch.ones(200),), r"\(channel, time\) or \(batch, channel, time\), found \(200,\)"),
        ((torch.ones(1, 0),), r"found \(1, 0\)"),
        ((torch.ones(1, 20),), "longer than 32 samples, found 20"),
        ((torch.ones(1, 99), torch.ones(1, 98)), r"shape \(1, 1, 1, 99\), found \(1, 98\)"),
        ((), "found 0"),
        ((torch.ones(1, 99),) * 3, "found 3"),
    ],
)
def test_data_of_a_wrong_shape(tmp_path: Path, data: tuple[Tensor, ...], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make_model(tmp_path).set_data(*data)


def test_non_finite_gradients_change_no_weights(tmp_path: Path) -> None:
    model = make_model(tmp_path)
    before = [value.clone() for value in model.separator.parameters()]
    model.set_data(torch.full((1, 200), math.inf), voice()[0])
    model.forward()
    model.compute_loss()
    model.backward()
    with pytest.raises(NumericalError, match=r"use a training_params\.lr below 0\.01"):
        model.optimizer_step()
    assert all(map(torch.equal, before, model.separator.parameters()))
