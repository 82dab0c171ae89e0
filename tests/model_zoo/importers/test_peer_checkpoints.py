"""Converted checkpoints of the authors' own networks give their outputs.

Reference: BS-RoFormer 0.3.10, demucs 4.1.0, whose own code writes the packages, msst 0.1.0 and
openunmix 1.3.0, with random weights. Their networks are those of the tests of our architectures.
"""

from __future__ import annotations

import inspect
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor, nn

from model_zoo.architectures.open_unmix import OpenUnmix
from model_zoo.catalogue import resolve
from model_zoo.importers import convert, roformer
from model_zoo.ops import torchaudio_functions
from model_zoo.separator import Separator
from tests.model_zoo.architectures import (
    msst,
    test_demucs_peer,
    test_open_unmix_peer,
    test_roformer_peers,
)
from tests.model_zoo.architectures.msst import WITHOUT_WINDOW, perturb, relative_error
from tests.model_zoo.importers.published import (
    FOUR,
    MDX23C_AUDIO,
    MDX23C_FILE,
    NETWORKS,
    SCNET_FILE,
    Published,
)

pytestmark = [pytest.mark.peers, pytest.mark.filterwarnings(WITHOUT_WINDOW)]

CLOSE = 1e-5


def converted(path: Path, config: Path | None = None) -> Separator:
    convert(path, name="mine", config=config)
    return resolve.load("mine")


def noise(samples: int) -> Tensor:
    return torch.randn(2, 2, samples, generator=torch.Generator().manual_seed(2))


def close(theirs: nn.Module, ours: Separator, samples: int) -> None:
    """Some originals drop the samples after the last full hop, or the axis of a single stem."""
    with torch.no_grad():
        expected, found = theirs.eval()(noise(samples)), ours(noise(samples))
    expected = expected if expected.ndim == 4 else expected.unsqueeze(1)
    assert relative_error(found[..., : expected.shape[-1]], expected) < CLOSE


@pytest.mark.parametrize("name", ["mel_band_roformer", "bs_roformer"])
def test_roformers(name: str, tmp_path: Path, zoo: Path) -> None:
    options = test_roformer_peers.THEIRS_EACH[name]
    theirs = test_roformer_peers.peer("bs_roformer", name, options)
    named = {f"module.{key}": value for key, value in theirs.state_dict().items()}
    torch.save({"model_state_dict": named, "epoch": 3}, tmp_path / "net.ckpt")
    sections = {
        "audio": {"chunk_size": 2000, "sample_rate": 16_000},
        # with tuples, which PyYAML writes under a tag of Python's
        "model": {**options, "zero_dc": False},
        "training": {"instruments": ["vocals", "other"], "target_instrument": "vocals"},
        "inference": {"num_overlap": 2},
    }
    (tmp_path / "net.yaml").write_text(yaml.dump(sections))
    close(theirs, converted(tmp_path / "net.ckpt", tmp_path / "net.yaml"), 3000)


@pytest.mark.parametrize("name", ["mel_band_roformer", "bs_roformer"])
def test_what_no_file_states_is_as_in_msst(name: str) -> None:
    kinds = {"mel_band_roformer": "MelBandRoformer", "bs_roformer": "BSRoformer"}
    network = getattr(import_module(f"msst.models.bs_roformer.{name}"), kinds[name])
    names = {option.theirs.removeprefix("model."): option.ours for option in roformer.NAMES}
    known = inspect.signature(network).parameters
    defaults = {ours: known[theirs].default for theirs, ours in names.items() if theirs in known}
    assert defaults.items() >= {**roformer.MSST, **roformer.MSST_SETTINGS}.items()


def write_package(theirs: nn.Module, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """demucs' own way; omegaconf is a training tool, of which it needs one function."""
    from demucs.states import serialize_model

    omegaconf = ModuleType("omegaconf")
    vars(omegaconf)["OmegaConf"] = SimpleNamespace(to_container=lambda args, resolve: args)
    monkeypatch.setitem(sys.modules, "omegaconf", omegaconf)
    torch.save(serialize_model(theirs, {"lr": 3e-4}), path)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("htdemucs", {"bottom_channels": 24}),
        ("htdemucs", {"dconv_mode": "both", "bottom_channels": None, "t_heads": 4}),
        ("hdemucs", {}),
        ("hdemucs", {"output": "magnitude", "hybrid_old": True}),
        ("hdemucs", {"multi_freqs": (0.25, 0.6), "multi_freqs_depth": 2}),
    ],
)
def test_packages_of_demucs(
    name: str,
    options: dict[str, Any],
    tmp_path: Path,
    zoo: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Packages hold float16, so that the reference is the network with these weights."""
    from fractions import Fraction

    usual = test_demucs_peer.TRANSFORMER if name == "htdemucs" else test_demucs_peer.HYBRID
    arguments = test_demucs_peer.peer_options({**usual, **options})
    size = {"nfft": 128 if name == "htdemucs" else 256, "segment": Fraction(16, 125)}
    theirs = test_demucs_peer.peer(name, 4, samplerate=16_000, **size, **arguments)
    test_demucs_peer.disturb(theirs)
    theirs.load_state_dict({key: x.half().float() for key, x in theirs.state_dict().items()})
    write_package(theirs, tmp_path / "net.th", monkeypatch)
    ours = converted(tmp_path / "net.th")
    assert ours.stems == tuple(f"stem{number}" for number in range(4))
    assert ours.segment == 2048
    close(theirs, ours, 2048)


def test_scnet(tmp_path: Path, zoo: Path) -> None:
    theirs = perturb(msst.scnet(**{**SCNET_FILE, "sources": [*FOUR]}))
    compare(NETWORKS["scnet"], theirs, tmp_path)


def test_mdx23c(tmp_path: Path, zoo: Path) -> None:
    theirs = perturb(msst.mdx23c(MDX23C_AUDIO, {**MDX23C_FILE, "norm": "InstanceNorm"}, 2))
    compare(NETWORKS["mdx23c"], theirs, tmp_path, samples=64 * 31)


def compare(published: Published, theirs: nn.Module, folder: Path, samples: int = 4000) -> None:
    torch.save({"state_dict": theirs.state_dict()}, folder / "net.ckpt")
    close(theirs, converted(folder / "net.ckpt", published.write_settings(folder)), samples)


def test_targets_of_open_unmix(tmp_path: Path, zoo: Path) -> None:
    """A network of the authors' separator, without its filter."""
    ours = OpenUnmix(**test_open_unmix_peer.SMALL, stems=("vocals",), niter=0)
    assert torchaudio_functions.functional, "imported first, so that openunmix can be imported"
    theirs = test_open_unmix_peer.theirs_of(import_module("openunmix.model"), ours)
    torch.save(theirs.target_models["vocals"].state_dict(), tmp_path / "vocals-b62c91ce.pth")
    convert(tmp_path / "vocals-b62c91ce.pth", name="mine", hop_size=64, sample_rate=16_000)
    with torch.no_grad():
        expected, found = theirs.eval()(noise(4000)), resolve.load("mine")(noise(4000))
    assert relative_error(found, expected) < CLOSE
