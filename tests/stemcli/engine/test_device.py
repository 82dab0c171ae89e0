from __future__ import annotations

import platform
import subprocess
import sys

import pytest
import torch

from model_zoo.errors import DeviceError
from stemcli.engine.device import resolve_device, resolve_precision, spread


def pretend(monkeypatch: pytest.MonkeyPatch, *, gpus: int = 0, apple: bool = False) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: apple)


@pytest.mark.parametrize(
    ("gpus", "apple", "expected"),
    [(1, False, "cuda"), (1, True, "cuda"), (0, True, "mps"), (0, False, "cpu")],
)
def test_auto_picks_the_fastest_device(
    monkeypatch: pytest.MonkeyPatch, gpus: int, apple: bool, expected: str
) -> None:
    pretend(monkeypatch, gpus=gpus, apple=apple)
    assert resolve_device("auto") == torch.device(expected)


@pytest.mark.parametrize("name", ["cpu", "cuda", "cuda:1", "mps"])
def test_an_available_device_is_used(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    pretend(monkeypatch, gpus=2, apple=True)
    assert resolve_device(name) == torch.device(name)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("cuda", r"No CUDA GPU is visible to PyTorch .*\. Try device='cpu'"),
        ("cuda:0", "No CUDA GPU is visible"),
        ("mps", "No Apple GPU is visible"),
        ("tpu", "Unknown device 'tpu'. Try auto, cpu, cuda, cuda:N or mps"),
        ("cuda:x", "Unknown device"),
    ],
)
def test_there_is_no_silent_fallback(
    monkeypatch: pytest.MonkeyPatch, name: str, sentence: str
) -> None:
    pretend(monkeypatch)
    with pytest.raises(DeviceError, match=sentence):
        resolve_device(name)


def test_a_gpu_index_out_of_range_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, gpus=2)
    with pytest.raises(DeviceError, match="no 'cuda:2'; the last GPU is 'cuda:1'"):
        resolve_device("cuda:2")


@pytest.mark.parametrize(
    ("name", "jobs", "expected"),
    [
        ("cpu", 2, ["cpu", "cpu"]),
        ("cuda", 3, ["cuda:0", "cuda:1", "cuda:0"]),
        ("cuda:1", 2, ["cuda:1", "cuda:1"]),  # only the named GPU
    ],
)
def test_jobs_take_turns_over_all_gpus(
    monkeypatch: pytest.MonkeyPatch, name: str, jobs: int, expected: list[str]
) -> None:
    pretend(monkeypatch, gpus=2)
    assert [str(device) for device in spread(torch.device(name), jobs)] == expected


@pytest.mark.parametrize(
    ("amx", "avx512", "name", "reason"),
    [
        (True, True, "bf16", "this CPU has AMX"),
        (False, True, "bf16", "this CPU has AVX512_BF16"),
        (False, False, "fp32", "this CPU has neither AVX512_BF16 nor AMX"),
    ],
)
def test_auto_precision_of_a_cpu(
    monkeypatch: pytest.MonkeyPatch, amx: bool, avx512: bool, name: str, reason: str
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512)
    precision = resolve_precision("auto", torch.device("cpu"))
    assert (precision.name, precision.reason) == (name, reason)


@pytest.mark.parametrize(
    ("capability", "name"), [((9, 0), "bf16"), ((8, 0), "bf16"), ((7, 5), "fp32")]
)
def test_auto_precision_of_a_gpu(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], name: str
) -> None:
    """Reference: compute capability 8.0 (Ampere) introduced bf16."""
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert resolve_precision("auto", torch.device("cuda")).name == name


def test_auto_is_float32_where_a_network_needs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True)
    cpu = torch.device("cpu")
    assert resolve_precision("auto", cpu, needs_float32=True).name == "fp32"
    assert resolve_precision("bf16", cpu, needs_float32=True).name == "bf16"


def test_auto_precision_of_an_apple_gpu() -> None:
    assert resolve_precision("auto", torch.device("mps")).name == "fp32"


@pytest.mark.parametrize(
    ("name", "product", "transform"),
    [
        ("fp32", torch.float32, torch.float32),
        ("bf16", torch.bfloat16, torch.float32),
        ("fp16", torch.float16, torch.float32),
    ],
)
def test_only_matrix_products_use_the_reduced_precision(
    name: str, product: torch.dtype, transform: torch.dtype
) -> None:
    """Property: matrix products run in the requested precision, Fourier transforms in float32."""
    device = torch.device("cpu")
    values = torch.ones(8, 8)
    with resolve_precision(name, device).autocast(device):
        assert (values @ values).dtype == product
        spectrum = torch.stft(values, 4, window=torch.hann_window(4), return_complex=True)
        assert spectrum.real.dtype == transform


PAGE_FAULTS = """
import resource
from stemcli.engine.device import keep_freed_memory
import torch

keep_freed_memory()
for round in range(40):
    if round == 30:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(2**24)  # 64 MiB
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has these thresholds")
def test_memory_of_freed_tensors_is_used_again() -> None:
    """Law: 64 MiB of new memory are 16,384 pages of 4 KiB, each a fault; used memory has none."""
    command = [sys.executable, "-c", PAGE_FAULTS]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 16_384
