"""Parts of Spleeter, against torch's own layers, properties of masks and values worked by hand.

The complete network is compared with the original in tests/model_zoo/importers/test_spleeter.py.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from model_zoo.architectures.spleeter import Doubling, Halving, Spleeter, SpleeterConfig
from model_zoo.errors import ConfigError
from model_zoo.ops.spectra import gain, power_ratio
from tests.model_zoo.blocks.weights import fill, pattern

SMALL = Spleeter.small_options


def network(**options: object) -> Spleeter:
    return fill(Spleeter(**{**SMALL, **options}), size=0.2)


def spectrum_and_masks(separator: Spleeter, mixture: Tensor) -> tuple[Tensor, Tensor]:
    """The spectrogram of a mixture and the masks of all stems."""
    spectrum = separator.fourier.analyze(mixture)
    output = separator.core(separator.fourier.features(spectrum))
    return spectrum, separator.fourier.masks(spectrum, output)


@pytest.mark.parametrize("out", [1, 2, 5])
def test_doubling_is_a_transposed_convolution(out: int) -> None:
    """Reference: torch's, with its bias, cropped by one sample in front and two at the end."""
    layer, plane = fill(Doubling(3, out)), pattern(2, 3, 6, 4)
    uncropped = F.conv_transpose2d(plane, layer.weight, layer.bias, stride=2)
    torch.testing.assert_close(layer(plane), uncropped[..., 1:-2, 1:-2])


def test_halving_pads_more_at_the_end_than_in_front() -> None:
    """By hand: a kernel with a 1 in its first corner gives the samples at -1, 1, 3, ..."""
    layer = Halving(1, 1)
    with torch.no_grad():
        layer.weight.zero_()
        layer.weight[0, 0, 0, 0] = 1
        plane = torch.arange(1.0, 17).reshape(1, 1, 4, 4)
        assert layer(plane).flatten().tolist() == [0, 0, 0, 6]


@pytest.mark.parametrize(
    ("estimates", "exponent", "masks"),
    [((3.0, 1.0), 2, (0.9, 0.1)), ((3.0, 1.0), 1, (0.75, 0.25)), ((0.0, 0.0), 2, (0.5, 0.5))],
)
def test_masks_by_hand(
    estimates: tuple[float, ...], exponent: int, masks: tuple[float, ...]
) -> None:
    result = power_ratio(torch.tensor(estimates).reshape(1, 2, 1), exponent).flatten()
    torch.testing.assert_close(result, torch.tensor(masks))


@pytest.mark.parametrize("stems", [("a", "b"), ("a", "b", "c", "d")])
def test_with_averaged_high_bins_stems_add_up_to_the_song(stems: tuple[str, ...]) -> None:
    mixture = pattern(1, 2, 5000)
    separated = network(stems=stems, mask_extension="average")(mixture)
    torch.testing.assert_close(separated.sum(1), mixture, atol=1e-5, rtol=1e-4)


def test_the_last_stem_equals_its_masked_mixture() -> None:
    """Property: masks add up to 1, so the residual is the mixture times the last mask."""
    separator, mixture = network(), pattern(1, 2, 5000)
    spectrum, masks = spectrum_and_masks(separator, mixture)
    spectra = torch.view_as_real(gain(spectrum.unsqueeze(1), masks))
    expected = separator.fourier.istft(spectra, mixture.shape[-1])
    torch.testing.assert_close(separator(mixture), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("extension", "is_silent"), [("zeros", True), ("average", False)])
def test_mask_extension_above_the_highest_bin(extension: str, is_silent: bool) -> None:
    """By hand: the network gets 64 of 129 bins."""
    separator = network(mask_extension=extension)
    _, masks = spectrum_and_masks(separator, pattern(1, 2, 8000))
    assert (not masks[..., 64:, :, :].any()) is is_silent
    assert masks[..., :64, :, :].any()


@pytest.mark.parametrize(("samples", "frames"), [(300, 8), (63 * 8, 8), (64 * 8, 16), (5000, 96)])
def test_short_mixtures_use_short_blocks(samples: int, frames: int) -> None:
    """By hand: one frame per 64 samples plus one, in blocks of 32 frames or of 8, 16, 24."""
    frontend = network().fourier
    blocks = frontend.features(frontend.analyze(pattern(1, 2, samples)))
    assert blocks.shape[0] * blocks.shape[2] == frames


@pytest.mark.parametrize(
    ("options", "mistake"),
    [
        ({"stems": ("vocals",)}, "stems must name at least two sources"),
        ({"num_levels": 7}, "num_levels must be from 1 to the 6 of filters, found 7"),
        ({"num_frames": 500}, "num_frames must be a multiple of 64 for num_levels=6, found 500"),
        ({"num_bins": 2112}, "num_bins must be at most the 2049 of window_size=4096, found 2112"),
        ({"separation_exponent": 0.0}, "separation_exponent must be above 0"),
        ({"dropout": 1.0}, r"dropout must be in \[0, 1\), found 1.0"),
        ({"filters": (16, 0, 64, 128, 256, 512)}, "filters must be at least 1, found 0"),
    ],
)
def test_invalid_options_are_refused(options: dict[str, object], mistake: str) -> None:
    with pytest.raises(ConfigError, match=mistake):
        SpleeterConfig(**options)  # type: ignore[arg-type]
