"""Adding an architecture takes one file and one row of the registry.

This test writes a toy architecture into an empty folder and runs all contracts on it in a separate
process. The toy has neither a recipe nor a search space of its own, and no test names it.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

CONTRACTS = Path(__file__).parent
ROOT = CONTRACTS.parents[1]
FILES = ("test_separators.py", "test_recipes.py", "test_search_spaces.py")

FILE = '''
"""A mask for every frame alone, from two layers and a few more (Toy et al. 2024)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from model_zoo.separator import (
    Frontend, Spectra, SpectralConfig, SpectralSeparator, Spectrum,
)


@dataclass(frozen=True)
class PlaythingConfig(SpectralConfig):
    hidden_channels: int = 256
    num_layers: int = 4
    window_size: int = 2048
    hop_size: int = 512
    sample_rate: int = 44_100


Frames = Float[Tensor, "batch frame feature"]


class Layer(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, width)

    def forward(self, x: Frames) -> Frames:
        return x + self.linear(x).tanh()


class Network(nn.Module):
    def __init__(self, bins: int, width: int, layers: int, stems: int) -> None:
        super().__init__()
        self.first = nn.Linear(bins, width)
        self.layers = nn.ModuleList(Layer(width) for _ in range(layers))
        self.last = nn.Linear(width, stems * bins)

    def forward(self, x: Float[Tensor, "batch frame freq"]) -> Float[Tensor, "batch frame number"]:
        x = self.first(x)
        for layer in self.layers:
            x = layer(x)
        return self.last(x).sigmoid()


class LogFrontend(Frontend):
    def features(self, spectrum: Spectrum) -> Float[Tensor, "batch frame freq"]:
        return rearrange(spectrum.abs().add(1e-6).log(), "b 1 f t -> b t f")

    def apply_output(
        self, spectrum: Spectrum, output: Float[Tensor, "batch frame number"]
    ) -> Spectra:
        masks = rearrange(output, "b t (s f) -> b s 1 f t", f=spectrum.shape[2])
        return masks * spectrum.unsqueeze(1)


class Plaything(SpectralSeparator):
    Config = PlaythingConfig
    config: PlaythingConfig
    channels = 1
    purpose = "nothing but to show what has to be written for an architecture"
    documented_parameters = 789_249
    small_options = {
        "hidden_channels": 24, "num_layers": 2, "window_size": 256, "hop_size": 64,
        "sample_rate": 8000, "stems": ("vocals",), "segment": 4096,
    }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        config = self.config
        bins = config.window_size // 2 + 1
        width, layers = config.hidden_channels, config.num_layers
        self.fourier = LogFrontend(config.window_size, config.hop_size)
        self.network = Network(bins, width, layers, len(config.stems))
'''

ROW = """
def pytest_sessionstart():
    from model_zoo import registry

    registry.ARCHITECTURES["plaything"] = "plaything_file:Plaything"
"""
PLUGIN = ("-p", "plaything_row", "-p", "no:cacheprovider")
SHAPES = "--jaxtyping-packages=model_zoo,plaything_file,tests.checked"


def test_every_contract_holds_for_a_new_architecture(tmp_path: Path) -> None:
    (tmp_path / "plaything_file.py").write_text(FILE)
    (tmp_path / "plaything_row.py").write_text(ROW)
    options = [*PLUGIN, SHAPES, "-vv", "-k", "plaything", "-m", "slow or not slow"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *(str(CONTRACTS / file) for file in FILES)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    passed = {*re.findall(r"::(test_\w+)\S* PASSED", done.stdout)}
    assert passed == {name for file in FILES for name in names_of_tests(CONTRACTS / file)}


def names_of_tests(path: Path) -> list[str]:
    body = ast.parse(path.read_text("utf-8")).body
    names = [node.name for node in body if isinstance(node, ast.FunctionDef)]
    return [name for name in names if name.startswith("test_")]
