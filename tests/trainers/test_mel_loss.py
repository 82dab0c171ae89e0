"""The mel loss, compared with torchaudio and with a golden file of DAC's own loss."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from model_zoo.errors import MissingExtraError
from tests.golden.losses.formula import waves
from trainers.losses import make_loss
from trainers.losses.spectral import mel_filters

GOLDEN = json.loads((Path(__file__).parents[1] / "golden/losses/dac_mel.json").read_text("utf-8"))
MSRKIT = [(1024, 256, 80), (2048, 512, 160), (512, 128, 40)]


def pair(rate: int) -> tuple[Tensor, Tensor]:
    """An estimate and a reference of one item and stem, in stereo."""
    estimate, reference = (torch.from_numpy(wave)[None, None] for wave in waves(rate))
    return estimate, reference


def test_a_common_gain_costs_its_logarithm() -> None:
    """Every mel magnitude is half of the reference: ln 2 in every resolution."""
    _, reference = pair(48_000)
    loss = make_loss("multi_mel", 48_000)
    assert loss(0.5 * reference, reference).item() == pytest.approx(math.log(2), rel=1e-4)


def test_magnitudes_below_the_clip_are_equal() -> None:
    _, reference = pair(48_000)
    loss = make_loss("multi_mel", 48_000, {"clip": 1e-2})
    assert loss(1e-6 * reference, torch.zeros_like(reference)).item() == 0
    assert loss(reference, torch.zeros_like(reference)).item() > 1


def test_filters_without_a_bin_count_as_equal() -> None:
    """400 filters over 257 bins: filters without a bin add 0 to the mean of the log gain."""
    filters = mel_filters(512, 400, 8000)
    share = (filters.sum(1) > 0).float().mean().item()
    assert 0.3 < share < 0.9
    _, reference = pair(8000)
    loss = make_loss("multi_mel", 8000, {"n_fft": [512], "hop": [128], "n_mels": [400]})
    estimate = (0.5 * reference).requires_grad_()
    value = loss(estimate, reference)
    assert value.item() == pytest.approx(share * math.log(2), rel=1e-3)
    assert torch.autograd.grad(value, estimate)[0].isfinite().all()


@pytest.mark.parametrize("rate", [48_000, 44_100, 16_000])
def test_multi_mel_equals_torchaudio(rate: int) -> None:
    """Reference: the transform that MSRKit uses, with its settings, which are our defaults."""
    transforms = torchaudio_transforms()
    estimate, reference = pair(rate)
    expected = []
    for n_fft, hop, n_mels in MSRKIT:
        mel = transforms.MelSpectrogram(rate, n_fft, hop_length=hop, n_mels=n_mels, power=1)
        found, target = (mel(wave).clamp(min=1e-7).log() for wave in (estimate, reference))
        expected.append(torch.nn.functional.l1_loss(found, target).item())
    value = make_loss("multi_mel", rate)(estimate, reference).item()
    assert value == pytest.approx(sum(expected) / len(MSRKIT), rel=1e-5)


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=str)
def test_multi_mel_equals_dac(case: dict[str, float]) -> None:
    """DAC sums decimal logarithms over resolutions; ours are natural logarithms, averaged."""
    settings = GOLDEN["settings"]
    windows = settings["window_lengths"]
    loss = make_loss(
        "multi_mel",
        int(case["rate"]),
        {
            "n_fft": windows,
            "hop": [window // 4 for window in windows],
            "n_mels": settings["n_mels"],
            "clip": settings["clamp_eps"],
            "mel_scale": "slaney",
            "norm": "slaney",
        },
    )
    estimate, reference = pair(int(case["rate"]))
    estimate_or_silence = torch.zeros_like(estimate) if case["silent"] else estimate
    value = loss(estimate_or_silence, reference).item() * len(windows) / math.log(10)
    assert value == pytest.approx(case["loss"], rel=1e-5)


def test_missing_torchaudio_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "model_zoo.ops.torchaudio_functions", raising=False)
    monkeypatch.setitem(sys.modules, "torchaudio", None)
    with pytest.raises(MissingExtraError, match=r"stemcli\[train\]"):
        make_loss("multi_mel", 44_100)


def torchaudio_transforms():  # type: ignore[no-untyped-def]
    """torchaudio's own transforms, imported after our module that prepares its import."""
    import model_zoo.ops.torchaudio_functions  # noqa: F401  isort: skip
    from torchaudio import transforms

    return transforms
