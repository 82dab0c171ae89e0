"""SCNet, against values worked by hand and against msst 0.1.0, which trained published weights."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from model_zoo.architectures.scnet import SCNet, SCNetConfig
from model_zoo.blocks.sparse_compression import (
    RepeatedConv,
    Subband,
    from_modulation_spectrum,
    modulation_spectrum,
)
from model_zoo.errors import ConfigError
from tests.golden.msst.make_layouts import golden, layout
from tests.model_zoo.architectures import msst
from tests.model_zoo.blocks.weights import fill, pattern

SMALL = SCNet.small_options


def test_bands_of_every_level_by_hand() -> None:
    """2049 bins: 17.5 % are 358.6, 56.7 % are 1161.8; the next level has 359 + 201 + 56 bins."""
    levels = [[(band.bins, band.compressed) for band in level] for level in SCNetConfig().levels()]
    assert levels == [
        [(359, 359), (803, 201), (887, 56)],
        [(108, 108), (242, 61), (266, 17)],
        [(33, 33), (73, 19), (80, 5)],
    ]


@pytest.mark.parametrize(
    ("band", "padding"),
    [
        (Subband(359, 1, 3), (1, 1)),
        (Subband(803, 4, 4), (0, 1)),
        (Subband(887, 16, 16), (4, 5)),
        (Subband(5, 2, 4), (0, 1)),
    ],
)
def test_padding_by_hand(band: Subband, padding: tuple[int, int]) -> None:
    """To the next multiple of the stride, or to the same number of bins without one."""
    assert band.padding == padding


def test_a_repeated_convolution_is_that_of_two_copies() -> None:
    """Reference: torch's convolution."""
    layer, plane = fill(RepeatedConv(6, 4, 3, padding=1)), pattern(2, 3, 5, 7)
    expected = nn.Conv2d.forward(layer, torch.cat([plane, plane], dim=1))
    torch.testing.assert_close(layer(plane), expected)


@pytest.mark.parametrize("frames", [6, 7])
def test_the_modulation_spectrum_is_invertible(frames: int) -> None:
    plane = pattern(2, 3, 4, frames)
    spectrum = modulation_spectrum(plane)
    assert spectrum.shape == (2, 6, 4, frames // 2 + 1)
    torch.testing.assert_close(from_modulation_spectrum(spectrum, frames), plane)


@pytest.mark.parametrize(
    ("samples", "frames"), [(256, 6), (319, 6), (320, 8), (384, 8), (447, 8), (448, 10)]
)
def test_the_number_of_frames_is_even_by_hand(samples: int, frames: int) -> None:
    """Hops of 64: one sample of silence or more, up to an odd number of hops, and a frame more."""
    frontend = SCNet(**SMALL).fourier
    assert frontend.analyze(torch.zeros(1, 2, samples)).shape[-1] == frames


@pytest.mark.parametrize("normalized", [True, False])
@pytest.mark.parametrize("output", ["map", "mask"])
def test_the_front_end_is_torchs_stft(output: str, normalized: bool) -> None:
    """Reference: torch.stft, whose window is rectangular unless there is one."""
    frontend = SCNet(**{**SMALL, "output": output, "normalized": normalized}).fourier
    wave = pattern(1, 2, 319)
    window = torch.ones(256) if output == "map" else torch.hann_window(256)
    padded = torch.cat([wave, torch.zeros(1, 2, 1)], dim=-1)[0]
    expected = torch.stft(
        padded, 256, 64, window=window, normalized=normalized, return_complex=True
    )
    spectrum = frontend.analyze(wave)
    torch.testing.assert_close(spectrum[0], expected)
    torch.testing.assert_close(frontend.synthesize(spectrum.unsqueeze(1), wave)[:, 0], wave)


@pytest.mark.parametrize(("reference", "output"), [("scnet", "map"), ("scnet_masked", "mask")])
def test_tensors_have_the_published_names_and_shapes(reference: str, output: str) -> None:
    """Reference: the golden file of msst's networks."""
    options: dict[str, Any] = {"widths": (8, 12), "num_layers": 2, "conv_depths": (2, 1, 1)}
    stems = SCNetConfig().stems
    network = SCNet(**{**SMALL, **options, "stems": stems, "output": output}).network
    assert sorted(layout(network)) == sorted(golden(reference))


@pytest.mark.parametrize(
    ("options", "tensors"),
    [({}, 372), ({"num_layers": 8}, 420), ({"output": "mask"}, 377)],
)
def test_numbers_of_tensors(options: dict[str, Any], tensors: int) -> None:
    """Those of the published checkpoints of SCNet, and of one with two more pairs of LSTMs.

    By hand: a pair has 8 tensors per LSTM, and weight and bias of two linear layers and two norms.
    """
    with torch.device("meta"):
        assert len(SCNet(**options).network.state_dict()) == tensors


def test_masks_train_every_parameter() -> None:
    """Property: the layers and the offset that only masks have get a gradient too."""
    network = SCNet(**{**SMALL, "output": "mask"})
    network(pattern(2, 2, 1600)).square().sum().backward()
    without = {name for name, x in network.named_parameters() if x.grad is None or not x.grad.any()}
    assert without == set()
    in_blocks = {id(x) for block in network.blocks() for x in block.parameters()}
    outside = {name for name, x in network.named_parameters() if id(x) not in in_blocks}
    assert outside == {"network.pos_embed_f"}


@pytest.mark.parametrize(
    ("options", "mistake"),
    [
        ({"num_layers": 5}, "num_layers must be even"),
        ({"audio_channels": 3}, "audio_channels must be 1 or 2"),
        ({"band_strides": (1, 4)}, "band_strides must have three values"),
        ({"band_ratios": (0.5, 0.4, 0.4)}, "band_ratios must be above 0 and add up to 1"),
        ({"band_ratios": (0.5, float("nan"), 0.4)}, "band_ratios must be above 0 and add up to 1"),
        ({"band_kernels": (3, 6, 16)}, "band_kernels must be multiples of band_strides"),
        ({"band_strides": (0, 4, 16)}, "band_strides must be at least 1"),
        ({"conv_depths": (3, 2, 0)}, "conv_depths must be at least 1"),
        ({"conv_kernel": 4}, "conv_kernel must be odd"),
        ({"widths": (2, 64)}, "widths must be at least compress=4"),
        ({"widths": ()}, "widths must be at least compress=4"),
        (
            {"window_size": 16, "hop_size": 4, "band_kernels": (3, 8, 16)},
            "window_size=16 leaves level 1 a band without bins",
        ),
    ],
)
def test_invalid_options_are_refused(options: dict[str, Any], mistake: str) -> None:
    with pytest.raises(ConfigError, match=mistake):
        SCNetConfig(**options)


SMALL_STFT = {"window_size": 512, "hop_size": 128, "segment": 8000}
LARGE = {"widths": (64, 128, 256), "band_ratios": (0.225, 0.372, 0.403)}
IHF = {
    **{"band_ratios": (0.23, 0.37, 0.4), "band_strides": (1, 4, 4), "band_kernels": (3, 4, 4)},
    "conv_depths": (3, 3, 3),
}
"""Published as SCNet XL IHF, with the widths of the large one and 8 layers."""


@pytest.mark.peers
@pytest.mark.filterwarnings(msst.WITHOUT_WINDOW)
@pytest.mark.parametrize(
    "options",
    [
        {"widths": (8, 12, 16)},
        {"widths": (8, 12), **IHF},
        {"widths": (8,), "stems": ("vocals",), "num_layers": 8},
        {"widths": (8,), "normalized": False},
        {"widths": (8,), "expand": 2, "conv_kernel": 5, "compress": 2},
        {"widths": (8,), "audio_channels": 1},
        {"widths": (8, 12), "output": "mask"},
        {"widths": (8, 12), "output": "mask", "stems": ("vocals",), **IHF},
    ],
)
@pytest.mark.parametrize(("batch", "samples"), [(1, 512), (2, 4999), (1, 640), (1, 768)])
def test_outputs_are_those_of_msst(options: dict[str, Any], batch: int, samples: int) -> None:
    network = SCNet(**{"num_layers": 2, **options, **SMALL_STFT})
    assert error(network, pattern(batch, network.channels, samples)) < 1e-5


@pytest.mark.peers
@pytest.mark.slow
@pytest.mark.filterwarnings(msst.WITHOUT_WINDOW)
@pytest.mark.parametrize(
    "options",
    [{}, LARGE, {**LARGE, **IHF, "num_layers": 8}, {"output": "mask"}],
    ids=["base", "large", "xl_ihf", "masked"],
)
def test_networks_of_published_sizes_equal_those_of_msst(options: dict[str, Any]) -> None:
    assert error(SCNet(**options), pattern(1, 2, 66_150)) < 1e-5


def error(network: SCNet, mixture: Tensor) -> float:
    """Relative error of a network that takes the tensors of the other, which are random."""
    config = network.config
    build = msst.scnet_masked if config.output == "mask" else msst.scnet
    peer = msst.perturb(build(**their_options(config)))
    network.eval().network.load_state_dict(peer.state_dict())
    with torch.inference_mode():
        relative = msst.relative_error(network(mixture), peer(mixture))
    print(f"relative error {relative:.1e}")
    return relative


def their_options(config: SCNetConfig) -> dict[str, Any]:
    """The same options by the names of the authors."""
    return {
        "sources": config.stems,
        "audio_channels": config.audio_channels,
        "dims": [2 * config.audio_channels, *config.widths],
        "nfft": config.window_size,
        "hop_size": config.hop_size,
        "win_size": config.window_size,
        "normalized": config.normalized,
        "band_SR": config.band_ratios,
        "band_stride": config.band_strides,
        "band_kernel": config.band_kernels,
        "conv_depths": config.conv_depths,
        "compress": config.compress,
        "conv_kernel": config.conv_kernel,
        "num_dplayer": config.num_layers,
        "expand": config.expand,
    }
