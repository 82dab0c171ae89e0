"""Linear layers and attention by the kernels of oneDNN, where torch takes slower ones.

torch multiplies float32 matrices with MKL, which uses half of the vector width of AMD's processors
with AVX-512, and its fused attention multiplies in float32 whatever the precision, unless the
processor has AMX. Convolutions and products of bfloat16 matrices go to oneDNN, which uses what the
processor has.

https://github.com/uxlfoundation/oneDNN
"""

from __future__ import annotations

import functools
import platform
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from torch.overrides import TorchFunctionMode

MIN_MULTIPLICATIONS = 2**23
"""Smallest number of multiplications of a matrix product for which oneDNN is faster than MKL.

Below it, the time that a convolution needs to start outweighs the difference. Measured, as
:data:`MIN_KEYS`, by ``python -m tests.benchmarks.kernels``.
"""

MIN_KEYS = 64
"""Smallest number of keys for which attention by blocks is faster than torch's."""

MAX_SCORES = 2**21
"""Largest number of attention scores of a block: 4 MiB in bfloat16, which stay in the cache."""


class CpuKernels(TorchFunctionMode):
    """Replaces ``linear`` and, where no gradients are needed, ``scaled_dot_product_attention``.

    Results differ from torch's by rounding only. Other devices, precisions and processors get
    torch's own functions.

    Example:
        >>> with CpuKernels():
        ...     stems = separator(mixture)
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Call ``func``, or what replaces it."""
        return _REPLACEMENTS.get(func, func)(*args, **(kwargs or {}))


def linear(
    input: Float[Tensor, "*batch feature"],
    weight: Float[Tensor, "out feature"],
    bias: Float[Tensor, " out"] | None = None,
) -> Float[Tensor, "*batch out"]:
    """``torch.nn.functional.linear``, as a convolution of one pixel where that is faster."""
    if not _is_for_onednn(input, weight):
        return F.linear(input, weight, bias)
    pixels = input.reshape(1, 1, -1, input.shape[-1]).movedim(-1, 1)
    output = F.conv2d(pixels, weight[..., None, None], bias)
    return output.movedim(1, -1).reshape(*input.shape[:-1], weight.shape[0])


def _is_for_onednn(input: Tensor, weight: Tensor) -> bool:
    return (
        input.device.type == "cpu"
        and input.dtype == weight.dtype == torch.float32
        and input.numel() * weight.shape[0] >= MIN_MULTIPLICATIONS
        and not torch.is_autocast_enabled("cpu")
        and mkl_is_slow()
    )


def attention(
    query: Float[Tensor, "*batch token feature"],
    key: Float[Tensor, "*batch key feature"],
    value: Float[Tensor, "*batch key content"],
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Float[Tensor, "*batch token content"]:
    """``torch.nn.functional.scaled_dot_product_attention``, by blocks of queries where faster.

    A block's scores stay in the caches. They are products with keys less the mean key: the softmax
    does not change if all scores of a query change by one number, and smaller scores are rounded
    less.
    """
    narrow = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else query.dtype
    is_plain = attn_mask is None and not dropout_p and not is_causal and not enable_gqa
    if not (is_plain and narrow == torch.bfloat16 and _is_for_blocks(query, key, value)):
        return F.scaled_dot_product_attention(
            *(query, key, value, attn_mask, dropout_p, is_causal),
            scale=scale,
            enable_gqa=enable_gqa,
        )
    queries = (query * (query.shape[-1] ** -0.5 if scale is None else scale)).to(narrow)
    keys = (key - key.mean(-2, keepdim=True)).to(narrow)
    rows = [each.flatten(0, -3) for each in (queries, keys.mT, value.to(narrow))]
    return _by_blocks(*rows).view(*query.shape[:-1], -1)


def _is_for_blocks(query: Tensor, key: Tensor, value: Tensor) -> bool:
    return (
        query.device.type == "cpu"
        and query.ndim >= 3
        and query.shape[:-2] == key.shape[:-2] == value.shape[:-2]
        and key.shape[-2] >= MIN_KEYS
        and not torch.is_grad_enabled()
        and multiplies_bfloat16_in_vectors()
    )


def _by_blocks(
    query: Float[Tensor, "head token feature"],
    key: Float[Tensor, "head feature key"],
    value: Float[Tensor, "head key content"],
) -> Float[Tensor, "head token content"]:
    heads, tokens = query.shape[:2]
    at_once = max(1, MAX_SCORES // (tokens * key.shape[-1]))
    step = tokens if at_once > 1 else max(1, MAX_SCORES // key.shape[-1])
    mixed = query.new_empty(heads, tokens, value.shape[-1])
    for first in range(0, heads, at_once):
        some = slice(first, first + at_once)
        for start in range(0, tokens, step):
            block = slice(start, start + step)
            weights = (query[some, block] @ key[some]).softmax(-1)
            mixed[some, block] = weights @ value[some]
    return mixed


_REPLACEMENTS: Mapping[Callable[..., Any], Callable[..., Any]] = {
    F.linear: linear,
    F.scaled_dot_product_attention: attention,
}


@functools.cache
def mkl_is_slow() -> bool:
    """Whether torch has MKL and this is a processor by AMD with AVX-512."""
    return (
        torch.backends.mkl.is_available()  # type: ignore[no-untyped-call]
        and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
        and torch.backends.cpu.get_cpu_capability() == "AVX512"
        and "AuthenticAMD" in _vendor()
    )


def _vendor() -> str:
    """The maker of the processor; on Linux ``platform`` does not tell."""
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next((line for line in lines if line.startswith("vendor_id")), "")
    return platform.processor()


@functools.cache
def multiplies_bfloat16_in_vectors() -> bool:
    """Whether the processor multiplies bfloat16 in vectors, but has no AMX for whole tiles."""
    return (
        torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
        and torch.cpu._is_avx512_bf16_supported()
        and not torch.cpu._is_amx_tile_supported()
    )
