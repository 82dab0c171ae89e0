"""Time of linear layers and of attention with CpuKernels, against torch's own, side by side.

    python -m tests.benchmarks.kernels

Prints how many times as fast each shape is, where this processor has such a kernel; the sizes from
which model_zoo.ops.cpu_kernels replaces torch's functions were chosen by it.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
import torch.nn.functional as F

from model_zoo.ops.cpu_kernels import CpuKernels

ROUNDS = 7
LINEAR = ((256, 128, 512), (1024, 64, 64), (2688, 512, 2048), (48_060, 64, 64))
"""Rows, input features, output features."""
ATTENTION = ((1, 8, 2688, 64), (64, 4, 259, 32), (801, 8, 60, 64))
"""Batch, heads, tokens, features."""


def ratio(call: Callable[..., object], *inputs: torch.Tensor) -> float:
    """Fastest of alternating calls without the kernels, divided by the fastest with them."""
    own, replaced = [], []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        call(*inputs)
        own.append(time.perf_counter() - began)
        with CpuKernels():
            began = time.perf_counter()
            call(*inputs)
            replaced.append(time.perf_counter() - began)
    return min(own) / min(replaced)


@torch.inference_mode()
def main() -> None:
    """Print a line for every shape."""
    for rows, features, out in LINEAR:
        x, weight = torch.randn(rows, features), torch.randn(out, features)
        print(f"linear {rows} x {features} x {out}: {ratio(F.linear, x, weight):.2f}")
    for shape in ATTENTION:
        query, key, value = (torch.randn(shape).bfloat16() for _ in range(3))
        times = ratio(F.scaled_dot_product_attention, query, key, value)
        print(f"bf16 attention {shape}: {times:.2f}")


if __name__ == "__main__":
    main()
