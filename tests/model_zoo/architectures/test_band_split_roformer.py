"""BS-RoFormer and Mel-Band RoFormer. Reference: published layouts of tensors and bands, and
hand-worked numbers; tests/model_zoo/architectures/test_roformer_peers.py compares outputs.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from model_zoo import registry
from model_zoo.architectures.band_split_roformer import (
    BINS_PER_BAND,
    BSRoFormerConfig,
    MelBandRoFormerConfig,
    paper_bands,
)
from model_zoo.errors import ConfigError
from model_zoo.separator import Separator
from tests.model_zoo.blocks.weights import fill, pattern

MEL_RANGES = """
0-6 4-9 7-12 10-15 13-18 16-21 19-24 22-27 25-30 28-33 31-36 34-39 37-42 40-45 43-48 46-52 49-55
53-59 56-64 60-68 65-73 69-78 74-83 79-89 84-96 90-102 97-109 103-117 110-125 118-134 126-144
135-154 145-164 155-176 165-188 177-202 189-216 203-231 217-247 232-264 248-283 265-303 284-324
304-347 325-371 348-397 372-425 398-454 426-486 455-520 487-557 521-596 558-637 597-682 638-730
683-781 731-835 782-894 836-957 895-1024
"""
"""First and last bin of the 60 bands at 44.1 kHz, window 2048, by librosa's mel filters."""

KIM = [last - first + 1 for first, last in (map(int, r.split("-")) for r in MEL_RANGES.split())]
SMALL = ("mel_band_roformer", "bs_roformer")


def layout(
    dim: int, depth: int, bins: list[int], linears: int, norm: str
) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Names and shapes in a public stereo checkpoint of one stem, but for ``rotary_embed.freqs``.

    As in msst's classes with the configurations of MelBandRoformer.ckpt by Kimberley Jensen and
    model_bs_roformer_ep_317_sdr_12.9755.ckpt by viperx, which the default options describe: 8 heads
    of 64 features, hidden layers of 4 times the width.
    """
    for number in range(2 * depth):
        prefix = f"layers.{number // 2}.{number % 2}"
        yield f"{prefix}.layers.0.0.norm.gamma", (dim,)
        yield f"{prefix}.layers.0.0.to_qkv.weight", (1536, dim)
        yield f"{prefix}.layers.0.0.to_gates.weight", (8, dim)
        yield f"{prefix}.layers.0.0.to_gates.bias", (8,)
        yield f"{prefix}.layers.0.0.to_out.0.weight", (dim, 512)
        yield f"{prefix}.layers.0.1.net.0.gamma", (dim,)
        yield f"{prefix}.layers.0.1.net.1.weight", (4 * dim, dim)
        yield f"{prefix}.layers.0.1.net.1.bias", (4 * dim,)
        yield f"{prefix}.layers.0.1.net.4.weight", (dim, 4 * dim)
        yield f"{prefix}.layers.0.1.net.4.bias", (dim,)
        if norm == "each":
            yield f"{prefix}.norm.gamma", (dim,)
    if norm == "final":
        yield "final_norm.gamma", (dim,)
    for band, width in enumerate(bins):
        yield f"band_split.to_features.{band}.0.gamma", (4 * width,)
        yield f"band_split.to_features.{band}.1.weight", (dim, 4 * width)
        yield f"band_split.to_features.{band}.1.bias", (dim,)
    for band, width in enumerate(bins):
        widths = [dim, *[4 * dim] * (linears - 1), 8 * width]
        for number, (given, made) in enumerate(pairwise(widths)):
            yield f"mask_estimators.0.to_freqs.{band}.0.{2 * number}.weight", (made, given)
            yield f"mask_estimators.0.to_freqs.{band}.0.{2 * number}.bias", (made,)


def small(name: str, **options: object) -> Separator:
    return fill(registry.build(name, {**registry.architecture(name).small_options, **options}))


def with_constant_masks(network: Separator) -> Separator:
    """Let every mask be a complex number that depends only on the band: its number, and as much i.

    Half of the last layer's output is 0 and half is huge, so that the gates are open.
    """
    with torch.no_grad():
        for estimator in network.mask_estimators:
            for number, band in enumerate(estimator.to_freqs):
                last = band[0][-1]
                last.weight.zero_()
                values, gates = last.bias.chunk(2)
                values.fill_(float(number))
                gates.fill_(100.0)
    return network


def spectra(network: Separator, mixture: Tensor) -> tuple[Tensor, Tensor]:
    """Spectrogram of the mixture, and of the first stem."""
    spectrum = network.fourier.analyze(mixture)
    output = network.core(network.fourier.features(spectrum))
    return spectrum, network.fourier.apply_output(spectrum, output)[:, 0]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mel_band_roformer", layout(384, 6, KIM, 3, "each")),
        ("bs_roformer", layout(512, 12, [*BINS_PER_BAND], 2, "final")),
    ],
)
def test_tensors_are_those_of_public_checkpoints(
    name: str, expected: Iterator[tuple[str, tuple[int, ...]]]
) -> None:
    with torch.device("meta"):
        network = registry.build(name, {})
    ours = {key: tuple(value.shape) for key, value in network.state_dict().items()}
    assert ours.pop("fourier.window") == (2048,)
    assert list(ours.items()) == list(expected)


def test_mel_bands_are_those_of_the_published_network() -> None:
    members = MelBandRoFormerConfig().members()
    ranges = [f"{bins[0]}-{bins[-1]}" for bins in map(bins_of, members)]
    assert ranges == MEL_RANGES.split()
    assert members.sum(1).tolist() == KIM


def bins_of(members: Tensor) -> list[int]:
    return members.nonzero().flatten().tolist()


def test_bands_of_the_paper_for_other_windows() -> None:
    """By hand: all limits but the last double; for 256 samples the narrowest bands vanish."""
    assert paper_bands(2048) == BINS_PER_BAND
    assert paper_bands(4096) == (*(2 * width for width in BINS_PER_BAND[:-1]), 257)
    assert min(paper_bands(256)) == 1
    assert sum(paper_bands(256)) == 129


def test_bands_of_bs_roformer_are_adjacent() -> None:
    members = BSRoFormerConfig(window_size=16, hop_size=4, bins_per_band=(2, 3, 4)).members()
    assert [bins_of(band) for band in members] == [[0, 1], [2, 3, 4], [5, 6, 7, 8]]


@pytest.mark.parametrize("zero_dc", [False, True])
@pytest.mark.parametrize("name", SMALL)
def test_masks_are_complex_and_averaged_over_bands(name: str, zero_dc: bool) -> None:
    """The mask of band k is k (1 + i); a bin in two bands gets the mean of both."""
    network = with_constant_masks(small(name, zero_dc=zero_dc))
    members = network.config.members().float()
    mask = torch.arange(float(len(members))) @ members / members.sum(0) * (1 + 1j)
    if zero_dc:
        mask[0] = 0
    with torch.no_grad():
        spectrum, stem = spectra(network, pattern(2, 2, 1000))
    torch.testing.assert_close(stem, spectrum * mask[:, None])


@pytest.mark.parametrize("name", SMALL)
def test_tokens_contain_bin_then_channel_then_part(name: str) -> None:
    """By hand: real and imaginary parts of left, then right, of the first two bins."""
    fourier = small(name).fourier
    spectrum = fourier.analyze(pattern(1, 2, 1000))
    first = torch.view_as_real(spectrum[0, :, :2, 3]).transpose(0, 1).flatten()
    assert torch.equal(fourier.features(spectrum)[0, 3, :8], first)


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize(
    "options",
    [
        {"audio_channels": 1},
        {"norm": "both"},
        {"attention_bias": True},
        {"mask_layers": 1},
        {"time_blocks": 2},
        {"freq_blocks": 2},
        {"skip_connection": True},
        {"hop_size": 32},
    ],
)
def test_every_option_changes_the_output(name: str, options: dict[str, object]) -> None:
    """Property: no option is ignored."""
    changed = small(name, **options)
    mixture = pattern(1, changed.channels, 700)
    with torch.no_grad():
        output = changed(mixture)
        assert output.shape == (1, 1, changed.channels, 700)
        assert changed.channels == 1 or not torch.allclose(output, small(name)(mixture), rtol=1e-3)


@pytest.mark.parametrize(
    ("kind", "options", "mistake"),
    [
        (MelBandRoFormerConfig, {"num_bands": 500}, "num_bands=500 must be lower for window_size"),
        (MelBandRoFormerConfig, {"num_bands": 2**15}, "bands times window_size must be at most"),
        (BSRoFormerConfig, {"window_size": 2**20}, "bands times window_size must be at most"),
        (MelBandRoFormerConfig, {"hop_size": 0}, "hop_size must be at least 1, found 0"),
        (MelBandRoFormerConfig, {"head_channels": 7}, "head_channels must be even, found 7"),
        (MelBandRoFormerConfig, {"dropout": 1.0}, r"dropout must be in \[0, 1\), found 1.0"),
        (MelBandRoFormerConfig, {"audio_channels": 3}, "audio_channels must be 1 or 2"),
        (BSRoFormerConfig, {"bins_per_band": (1000, 24)}, "add up to the 1025 bins .* found 1024"),
        (
            BSRoFormerConfig,
            {"bins_per_band": (1025, 0)},
            "bins_per_band must be 1 or more, found 0",
        ),
    ],
)
def test_invalid_options_are_refused(
    kind: type[MelBandRoFormerConfig], options: dict[str, object], mistake: str
) -> None:
    with pytest.raises(ConfigError, match=mistake):
        kind(**options)  # type: ignore[arg-type]


def test_names_of_published_configurations_are_explained() -> None:
    with pytest.raises(ConfigError, match="unknown key 'dim', use hidden_channels"):
        registry.build("bs_roformer", {"dim": 384})


def test_sequences_longer_than_the_segment_give_the_same() -> None:
    """Property: the table of rotations is extended."""
    mixture = pattern(1, 2, 6000)
    with torch.no_grad():
        short, long = (small("bs_roformer", segment=length) for length in (512, 8192))
        torch.testing.assert_close(short(mixture), long(mixture))
