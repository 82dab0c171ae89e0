"""Separation by masks in the hands of a program's own loop.

Truth: the example of ``002_e99d73cb434ccfd9.txt``; laws (full masks give the mixture back); numbers
by hand.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from tests.model_zoo.blocks.weights import pattern
from tests.trainers.masking import (
    model,
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
    analyzed = one.separator.fourier.analyze(mixture)
    torch.testing.assert_close(torch.polar(one.mixture, one.phase), analyzed)
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
