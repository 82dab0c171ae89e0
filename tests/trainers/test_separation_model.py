"""Separation models by masks, for training loops of other programs.

Reference: the example of ``002_e99d73cb434ccfd9.txt``, and numbers by hand. Property: masks of 1
give the mixture back.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from tests.model_zoo.blocks.weights import pattern
from tests.trainers.masking import (
    make_model,
    open_masks,
    sections,
    song,
    validate,
    voice,
)
from trainers.losses.waveform import component_loss
from trainers.separation_model import SeparationModel, SpectrogramMaskModel, load_config


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
    """132,300 samples are padded to 259 hops of 512; a window of 1024 has 513 bins."""
    values = sections(tmp_path)
    del values["dataset_params"]
    model = SpectrogramMaskModel(values, device="cpu")
    assert model.separator.network.shape == (1, 513, 260)


def test_the_base_class_is_abstract(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="abstract"):
        SeparationModel(sections(tmp_path))


@pytest.mark.parametrize("shape", [(1, 700), (2, 333), (3, 2, 250), (2, 1, 1), (1, 5), (1, 4000)])
def test_masks_of_one_return_audio_of_any_shape(tmp_path: Path, shape: tuple[int, ...]) -> None:
    model, audio = open_masks(make_model(tmp_path)), pattern(*shape)
    torch.testing.assert_close(model.separate(audio), audio, atol=1e-5, rtol=1e-4)
    assert model.separator.training


def test_an_estimate_is_the_masked_magnitude_with_the_mixture_phase(tmp_path: Path) -> None:
    """The song is short enough for the engine to process it as a single chunk."""
    model = make_model(tmp_path)
    mixture = song(length=model.separator.segment // 4)
    model.set_data(mixture)
    magnitudes = model.test()
    spectrum = torch.polar(magnitudes, model.phase)[:, 0]
    window = torch.hann_window(64)
    by_hand = torch.istft(spectrum, 64, 16, window=window, length=mixture.shape[-1])
    analyzed = model.separator.fourier.analyze(mixture)
    torch.testing.assert_close(torch.polar(model.mixture, model.phase), analyzed)
    assert model.separate(mixture)[0].shape == by_hand.shape
    torch.testing.assert_close(model.separator(mixture)[:, 0, 0], by_hand, atol=1e-5, rtol=1e-4)


def test_several_targets_have_their_own_axis(tmp_path: Path) -> None:
    values = sections(tmp_path)
    values["dataset_params"] |= {"targets": ["vocals", "drums", "bass"], "num_channels": 2}
    model = SpectrogramMaskModel(values, device="cpu")
    assert model.separate(pattern(2, 300)).shape == (3, 2, 300)
    assert model.separate(pattern(2, 2, 300)).shape == (2, 3, 2, 300)
    model.set_data(pattern(2, 2, 200), pattern(2, 3, 2, 200))
    assert model.forward().shape == (2, 3, 2, 33, 13)
    assert model.compute_loss() == pytest.approx(
        (model.mask * model.mixture[:, None] - model.target).square().mean().item()
    )


def test_a_mono_network_processes_each_channel_separately(tmp_path: Path) -> None:
    model = make_model(tmp_path)
    pair, stems = pattern(3, 2, 200), pattern(3, 2, 200, phase=1)
    model.eval()
    model.set_data(pair, stems)
    together = model.forward()
    assert together.shape == (3, 2, 33, 13)
    model.set_data(pair[:, 1:], stems[:, 1:])
    torch.testing.assert_close(model.forward(), together[:, 1:], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("criterion", ["l1", "l2", "component"])
def test_criteria(tmp_path: Path, criterion: str) -> None:
    model = make_model(tmp_path, criterion=criterion, alpha_constant=0.25, beta_constant=0.25)
    model.set_data(song(), voice())
    model.forward()
    mask, mixture, target = model.mask, model.mixture[:, None], model.target
    rest = mixture - target
    target_error, residual = mask * target - target, mask * rest
    shape_error = residual / residual.norm() - rest / rest.norm()
    sums = [part.square().sum() for part in (target_error, residual, shape_error)]
    by_hand = {
        "l1": (mask * mixture - target).abs().mean(),
        "l2": (mask * mixture - target).square().mean(),
        "component": (0.5 * sums[0] + 0.25 * sums[1] + 0.25 * sums[2]) / mask.numel(),
    }
    assert model.compute_loss() == pytest.approx(by_hand[criterion].item(), rel=1e-5)


def test_component_loss_by_hand() -> None:
    """Target error (0.5 - 1)² and residual (0.5 · 2)², twice each; weights 0.2 and 0.8."""
    planes = torch.ones(1, 1, 1, 1, 2)
    found = component_loss(0.5 * planes, planes, 2 * planes, alpha=0.2, beta=0.0)
    assert found.item() == pytest.approx((0.8 * 0.5 + 0.2 * 2) / 2)
    assert component_loss(0.5 * planes, planes, 2 * planes, 3.0, 3.0).item() == pytest.approx(0.5)
    silent = component_loss(0 * planes, 0 * planes, (0 * planes).requires_grad_())
    assert silent.item() == 0


def test_the_vae_criterion_adds_the_divergence(tmp_path: Path) -> None:
    values = sections(tmp_path, criterion="kl_div")
    values["model_params"] |= {
        **{"model_type": "SpectrogramNetVAE", "recurrent_depth": 1, "hidden_size": 8},
        **{"input_axis": 0},
    }
    model = SpectrogramMaskModel(values, device="cpu")
    model.set_data(song(), voice())
    model.forward()
    distance = (model.estimate - model.target).square().mean()
    divergence = model.separator.network.get_kl_div()
    assert divergence.item() > 0
    assert model.compute_loss() == pytest.approx((distance + divergence).item(), rel=1e-5)
    model.backward()
    model.optimizer_step()
    validated = validate(model)
    assert validated == pytest.approx((model.estimate - model.target).square().mean().item())
