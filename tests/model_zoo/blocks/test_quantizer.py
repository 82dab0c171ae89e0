"""The frame quantizer. Reference: distances by brute force; losses and gradients by hand
(van den Oord, Vinyals and Kavukcuoglu 2017, arXiv 1711.00937, eq. 2 and 3)."""

from __future__ import annotations

import math
from pathlib import Path
from typing import NoReturn

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from model_zoo.blocks.quantizer import MEMORY, FrameQuantizer, Quantized, Usage
from model_zoo.ops.tensors import full_tensor
from tests.gloo import leave
from tests.model_zoo.blocks.weights import fill, pattern

CODES = 7


def quantizer(patience: int = 3) -> FrameQuantizer:
    return fill(FrameQuantizer(2, 3, CODES, beta=0.25, patience=patience), size=1.0)


def step(vq: FrameQuantizer, *parts: Tensor) -> Quantized:
    """One step on a batch in parts; returns the output of the last part."""
    outputs = [vq(part) for part in parts]
    vq.settle()
    return outputs[-1]


def vectors_of(x: Tensor) -> Tensor:
    """One row per frame: the bins of the first channel, then those of the second."""
    return x.permute(0, 3, 1, 2).flatten(2)


def at_code(vq: FrameQuantizer, *codes: int) -> Tensor:
    """Frames equal to the given codes."""
    rows = vq.embedding.weight.detach()[list(codes)]
    return rows.reshape(1, len(codes), 2, 3).permute(0, 2, 3, 1)


@given(phase=st.floats(0, 6))
def test_each_frame_gets_the_nearest_code(phase: float) -> None:
    vq, x = quantizer(), 2 * pattern(2, 2, 3, 5, phase=phase)
    quantized, _, indices = vq(x)
    for item in range(2):
        for frame in range(5):
            vector = vectors_of(x)[item, frame]
            distances = [(vector - code).norm() for code in vq.embedding.weight.detach()]
            assert distances[int(indices[item, frame])] <= min(distances) + 1e-5
    expected = vq.embedding.weight.detach()[indices]
    torch.testing.assert_close(vectors_of(quantized), expected)


def test_losses_by_hand() -> None:
    vq = FrameQuantizer(1, 2, 2, beta=0.25)
    with torch.no_grad():
        vq.embedding.weight.copy_(torch.tensor([[0.0, 0.0], [10.0, 10.0]]))
    # Frames (1, 2) and (10, 7): the squares 1, 4, 0, 9 have the mean 3.5.
    x = torch.tensor([[1.0, 10.0], [2.0, 7.0]])[None, None]
    quantized, losses, indices = vq(x)
    assert indices.tolist() == [[0, 1]]
    torch.testing.assert_close(quantized, torch.tensor([[0.0, 10.0], [0.0, 10.0]])[None, None])
    assert losses["codebook"].item() == pytest.approx(3.5)
    assert losses["commitment"].item() == pytest.approx(0.25 * 3.5)


def test_gradients_pass_straight_through() -> None:
    vq, x = quantizer(), pattern(2, 2, 3, 5).requires_grad_()
    upstream = pattern(2, 2, 3, 5, phase=1.0)
    (gradient,) = torch.autograd.grad((vq(x).quantized * upstream).sum(), x)
    assert torch.equal(gradient, upstream)


def test_each_loss_has_its_own_gradient() -> None:
    vq, x = quantizer(), pattern(1, 2, 3, 5).requires_grad_()
    codes = vq.embedding.weight
    _, losses, indices = vq(x)
    count = x.numel()
    gap = vectors_of(x.detach()) - codes.detach()[indices]
    to_x, to_codes = torch.autograd.grad(
        losses["commitment"], (x, codes), retain_graph=True, allow_unused=True
    )
    torch.testing.assert_close(vectors_of(to_x), 0.25 * 2 * gap / count)
    assert to_codes is None
    none, to_codes = torch.autograd.grad(losses["codebook"], (x, codes), allow_unused=True)
    assert none is None
    expected = torch.zeros_like(codes).index_add(0, indices[0], -2 * gap[0] / count)
    torch.testing.assert_close(to_codes, expected)


def test_usage_counts_the_codes() -> None:
    vq = quantizer().train()
    assert vq.usage() == Usage(0, 0.0)
    step(vq, at_code(vq, 1, 1, 4, 5))
    # Shares of a half and two quarters: entropy 1.5 bits.
    assert vq.usage().codes == 3
    assert vq.usage().perplexity == pytest.approx(2**1.5)
    step(vq, at_code(vq, 1))
    expected = (1 - MEMORY) * torch.tensor([0.5 * MEMORY + 1, 0.25 * MEMORY, 0.25 * MEMORY])
    torch.testing.assert_close(vq.share[[1, 4, 5]], expected)


def test_idle_codes_do_not_count_as_used() -> None:
    vq = quantizer(patience=2).train()
    step(vq, at_code(vq, *range(CODES)))
    step(vq, at_code(vq, 1))
    assert vq.usage().codes == CODES
    step(vq, at_code(vq, 1))
    assert vq.usage().codes == 1


def test_parts_of_a_batch_are_one_step() -> None:
    """Reference: three steps on the complete batch."""
    whole_batch, parts = quantizer(patience=3).train(), quantizer(patience=3).train()
    codes = [at_code(parts, 1, 1), at_code(parts, 4, 5)]
    for _ in range(3):
        step(whole_batch, torch.cat(codes, -1))
        step(parts, *codes)
    assert parts.idle.tolist() == [3, 0, 3, 3, 0, 0, 3]
    expected = whole_batch.state_dict()
    for name, value in parts.state_dict().items():
        torch.testing.assert_close(value, expected[name])


def test_dead_codes_are_replaced_once_per_step() -> None:
    vq = quantizer(patience=1).train()
    step(vq, at_code(vq, 0))
    vq(5 + pattern(1, 2, 3, 40))
    replaced = vq.embedding.weight.detach().clone()
    vq(9 + pattern(1, 2, 3, 40))
    assert torch.equal(vq.embedding.weight, replaced)


def test_without_gradients_nothing_is_counted() -> None:
    """Also in training mode under ``no_grad``."""
    vq = quantizer(patience=1).train()
    step(vq, at_code(vq, 0))
    before = {name: value.clone() for name, value in vq.named_buffers()}
    codes = vq.embedding.weight.detach().clone()
    with torch.no_grad():
        vq(5 + pattern(1, 2, 3, 40))
    assert all(torch.equal(value, before[name]) for name, value in vq.named_buffers())
    assert torch.equal(vq.embedding.weight, codes)


def test_evaluation_counts_nothing() -> None:
    vq = quantizer(patience=1)
    vq.idle.fill_(50)
    before = {name: value.clone() for name, value in vq.state_dict().items()}
    vq(pattern(1, 2, 3, 5))
    assert all(torch.equal(value, before[name]) for name, value in vq.state_dict().items())


def test_dead_codes_become_frames_of_the_batch() -> None:
    vq = quantizer(patience=3).train()
    old = vq.embedding.weight.detach().clone()
    for _ in range(3):
        step(vq, at_code(vq, 0, 1))
    assert torch.equal(vq.embedding.weight, old)
    assert vq.idle.tolist() == [0, 0, 3, 3, 3, 3, 3]
    x = 5 + pattern(1, 2, 3, 40)
    _, _, indices = step(vq, x)
    assert torch.equal(vq.embedding.weight[:2], old[:2])
    rows = {tuple(row) for row in vectors_of(x)[0].tolist()}
    revived = {tuple(row) for row in vq.embedding.weight[2:].tolist()}
    assert revived <= rows
    assert len(revived) == CODES - 2
    assert {*indices.flatten().tolist()} <= {*range(2, CODES)}
    assert vq.idle[:2].tolist() == [1, 1]


def test_replaced_codes_are_used() -> None:
    """Far from all codes, every frame gets the same code until the others are replaced."""
    vq, x = quantizer(patience=2).train(), 100 + 30 * pattern(1, 2, 3, 64)
    step(vq, x)
    codes_before = vq.usage().codes
    for _ in range(20):
        step(vq, x)
    assert codes_before <= 2
    assert vq.usage().codes == CODES
    assert vq.usage().perplexity > codes_before + 1


def test_the_same_generator_gives_the_same_codes() -> None:
    def revived(seed: int) -> Tensor:
        vq = quantizer(patience=1).train()
        vq.idle.fill_(9)
        torch.manual_seed(seed)
        vq(pattern(1, 2, 3, 40))
        return vq.embedding.weight.detach()

    assert torch.equal(revived(1), revived(1))
    assert not torch.equal(revived(1), revived(2))


def test_two_processes_have_the_same_codes(tmp_path: Path) -> None:
    """Also if each of them holds half of the codebook."""
    mp.spawn(one_of_two, (str(tmp_path),), nprocs=2)
    states = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2)]
    first, *others = [state for of_rank in states for state in of_rank]
    assert len(others) == 3
    for state in others:
        for name, value in first.items():
            assert torch.equal(state[name], value), name
    rows = {tuple(row) for row in vectors_of(frames_of(0))[0].tolist()}
    assert {tuple(row) for row in first["embedding.weight"][1:].tolist()} <= rows
    # In the last step each process used at least one code, and both count both.
    assert first["idle"].tolist().count(0) >= 2


def frames_of(rank: int) -> Tensor:
    return 5 * (1 + rank) + pattern(1, 2, 3, 8)


def one_of_two(rank: int, folder: str) -> NoReturn:
    store = f"file://{folder}/meeting"
    dist.init_process_group("gloo", init_method=store, rank=rank, world_size=2)
    full, half = quantizer(patience=2).train(), quantizer(patience=2).train()
    fully_shard(half.embedding, mesh=init_device_mesh("cpu", (2,)), reshard_after_forward=True)
    torch.save(
        [state_after_revival(full, rank), state_after_revival(half, rank)], f"{folder}/{rank}.pt"
    )
    leave()


def state_after_revival(vq: FrameQuantizer, rank: int) -> dict[str, Tensor]:
    """The state of a codebook after steps that use one code, then others."""
    torch.manual_seed(rank)
    single_code = at_code(quantizer(), 0)
    for _ in range(2):
        step(vq, single_code)
    step(vq, frames_of(rank))
    return {name: full_tensor(value.detach()) for name, value in vq.state_dict().items()}


def test_codes_start_near_zero() -> None:
    weight = FrameQuantizer(2, 3, 50).embedding.weight.detach()
    assert 0.9 / 50 < weight.abs().max() <= 1 / 50
    assert math.isclose(float(weight.mean()), 0, abs_tol=0.005)
