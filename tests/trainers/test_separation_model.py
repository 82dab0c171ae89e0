"""Separation models in the hands of a program's own loop.

Truth: the example of ``002_e99d73cb434ccfd9.txt``; laws (a saved model goes on as if nothing had
happened, full masks give the mixture back); numbers by hand.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from model_zoo import weights
from model_zoo.errors import CheckpointError, ConfigError, NumericalError, UsageError
from tests.model_zoo.blocks.weights import pattern
from trainers.losses.masks import component_loss
from trainers.separation_model import SeparationModel, SpectrogramMaskModel, load_config

Sections = dict[str, dict[str, Any]]


def sections(folder: Path, **training: Any) -> Sections:
    """A U of two levels for 33 frequencies and 13 frames."""
    return {
        "model_params": {
            **{"model_type": "SpectrogramNetSimple", "model_name": "tiny"},
            **{"save_dir": str(folder), "hidden_channels": 4, "num_levels": 2, "dropout_p": 0.0},
        },
        "dataset_params": {
            **{"sample_length": 0.1, "sample_rate": 2000, "num_fft": 64, "window_size": 64},
            **{"hop_length": 16, "targets": ["vocals"]},
        },
        "training_params": {"lr": 0.01, **training},
    }


def model(folder: Path, **training: Any) -> SpectrogramMaskModel:
    torch.manual_seed(0)
    return SpectrogramMaskModel(sections(folder, **training), device="cpu")


def voice(length: int = 200) -> Tensor:
    return torch.sin(0.3 * torch.arange(length))[None, None]


def song(number: int = 0, length: int = 200) -> Tensor:
    return voice(length) + pattern(1, 1, length, phase=number)


def learn(one: SpectrogramMaskModel, *numbers: int) -> list[float]:
    """Losses of one step each."""
    losses = []
    for number in numbers:
        one.train()
        one.set_data(song(number), voice())
        one.forward()
        losses.append(one.compute_loss())
        one.backward()
        one.optimizer_step()
    return losses


def validate(one: SpectrogramMaskModel) -> float:
    one.set_data(song(99), voice())
    one.test()
    return one.compute_loss()


def open_masks(one: SpectrogramMaskModel) -> SpectrogramMaskModel:
    """Let everything through."""
    with torch.no_grad():
        one.separator.network.soft_conv.weight.zero_()
        one.separator.network.soft_conv.bias.fill_(20.0)
    return one


def test_the_example_of_the_documentation(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    values = sections(tmp_path)
    values["dataset_params"] = {"sample_length": 2}
    path.write_text(json.dumps(values))

    # unload configuration data
    config_data = load_config(path)

    # generate pretend 2 sec audio sample
    mix_audio = torch.rand((1, 88200))

    # instantiate deep mask estimator from config (untrained)
    mask_model = SpectrogramMaskModel(config_data)

    # extract vocals
    vocals_estimate = mask_model.separate(mix_audio)

    assert config_data == values
    assert vocals_estimate.shape == mix_audio.shape
    assert vocals_estimate.square().sum() < mix_audio.square().sum()


def test_frames_and_bins_of_three_seconds(tmp_path: Path) -> None:
    """132,300 samples are filled up to 259 hops of 512; a window of 1024 has 513 bins."""
    values = sections(tmp_path)
    del values["dataset_params"]
    one = SpectrogramMaskModel(values, device="cpu")
    assert one.separator.network.shape == (1, 513, 260)


def test_the_base_class_is_abstract(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="abstract"):
        SeparationModel(sections(tmp_path))


@pytest.mark.parametrize("shape", [(1, 700), (2, 333), (3, 2, 250), (2, 1, 1), (1, 5), (1, 4000)])
def test_full_masks_give_audio_of_any_shape_back(tmp_path: Path, shape: tuple[int, ...]) -> None:
    one, audio = open_masks(model(tmp_path)), pattern(*shape)
    torch.testing.assert_close(one.separate(audio), audio, atol=1e-5, rtol=1e-4)
    assert one.separator.training


def test_separating_is_the_masked_magnitude_with_the_phase_of_the_mixture(tmp_path: Path) -> None:
    """Where the engine lays one chunk over the whole of a song."""
    one = model(tmp_path)
    mixture = song(length=one.separator.segment // 4)
    one.set_data(mixture)
    magnitudes = one.test()
    spectrum = torch.polar(magnitudes, one.phase)[:, 0]
    window = torch.hann_window(64)
    by_hand = torch.istft(spectrum, 64, 16, window=window, length=mixture.shape[-1])
    torch.testing.assert_close(torch.polar(one.mixture, one.phase), one.separator.spectrum(mixture))
    assert one.separate(mixture)[0].shape == by_hand.shape
    torch.testing.assert_close(one.separator(mixture)[:, 0, 0], by_hand, atol=1e-5, rtol=1e-4)


def test_several_targets_have_an_axis_of_their_own(tmp_path: Path) -> None:
    values = sections(tmp_path)
    values["dataset_params"] |= {"targets": ["vocals", "drums", "bass"], "num_channels": 2}
    one = SpectrogramMaskModel(values, device="cpu")
    assert one.separate(pattern(2, 300)).shape == (3, 2, 300)
    assert one.separate(pattern(2, 2, 300)).shape == (2, 3, 2, 300)
    one.set_data(pattern(2, 2, 200), pattern(2, 3, 2, 200))
    assert one.forward().shape == (2, 3, 2, 33, 13)
    assert one.compute_loss() == pytest.approx(
        (one.mask * one.mixture[:, None] - one.target).square().mean().item()
    )


def test_a_network_of_one_channel_hears_every_channel_alone(tmp_path: Path) -> None:
    one = model(tmp_path)
    pair, stems = pattern(3, 2, 200), pattern(3, 2, 200, phase=1)
    one.eval()
    one.set_data(pair, stems)
    together = one.forward()
    assert together.shape == (3, 2, 33, 13)
    one.set_data(pair[:, 1:], stems[:, 1:])
    torch.testing.assert_close(one.forward(), together[:, 1:], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("criterion", ["l1", "l2", "component"])
def test_criteria(tmp_path: Path, criterion: str) -> None:
    one = model(tmp_path, criterion=criterion, alpha_constant=0.25, beta_constant=0.25)
    one.set_data(song(), voice())
    one.forward()
    mask, mixture, target = one.mask, one.mixture[:, None], one.target
    rest = mixture - target
    lost, passed = mask * target - target, mask * rest
    shape = passed / passed.norm() - rest / rest.norm()
    sums = [part.square().sum() for part in (lost, passed, shape)]
    by_hand = {
        "l1": (mask * mixture - target).abs().mean(),
        "l2": (mask * mixture - target).square().mean(),
        "component": (0.5 * sums[0] + 0.25 * sums[1] + 0.25 * sums[2]) / mask.numel(),
    }
    assert one.compute_loss() == pytest.approx(by_hand[criterion].item(), rel=1e-5)


def test_component_loss_by_hand() -> None:
    """Lost (0.5 - 1)² twice, passed (0.5 · 2)² twice, in the same shape; weights 0.2 and 0.8."""
    planes = torch.ones(1, 1, 1, 1, 2)
    found = component_loss(0.5 * planes, planes, 2 * planes, alpha=0.2, beta=0.0)
    assert found.item() == pytest.approx((0.8 * 0.5 + 0.2 * 2) / 2)
    assert component_loss(0.5 * planes, planes, 2 * planes, 3.0, 3.0).item() == pytest.approx(0.5)
    silent = component_loss(0 * planes, 0 * planes, (0 * planes).requires_grad_())
    assert silent.item() == 0


def test_a_vae_minimises_its_divergence_too(tmp_path: Path) -> None:
    values = sections(tmp_path, criterion="kl_div")
    values["model_params"] |= {
        **{"model_type": "SpectrogramNetVAE", "recurrent_depth": 1, "hidden_size": 8},
        **{"input_axis": 0},
    }
    one = SpectrogramMaskModel(values, device="cpu")
    one.set_data(song(), voice())
    one.forward()
    distance = (one.estimate - one.target).square().mean()
    divergence = one.separator.network.get_kl_div()
    assert divergence.item() > 0
    assert one.compute_loss() == pytest.approx((distance + divergence).item(), rel=1e-5)
    one.backward()
    one.optimizer_step()
    validated = validate(one)
    assert validated == pytest.approx((one.estimate - one.target).square().mean().item())


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
        rates.append(one.learner.learning_rate)
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
        assert one.learner.learning_rate == pytest.approx(0.001)
    assert learn(rest, 2, 3) == learn(whole, 2, 3)
    assert [one.scheduler_step() for one in (rest, whole)] == [False, False]
    assert rest.progress == whole.progress
    assert rest.learner.scaler.state_dict() == whole.learner.scaler.state_dict()
    assert bool(rest.learner.scaler.state_dict()) == half
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
    """Each part alone: weights, what the optimiser remembers, what validations said."""
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
    steps = one.learner.optimisers[0].state[first]["step"]
    one.load_optim(1)
    assert (steps, one.learner.optimisers[0].state[first]["step"]) == (2, 1)
    assert one.progress.best_sdr == -3.0
    one.load_scheduler(1)
    assert (one.progress.step, one.progress.best_sdr) == (1, -math.inf)


def test_saved_weights_are_a_model_of_the_command_line(tmp_path: Path) -> None:
    one = model(tmp_path)
    one.save_model(0)
    loaded = weights.load(tmp_path / "checkpoint/tiny_0.safetensors")
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
    with pytest.raises(CheckpointError, match="another network's optimiser wrote it"):
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
    with pytest.raises(UsageError, match=r"no mixture: call set_data\(\) before"):
        one.forward()
    one.set_data(song())
    with pytest.raises(UsageError, match=r"no estimate: .* forward\(\) or test\(\)"):
        one.compute_loss()
    one.forward()
    with pytest.raises(UsageError, match="give set_data the mixture and the target"):
        one.compute_loss()
    validate(one)
    with pytest.raises(UsageError, match="no loss to learn from"):
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
    with pytest.raises(UsageError, match="no loss to learn from"):
        one.backward()


def test_validations_that_are_not_finite_are_no_plateau(tmp_path: Path) -> None:
    one = model(tmp_path, stop_patience=1, max_lr_steps=1)
    for loss in (math.nan, math.inf):
        one.val_losses.extend([1.0, loss])
        with pytest.raises(NumericalError, match=f"mean validation loss is {loss}: load weights"):
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
    with pytest.raises(NumericalError, match=r"take a training_params\.lr below 0\.01"):
        one.optimizer_step()
    assert all(map(torch.equal, before, one.separator.parameters()))


@pytest.mark.parametrize(
    ("section", "values", "sentence"),
    [
        ("model_params", {"model_tpye": 1}, "did you mean 'model_type'"),
        ("model_params", {"model_type": "Simple"}, "one of 'SpectrogramNetSimple'"),
        ("model_params", {"model_name": "a/b"}, "a name, without folders"),
        ("model_params", {"hidden_size": 4}, "has no LSTMs, leave out hidden_size"),
        ("dataset_params", {"window_size": 32}, "window_size must be num_fft=64, found 32"),
        ("dataset_params", {"num_fft": 66}, "num_fft must be a multiple of 4, found 66"),
        ("dataset_params", {"hop_lenght": 2}, "did you mean 'hop_length'"),
        ("training_params", {"criterion": "kl_div"}, "needs model_type='SpectrogramNetVAE'"),
        ("training_params", {"stop_patience": 0}, "stop_patience and max_lr_steps must be 1"),
        ("training_parms", {}, "did you mean 'training_params'"),
    ],
)
def test_configs_with_mistakes(
    tmp_path: Path, section: str, values: dict[str, Any], sentence: str
) -> None:
    config = sections(tmp_path)
    config[section] = {**config.get(section, {}), **values}
    with pytest.raises(ConfigError, match=sentence):
        SpectrogramMaskModel(config)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config))
    with pytest.raises(ConfigError, match=rf"config\.json: .*{sentence}"):
        load_config(path)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"{", "it is no JSON"),
        (b"\xff\xfe\xff", "it is no JSON"),
        (b"[]", "it must be an object"),
        (b"{}", "key 'model_params' is missing"),
    ],
)
def test_files_that_are_no_config(tmp_path: Path, content: bytes, sentence: str) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=rf"config\.json: {sentence}"):
        load_config(path)


def test_a_config_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path / "config.json")
