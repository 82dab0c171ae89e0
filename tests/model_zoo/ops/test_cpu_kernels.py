"""Kernels of oneDNN. Reference: torch's functions in float64."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from model_zoo.ops import cpu_kernels
from model_zoo.ops.cpu_kernels import CpuKernels, mkl_is_slow, multiplies_bfloat16_in_vectors
from tests.model_zoo.blocks.weights import pattern

BF16 = torch.bfloat16
OWN = {F.linear, F.scaled_dot_product_attention}
"""Functions of torch that are replaced."""


class Recorded(TorchFunctionMode):
    """Calls :class:`CpuKernels` and records which replaced functions of torch it calls."""

    def __enter__(self) -> set[Callable[..., Any]]:
        super().__enter__()
        self.kernels = CpuKernels()
        self.kernels.__enter__()
        self.called: set[Callable[..., Any]] = set()
        return self.called

    def __exit__(self, *error: Any) -> None:
        self.kernels.__exit__(*error)
        super().__exit__(*error)

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        self.called |= {func} & OWN
        return func(*args, **(kwargs or {}))


@pytest.fixture(autouse=True)
def _all_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have kernels chosen as on a processor for which both are faster."""
    monkeypatch.setattr(cpu_kernels, "mkl_is_slow", lambda: True)
    monkeypatch.setattr(cpu_kernels, "multiplies_bfloat16_in_vectors", lambda: True)


def relative_error(found: Tensor, expected: Tensor) -> float:
    return float((found.double() - expected).norm() / expected.norm())


@pytest.mark.parametrize("with_bias", [True, False])
@pytest.mark.parametrize("shape", [(1024, 128), (2, 3, 300, 128), (9000, 128)])
def test_linear(shape: tuple[int, ...], with_bias: bool) -> None:
    x, weight, bias = pattern(*shape), pattern(96, 128, phase=1), pattern(96, phase=2)
    bias = bias if with_bias else None
    expected = F.linear(*(each if each is None else each.double() for each in (x, weight, bias)))
    with Recorded() as called:
        found = F.linear(x, weight, bias)
    assert not called
    assert found.shape == expected.shape
    assert found.is_contiguous()
    assert relative_error(found, expected) < 1e-6


def test_linear_of_a_transposed_input() -> None:
    x, weight = pattern(128, 2000).mT, pattern(96, 128)
    with Recorded() as called:
        found = F.linear(x, weight)
    assert not called
    assert relative_error(found, F.linear(x.double(), weight.double())) < 1e-6


def test_gradients_of_linear() -> None:
    x, weight, bias = pattern(2000, 128), pattern(96, 128, phase=1), pattern(96, phase=2)
    gradients = []
    for dtype, context in ((torch.float64, torch.enable_grad()), (torch.float32, Recorded())):
        leaves = [each.to(dtype).requires_grad_() for each in (x, weight, bias)]
        with context:
            F.linear(*leaves).square().sum().backward()
        gradients.append([leaf.grad for leaf in leaves])
    for expected, found in zip(*gradients, strict=True):
        assert found is not None
        assert expected is not None
        assert relative_error(found, expected) < 1e-6


@pytest.mark.parametrize(
    ("rows", "dtype"), [(16, torch.float32), (2000, torch.float64), (2000, BF16)]
)
def test_torch_takes_small_products_and_other_precisions(rows: int, dtype: torch.dtype) -> None:
    with Recorded() as called:
        found = F.linear(pattern(rows, 128).to(dtype), pattern(96, 128).to(dtype))
    assert called == {F.linear}
    assert found.dtype == dtype


def test_autocast_decides_about_linear() -> None:
    with torch.autocast("cpu", BF16), Recorded() as called:
        found = F.linear(pattern(2000, 128), pattern(96, 128))
    assert called == {F.linear}
    assert found.dtype == BF16


SHAPES = [
    ((2, 4, 300, 32), 300, 32),
    ((1, 2, 3000, 16), 1500, 16),
    ((3, 70, 24), 90, 8),
    ((900, 1, 64, 8), 64, 8),
]
"""Shape of queries, number of keys, features of values: several blocks of queries, or of heads."""


@pytest.mark.parametrize("scale", [None, 0.3])
@pytest.mark.parametrize(("shape", "keys", "content"), SHAPES)
def test_attention(shape: tuple[int, ...], keys: int, content: int, scale: float | None) -> None:
    """bfloat16 has 8 bits, so each rounding of inputs, weights and outputs errs by up to 1/512."""
    heads, features = shape[:-2], shape[-1]
    query = pattern(*shape).to(BF16)
    key = (pattern(*heads, keys, features, phase=1) + 3).to(BF16)
    value = pattern(*heads, keys, content, phase=2).to(BF16)
    expected = F.scaled_dot_product_attention(
        *(each.double() for each in (query, key, value)), scale=scale
    )
    with torch.inference_mode(), Recorded() as called:
        found = F.scaled_dot_product_attention(query, key, value, scale=scale)
    assert not called
    assert found.dtype == BF16
    assert found.shape == expected.shape
    assert relative_error(found, expected) < 4 / 512


def test_autocast_narrows_attention() -> None:
    query, key, value = (pattern(1, 2, 100, 16, phase=phase) for phase in range(3))
    expected = F.scaled_dot_product_attention(query.double(), key.double(), value.double())
    with torch.inference_mode(), torch.autocast("cpu", BF16), Recorded() as called:
        found = F.scaled_dot_product_attention(query, key, value)
    assert not called
    assert found.dtype == BF16
    assert relative_error(found, expected) < 4 / 512


OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "mask": {"attn_mask": torch.ones(100, 100, dtype=torch.bool).tril()},
    "causal": {"is_causal": True},
    "dropout": {"dropout_p": 0.5},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_torch_takes_attention_with_options(options: Mapping[str, Any]) -> None:
    query = pattern(1, 2, 100, 16).to(BF16)
    with torch.inference_mode(), Recorded() as called:
        torch.manual_seed(0)
        found = F.scaled_dot_product_attention(query, query, query, **options)
    torch.manual_seed(0)
    expected = F.scaled_dot_product_attention(query, query, query, **options)
    assert called == {F.scaled_dot_product_attention}
    assert torch.equal(found, expected)


@pytest.mark.parametrize("case", ["float32", "gradients", "few keys"])
def test_torch_takes_attention(case: str) -> None:
    dtype = torch.float32 if case == "float32" else BF16
    query = pattern(1, 2, 50 if case == "few keys" else 100, 16).to(dtype)
    with torch.set_grad_enabled(case == "gradients"), Recorded() as called:
        F.scaled_dot_product_attention(query, query, query)
    assert called == {F.scaled_dot_product_attention}


VENDORS = {
    "vendor_id\t: AuthenticAMD\nvendor_id\t: AuthenticAMD\n": True,
    "vendor_id\t: GenuineIntel\n": False,
    "CPU implementer\t: 0x41\n": False,
}


@pytest.mark.parametrize(("cpuinfo", "expected"), VENDORS.items())
def test_mkl_is_slow_on_amd(cpuinfo: str, expected: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: cpuinfo)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    available = torch.backends.mkl.is_available() and torch.backends.mkldnn.is_available()
    assert mkl_is_slow.__wrapped__() is (expected and available)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    assert not mkl_is_slow.__wrapped__()


def test_windows_names_the_vendor(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object, **__: object) -> str:
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_text", missing)
    monkeypatch.setattr(platform, "processor", lambda: "AMD64 Family 25 Model 97, AuthenticAMD")
    assert "AuthenticAMD" in cpu_kernels._vendor()


@pytest.mark.parametrize(("vectors", "tiles"), [(True, False), (True, True), (False, False)])
def test_amx_needs_no_blocks(vectors: bool, tiles: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: vectors)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: tiles)
    expected = vectors and not tiles and torch.backends.mkldnn.is_available()
    assert multiplies_bfloat16_in_vectors.__wrapped__() is expected
