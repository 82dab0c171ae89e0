"""MDX23C, against values worked by hand and against msst 0.1.0, which trained published weights."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from model_zoo.architectures.mdx23c import MDX23C, MDX23CConfig
from model_zoo.errors import ConfigError
from tests.golden.msst.make_layouts import golden, layout
from tests.model_zoo.architectures import msst
from tests.model_zoo.blocks.weights import pattern

SMALL = MDX23C.small_options
STEREO = {"stems": ("vocals", "instrumental"), "num_scales": 1}


@pytest.mark.parametrize(
    ("samples", "frames"), [(256, 8), (64 * 7, 8), (64 * 7 + 1, 16), (64 * 15, 16), (1000, 24)]
)
def test_the_number_of_frames_by_hand(samples: int, frames: int) -> None:
    """Hops of 64 and one frame more, to a multiple of the 8 frames that three scales join."""
    frontend = MDX23C(**SMALL).fourier
    assert frontend.analyze(torch.zeros(1, 2, samples)).shape[-1] == frames


def test_a_segment_is_not_padded() -> None:
    """By hand: 256 frames begin at 255 multiples of the hop."""
    config = MDX23CConfig()
    assert config.segment == 255 * config.hop_size
    assert 256 % config.frame_multiple == 0


def test_subbands_become_channels_and_back() -> None:
    """By hand: channel, then real or imaginary part, then subband."""
    frontend = MDX23C(**SMALL).fourier
    spectrum = frontend.analyze(pattern(1, 2, 448))
    features = frontend.features(spectrum)
    channel, part, band = 1, 1, 0
    expected = spectrum[0, channel, band * 64 : (band + 1) * 64].imag.mT
    assert torch.equal(features[0, 4 * channel + 2 * part + band], expected)
    restored = frontend.apply_output(spectrum, features)[:, 0]
    assert torch.equal(restored[..., :128, :], spectrum[..., :128, :])
    assert not restored[..., 128:, :].any()


@pytest.mark.parametrize(
    ("reference", "norm"), [("mdx23c", "InstanceNorm"), ("mdx23c_batch", "BatchNorm")]
)
def test_tensors_have_the_published_names_and_shapes(reference: str, norm: str) -> None:
    """Reference: the golden file of msst's networks."""
    network = MDX23C(**{**SMALL, **STEREO, "norm": norm}).network
    assert sorted(layout(network)) == sorted(golden(reference))


def test_names_of_all_tensors_at_full_size() -> None:
    """By hand: 11 groups of two blocks, 13 tensors per block and 3 per change of scale."""
    block = [
        *(f"{part}.0.{kind}" for part in ("tfc1", "tfc2") for kind in ("weight", "bias")),
        *(f"tdf.{layer}.{kind}" for layer in (0, 3) for kind in ("weight", "bias")),
        *("tfc1.2.weight", "tfc2.2.weight", "tdf.2.weight", "tdf.5.weight", "shortcut.weight"),
    ]
    change = ["conv.0.weight", "conv.0.bias", "conv.2.weight"]
    groups = [
        "bottleneck_block",
        *(f"{way}_blocks.{level}.tfc_tdf" for way in ("encoder", "decoder") for level in range(5)),
    ]
    changes = [
        *(f"encoder_blocks.{level}.downscale" for level in range(5)),
        *(f"decoder_blocks.{level}.upscale" for level in range(5)),
    ]
    with torch.device("meta"):
        names = {*MDX23C().network.state_dict()}
    assert names == {
        *("first_conv.weight", "final_conv.0.weight", "final_conv.2.weight"),
        *(f"{group}.blocks.{i}.{name}" for group, i, name in product(groups, range(2), block)),
        *(f"{one}.{name}" for one, name in product(changes, change)),
    }
    assert len(names) == 319


@pytest.mark.parametrize(
    ("options", "mistake"),
    [
        ({"num_bins": 4100}, "num_bins must be a multiple of 128"),
        ({"num_bins": 8192}, "num_bins must be at most the 4097 of window_size=8192"),
        ({"scale": (2,)}, "scale must be two numbers of at least 1"),
        ({"scale": (2, 0)}, "scale must be two numbers of at least 1"),
        ({"num_scales": 40}, "num_scales at most 16"),
        ({"bottleneck_factor": 64}, "bottleneck_factor must be at most 32, the bins of the lowest"),
        ({"norm": "LayerNorm"}, "norm must be BatchNorm, InstanceNorm or GroupNorm"),
        ({"norm": "GroupNorm"}, "norm must be BatchNorm, InstanceNorm or GroupNorm"),
        ({"norm": "GroupNorm3"}, "must be multiples of the 3 groups of norm"),
        ({"activation": "elu"}, "activation must be gelu, relu or elu with its alpha behind"),
        ({"audio_channels": 3}, "audio_channels must be 1 or 2"),
        ({"growth": 0}, "growth must be at least 1, found 0"),
    ],
)
def test_invalid_options_are_refused(options: dict[str, Any], mistake: str) -> None:
    with pytest.raises(ConfigError, match=mistake):
        MDX23CConfig(**options)


COMPARED = {
    **{"window_size": 512, "hop_size": 128, "num_bins": 256, "segment": 8000, "num_scales": 2},
    **{"hidden_channels": 8, "growth": 4, "bottleneck_factor": 2},
}


@pytest.mark.peers
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"norm": "BatchNorm", "activation": "relu"},
        {"norm": "GroupNorm4", "activation": "elu1.0"},
        {"activation": "elu0.5", "stems": ("a", "b", "c")},
        {"scale": (1, 2), "num_subbands": 2, "num_blocks": 1, "stems": ("a",)},
        {"num_bins": 192, "num_subbands": 1, "num_scales": 3},
        {"audio_channels": 1},
    ],
)
@pytest.mark.parametrize(("batch", "samples"), [(1, 15 * 128), (2, 4999), (1, 1000), (1, 512)])
def test_outputs_are_those_of_msst(options: dict[str, Any], batch: int, samples: int) -> None:
    """The other network gets whole multiples of frames, which its program makes by padding."""
    network = MDX23C(**{**COMPARED, **options})
    assert error(network, pattern(batch, network.channels, samples)) < 1e-5


@pytest.mark.peers
@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"growth": 64, "window_size": 12_288, "hop_size": 2048},
        {"stems": tuple("abcdef"), "num_bins": 1024, "window_size": 2048, "hop_size": 512},
    ],
    ids=["8kfft_instvoc_hq", "d1581", "drumsep"],
)
def test_networks_of_published_sizes_equal_those_of_msst(options: dict[str, Any]) -> None:
    network = MDX23C(**options)
    assert error(network, pattern(1, 2, 31 * network.config.hop_size)) < 1e-5


def error(network: MDX23C, mixture: Tensor) -> float:
    """Relative error of a network that takes the tensors of the other, which are random."""
    config = network.config
    peer = msst.perturb(msst.mdx23c(*their_options(config), len(config.stems)))
    network.eval().network.load_state_dict(peer.state_dict())
    samples = mixture.shape[-1]
    hops = -(-samples // config.hop_size)
    hops += -(1 + hops) % config.frame_multiple
    whole = F.pad(mixture, (0, hops * config.hop_size - samples))
    with torch.inference_mode():
        # The other one shapes its output as stereo, whatever its channels.
        expected = peer(whole).reshape(len(mixture), len(config.stems), -1, whole.shape[-1])
        relative = msst.relative_error(network(mixture), expected[..., :samples])
    print(f"relative error {relative:.1e}")
    return relative


def their_options(config: MDX23CConfig) -> tuple[dict[str, Any], dict[str, Any]]:
    """The same options by the names of the authors: sections ``audio`` and ``model``."""
    audio = {
        "n_fft": config.window_size,
        "hop_length": config.hop_size,
        "dim_f": config.num_bins,
        "num_channels": config.audio_channels,
    }
    model = {
        "norm": config.norm,
        "act": config.activation,
        "num_subbands": config.num_subbands,
        "num_scales": config.num_scales,
        "scale": [*config.scale],
        "num_blocks_per_scale": config.num_blocks,
        "num_channels": config.hidden_channels,
        "growth": config.growth,
        "bottleneck_factor": config.bottleneck_factor,
    }
    return audio, model
