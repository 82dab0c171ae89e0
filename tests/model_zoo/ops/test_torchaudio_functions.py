"""torchaudio without its compiled part, in a fresh interpreter and against a formula."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from model_zoo.errors import MissingExtraError
from model_zoo.ops import torchaudio_functions

ROOT = Path(__file__).parents[3]
IMPORT = re.compile(r"^\s*(import|from) torchaudio\b|import_module\(.torchaudio", re.MULTILINE)

FRESH = """
import sys
from model_zoo.ops import torchaudio_functions
assert "torchaudio" not in sys.modules
from model_zoo.ops.torchaudio_functions import functional, transforms
import torch
print(functional.melscale_fbanks(7, 0.0, 2100.0, 1, 4200)[:, 0].tolist())
print(transforms.MelScale(1, 4200, n_stft=7).fb[:, 0].tolist())
assert not any("torchaudio" in path for path in torch.ops.loaded_libraries)
assert "torchcodec" not in sys.modules
import torchaudio
assert torchaudio.functional is functional
"""


def test_a_fresh_interpreter_gets_the_functions_and_no_compiled_part() -> None:
    """By hand, so that it holds for any installed torch, CPU builds included.

    On the mel scale, 2595 log10(1 + f / 700), 700 Hz lie halfway between 0 and 2100 Hz. So a single
    triangle over these rises over 0, 350, 700 Hz and falls over 1050, 1400, 1750, 2100 Hz.
    """
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", FRESH],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    for line in done.stdout.splitlines():
        bank = [float(word) for word in line.strip("[]").split(",")]
        assert bank == pytest.approx([0, 0.5, 1, 0.75, 0.5, 0.25, 0], abs=1e-5)
    assert len(done.stdout.splitlines()) == 2
    assert done.stderr == ""


def test_mel_filter_banks_are_triangles_at_equal_mel_steps() -> None:
    low, high, bands, bins, rate = 40.0, 15_000.0, 24, 513, 44_100
    bank = torchaudio_functions.functional.melscale_fbanks(bins, low, high, bands, rate).numpy()
    ends = 2595 * np.log10(1 + np.array([low, high]) / 700)
    corners = 700 * (10 ** (np.linspace(*ends, bands + 2) / 2595) - 1)
    hz = np.linspace(0, rate / 2, bins)[:, None]
    left, middle, right = corners[:-2], corners[1:-1], corners[2:]
    rising, falling = (hz - left) / (middle - left), (right - hz) / (right - middle)
    np.testing.assert_allclose(bank, np.minimum(rising, falling).clip(0), atol=1e-4)


def test_an_imported_torchaudio_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    imported, functions = ModuleType("torchaudio"), ModuleType("torchaudio.functional")
    vars(imported)["functional"] = functions
    monkeypatch.setitem(sys.modules, "torchaudio", imported)
    monkeypatch.delitem(sys.modules, "torchaudio._extension", raising=False)
    assert torchaudio_functions.functional is functions
    assert "torchaudio._extension" not in sys.modules


def test_a_missing_torchaudio_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchaudio", None)  # type: ignore[arg-type]
    with pytest.raises(MissingExtraError, match=r"torchaudio is not .* 'stemcli\[train\]'"):
        torchaudio_functions.functional  # noqa: B018


@pytest.mark.parametrize("name", ["load", "save", "info", "datasets", "functionals"])
def test_file_functions_of_torchaudio_are_not_available(name: str) -> None:
    with pytest.raises(AttributeError, match=name):
        getattr(torchaudio_functions, name)


def test_no_other_module_imports_torchaudio() -> None:
    importers = [
        path.relative_to(ROOT).as_posix()
        for package in ("model_zoo", "stemcli", "trainers")
        for path in (ROOT / package).rglob("*.py")
        if IMPORT.search(path.read_text())
    ]
    assert importers == ["model_zoo/ops/torchaudio_functions.py"]
