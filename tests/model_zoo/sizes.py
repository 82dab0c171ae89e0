"""Networks with documented parameter counts, and options for several stems."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

THREE = ("vocals", "drums", "bass")
SIX = ("drums", "bass", "other", "vocals", "guitar", "piano")

SEVERAL: dict[str, Mapping[str, Any]] = {
    "melroformer": {"stems": THREE, "audio_channels": 2},
    "melrnn": {"stems": THREE, "audio_channels": 2},
    "melunet": {"stems": THREE, "audio_channels": 2},
    "phase_predictor": {"in_channels": 1},
    "vq_frame_transformer": {"in_channels": 1},
    "spectrogram_net_simple": {"stems": THREE, "num_channels": 2},
    "spectrogram_net_lstm": {"stems": THREE, "num_channels": 2},
    "spectrogram_net_vae": {"stems": THREE, "num_channels": 2},
    "tfswa_resunet": {"stems": THREE, "audio_channels": 2},
    "mel_band_roformer": {"stems": THREE, "audio_channels": 1},
    "bs_roformer": {"stems": THREE, "audio_channels": 1},
    "spleeter": {"stems": THREE, "output": "softmax"},
    "open_unmix": {"stems": THREE, "residual": True, "audio_channels": 1},
    "hdemucs": {"stems": THREE, "audio_channels": 1},
    "htdemucs": {"stems": THREE, "audio_channels": 1},
    "scnet": {"stems": THREE, "audio_channels": 1},
    "mdx23c": {"stems": THREE, "audio_channels": 1},
}
"""Changes to the small options: three stems if the network gives stems, and another number of
audio channels if there is a choice. Architectures without an entry get three stems."""


@dataclass(frozen=True)
class Documented:
    """A network's documented parameter count and its constructor arguments."""

    parameters: int
    arguments: tuple[Any, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)


MSRKIT = (2048, 512, 48_000)
"""Window, hop and sample rate of the published weights."""

AURALFLOW = (1024, 173, 1, 16)
"""Bins, frames, channels and features of the examples in auralflow's documentation."""

NORMALIZED = {"normalize_input": True, "normalize_output": True}
DEEP_LSTM = {"recurrent_depth": 2, "hidden_size": 2048}
SKIPPED = {"skip_projection": False}

BS_OF_FOUR_STEMS = {
    **{"hidden_channels": 384, "num_layers": 8, "mask_expansion": 2},
    "stems": ("vocals", "drums", "bass", "other"),
}
LARGE = {"widths": (64, 128, 256), "band_ratios": (0.225, 0.372, 0.403)}
XL = {"widths": (64, 128, 256), "band_ratios": (0.23, 0.37, 0.4), "num_layers": 8}
IHF = {"band_strides": (1, 4, 4), "band_kernels": (3, 4, 4), "conv_depths": (3, 3, 3)}
DRUMS = {"stems": ("kick", "snare", "toms", "hh", "ride", "crash"), "num_bins": 1024}
"""Options of published networks: SCNet's larger ones, and the MDX23C that takes drums apart."""

DOCUMENTED: dict[str, tuple[Documented, ...]] = {
    "melroformer": (
        Documented(8_841_856, (128, 12, 4, *MSRKIT)),
        Documented(8_776_064, (128, 12, 4, 2048, 512, 44_100)),
    ),
    "melrnn": (
        Documented(6_813_568, (128, 9, 8, *MSRKIT)),
        Documented(6_868_864, (128, 9, 8, *MSRKIT), {"time_bidirectional": False}),
        Documented(5_513_856, (128, 4, 4, *MSRKIT), {"time_bidirectional": False}),
    ),
    "melunet": (
        Documented(19_804_600, (32, 4, 2, *MSRKIT)),
        Documented(41_058_840, (32, 4, 2, *MSRKIT), {"depthwise": False}),
        Documented(162_120_568, (64, 4, 2, *MSRKIT), {"depthwise": False}),
    ),
    "frame_transformer": (
        Documented(357_493_618, (2, 4, 4, (1, 2, 4, 6, 12, 24), (16, 8, 4, 4, 4, 4))),
        Documented(353_026_426, (2, 4, 4, (1, 2, 4, 6, 8, 10), (4,))),
    ),
    "phase_predictor": (Documented(357_493_618),),
    "vq_frame_transformer": (Documented(275_487_172),),
    "spectrogram_net_simple": (
        Documented(61_523_441, AURALFLOW),
        Documented(61_877_745, AURALFLOW, NORMALIZED),
    ),
    # By hand: a U-Net without its bottom has 37,926,385; an LSTM of hidden size h on i features
    # 8 h (i + h + 2), the linear layers of f features h (2 h + 1) + 2 f (h + 1). The original's are
    # larger by the convolutions at the bottom that it kept without using them (23,597,056), and
    # where its hidden size was above 1024.
    "spectrogram_net_lstm": (
        Documented(109_281_777, AURALFLOW),
        Documented(206_293_489 - 23_597_056, AURALFLOW, {"input_axis": 0}),
        Documented(84_099_569, AURALFLOW, DEEP_LSTM),
    ),
    # By hand: two linear layers of f features add 2 f (f + 1) parameters, and f is 1024.
    "spectrogram_net_vae": (
        Documented(109_281_777 + 2_099_200, AURALFLOW),
        Documented(84_099_569 + 2_099_200, AURALFLOW, DEEP_LSTM),
    ),
    "tfswa_unet": (Documented(15_427_010), Documented(15_404_834, options=SKIPPED)),
    "lightweight_tfswa": (Documented(2_919_714),),
    "multi_scale_tfswa": (Documented(7_850_924),),
    "tfswa_resunet": (Documented(44_435_744),),
    # Public counts have 64 more, the frequencies of the rotations, which are computed here.
    "mel_band_roformer": (
        Documented(228_202_852 - 64),
        Documented(251_869_636 - 64, options={"num_layers": 12}),
        Documented(69_102_468 - 64, options={"hidden_channels": 192, "num_layers": 8}),
    ),
    "bs_roformer": (
        Documented(159_758_092 - 64),
        Documented(98_194_828 - 64, options={"hidden_channels": 384, "hop_size": 512}),
        Documented(131_704_164 - 64, options=BS_OF_FOUR_STEMS),
    ),
    "open_unmix": (
        Documented(4 * 8_893_348),
        Documented(4 * 28_257_188, (1024,)),
    ),
    "hdemucs": (
        Documented(83_637_832),
        Documented(83_633_984, options={"output": "magnitude"}),
    ),
    "htdemucs": (
        Documented(41_984_456),
        Documented(27_414_996, options={"bottom_channels": None, "stems": SIX}),
    ),
    "spleeter": (
        Documented(2 * 9_822_725),
        Documented(4 * 9_822_725, options={"stems": ("vocals", "drums", "bass", "other")}),
    ),
    "scnet": (
        Documented(10_578_768),
        Documented(42_181_232, options=LARGE),
        Documented(54_006_896, options=XL),
        Documented(53_466_800, options={**XL, **IHF}),
        Documented(10_597_284, options={"output": "mask"}),
        Documented(53_485_316, options={**XL, **IHF, "output": "mask"}),
    ),
    "mdx23c": (
        Documented(111_990_272),
        Documented(45_809_792, options={"growth": 64, "window_size": 12_288, "hop_size": 2048}),
        Documented(109_378_624, options={**DRUMS, "window_size": 2048, "hop_size": 512}),
    ),
}
"""Reference: the public code of the original networks, or formulas worked by hand."""


def documented(name: str, usual: int) -> tuple[Documented, ...]:
    """Sizes of an architecture, the first with its default options.

    Args:
        name: name of the architecture.
        usual: parameter count that its class documents.
    """
    return DOCUMENTED.get(name, (Documented(usual),))
