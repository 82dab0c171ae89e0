from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from model_zoo import registry
from model_zoo.errors import NumericalError, OutOfMemoryError
from stemcli.engine.device import Precision
from stemcli.engine.runner import ModelRunner, is_out_of_memory
from tests.stemcli.engine.stubs import (
    REDUCED,
    BrokenInBf16,
    BrokenWhereLoud,
    Hungry,
    MidSide,
    Scaling,
    Stub,
    network,
    noise,
)


def items(count: int, channels: int = 1, time: int = 16) -> NDArray[np.float32]:
    return noise(count * time, channels).reshape(count, time, channels).transpose(0, 2, 1).copy()


def test_axes_of_the_estimates() -> None:
    """By hand: (item, stem, channel, time); the two stems of MidSide add up to the mixture."""
    mixture = items(3, channels=2)
    estimates = network(MidSide(stems=("mid", "side"), channels=2)).separate(mixture, [0.0] * 3)
    assert estimates.shape == (3, 2, 2, 16)
    assert estimates.dtype == np.float32
    np.testing.assert_allclose(estimates.sum(axis=1), mixture, atol=1e-7)


def test_out_of_memory_halves_the_batch_and_retries() -> None:
    """By hand: 7 do not fit, 7 // 2 = 3 do not, 3 // 2 = 1 does; the smaller size is kept."""
    separator = Hungry()
    mixture = items(7)
    hungry = network(separator)
    np.testing.assert_array_equal(hungry.separate(mixture, [0.0] * 7)[:, 0], mixture)
    assert separator.batches == [7, 3, 1, 1, 1, 1, 1, 1, 1]
    hungry.separate(mixture[:2], [0.0] * 2)
    assert separator.batches[-2:] == [1, 1], "what fits is remembered"


def test_one_item_that_does_not_fit_is_an_error() -> None:
    separator = Hungry()
    separator.room = 0
    runner = network(separator)
    with pytest.raises(OutOfMemoryError, match=r"in the memory of cpu\. Try a smaller segment$"):
        runner.separate(items(2), [0.0, 1.0])
    runner._device = torch.device("mps")
    with pytest.raises(OutOfMemoryError, match=r"of mps\. Try a smaller segment, or device='cpu'$"):
        runner._shrink(1)


def test_other_errors_do_not_count_as_out_of_memory() -> None:
    class Wrong(Stub):
        def estimate(self, mixture: Tensor, stem: int) -> Tensor:
            raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes do not match"):
        network(Wrong()).separate(items(2), [0.0, 1.0])


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("MPS backend out of memory (MPS allocated: 18 GB)"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
    ],
)
def test_out_of_memory_is_recognized_on_every_backend(error: RuntimeError) -> None:
    """Reference: the messages of PyTorch's CUDA, MPS and CPU allocators."""
    assert is_out_of_memory(error)


def test_nan_is_recomputed_in_float32() -> None:
    """Property: a network that fails only under autocast gives the right result."""
    mixture = items(3)
    estimates = network(BrokenInBf16(), REDUCED).separate(mixture, [0.0] * 3)
    np.testing.assert_array_equal(estimates[:, 0], mixture)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_infinity_in_float32_names_the_time(precision: str) -> None:
    mixture = items(3)
    mixture[1, 0, 4] = 0.95
    reduced = {"precision": REDUCED} if precision == "bf16" else {}
    with pytest.raises(NumericalError, match=r"float32 at 2\.50 s"):
        network(BrokenWhereLoud(), **reduced).separate(mixture, [-1.0, 2.5, 6.0])


def test_only_non_finite_items_are_recomputed() -> None:
    separator = BrokenWhereLoud()
    mixture = items(4)
    mixture[2, 0, 0] = 0.95
    with pytest.raises(NumericalError):
        network(separator, REDUCED).separate(mixture, [0.0] * 4)
    assert separator.batches == [4, 1]


def test_silence_stays_silent_and_skips_the_network() -> None:
    """Property: silence in, silence out, even from a network with an offset."""

    class Offset(Stub):
        def estimate(self, mixture: Tensor, stem: int) -> Tensor:
            return mixture + 0.5

    separator = Offset()
    mixture = items(3)
    mixture[1] = 0
    estimates = network(separator).separate(mixture, [0.0] * 3)
    assert not estimates[1].any()
    np.testing.assert_array_equal(estimates[[0, 2], 0], mixture[[0, 2]] + 0.5)
    assert separator.batches == [2]


def test_networks_run_in_inference_mode() -> None:
    class Learned(Scaling):
        def __init__(self) -> None:
            super().__init__()
            self.gain = torch.nn.Parameter(torch.ones(1))

        def estimate(self, mixture: Tensor, stem: int) -> Tensor:
            product = mixture * self.gain
            assert product.is_inference()
            return product

    mixture = items(1)
    np.testing.assert_array_equal(network(Learned()).separate(mixture, [0.0])[:, 0], mixture)


def test_networks_that_prefer_channels_last_get_it() -> None:
    """Property: the same values, in another memory format."""
    separator = registry.build("spleeter", registry.architecture("spleeter").small_options).eval()
    chunks = items(1, channels=2, time=4000)
    with torch.inference_mode():
        expected = separator(torch.from_numpy(chunks)).numpy()
    network = ModelRunner(separator, torch.device("cpu"), Precision("fp32", "asked for"))
    np.testing.assert_allclose(network.separate(chunks, [0.0]), expected, atol=1e-5)
    weight = separator.unets.stems[0].down[1].weight
    assert weight.is_contiguous(memory_format=torch.channels_last)
