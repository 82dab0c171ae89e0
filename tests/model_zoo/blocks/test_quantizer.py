"""The frame quantizer. Truth: distances by brute force, losses and gradients worked out by hand
(van den Oord, Vinyals and Kavukcuoglu 2017, arXiv 1711.00937, eq. 2 and 3), and counting."""

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
from model_zoo.ops.tensors import whole
from tests.gloo import leave
from tests.model_zoo.blocks.weights import fill, pattern

CODES = 7


def quantizer(patience: int = 3) -> FrameQuantizer:
    return fill(FrameQuantizer(2, 3, CODES, beta=0.25, patience=patience), size=1.0)


def step(made: FrameQuantizer, *parts: Tensor) -> Quantized:
    """One step of a batch in parts; what comes of the last."""
    found = [made(part) for part in parts]
    made.settle()
    return found[-1]


def vectors_of(x: Tensor) -> Tensor:
    """One row a frame: the bins of the first channel, then those of the second."""
    return x.permute(0, 3, 1, 2).flatten(2)


def at_code(made: FrameQuantizer, *codes: int) -> Tensor:
    """Frames that are codes."""
    rows = made.embedding.weight.detach()[list(codes)]
    return rows.reshape(1, len(codes), 2, 3).permute(0, 2, 3, 1)


@given(phase=st.floats(0, 6))
def test_takes_the_nearest_code(phase: float) -> None:
    made, x = quantizer(), 2 * pattern(2, 2, 3, 5, phase=phase)
    quantized, _, indices = made(x)
    for item in range(2):
        for frame in range(5):
            vector = vectors_of(x)[item, frame]
            distances = [(vector - code).norm() for code in made.embedding.weight.detach()]
            assert distances[int(indices[item, frame])] <= min(distances) + 1e-5
    expected = made.embedding.weight.detach()[indices]
    torch.testing.assert_close(vectors_of(quantized), expected)


def test_losses_by_hand() -> None:
    made = FrameQuantizer(1, 2, 2, beta=0.25)
    with torch.no_grad():
        made.embedding.weight.copy_(torch.tensor([[0.0, 0.0], [10.0, 10.0]]))
    # Frames (1, 2) and (10, 7): squares 1, 4, 0, 9, whose mean is 3.5.
    x = torch.tensor([[1.0, 10.0], [2.0, 7.0]])[None, None]
    quantized, losses, indices = made(x)
    assert indices.tolist() == [[0, 1]]
    torch.testing.assert_close(quantized, torch.tensor([[0.0, 10.0], [0.0, 10.0]])[None, None])
    assert losses["codebook"].item() == pytest.approx(3.5)
    assert losses["commitment"].item() == pytest.approx(0.25 * 3.5)


def test_gradients_pass_straight_through() -> None:
    made, x = quantizer(), pattern(2, 2, 3, 5).requires_grad_()
    upstream = pattern(2, 2, 3, 5, phase=1.0)
    (gradient,) = torch.autograd.grad((made(x).quantized * upstream).sum(), x)
    assert torch.equal(gradient, upstream)


def test_each_loss_moves_its_own_side() -> None:
    made, x = quantizer(), pattern(1, 2, 3, 5).requires_grad_()
    codes = made.embedding.weight
    _, losses, indices = made(x)
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


def test_counts_what_is_used() -> None:
    made = quantizer().train()
    assert made.usage() == Usage(0, 0.0)
    step(made, at_code(made, 1, 1, 4, 5))
    # Shares of a half and two quarters: entropy 1.5 bits.
    assert made.usage().codes == 3
    assert made.usage().perplexity == pytest.approx(2**1.5)
    step(made, at_code(made, 1))
    expected = (1 - MEMORY) * torch.tensor([0.5 * MEMORY + 1, 0.25 * MEMORY, 0.25 * MEMORY])
    torch.testing.assert_close(made.share[[1, 4, 5]], expected)


def test_a_code_that_is_idle_is_not_used_lately() -> None:
    made = quantizer(patience=2).train()
    step(made, at_code(made, *range(CODES)))
    step(made, at_code(made, 1))
    assert made.usage().codes == CODES
    step(made, at_code(made, 1))
    assert made.usage().codes == 1


def test_parts_of_a_batch_are_one_step() -> None:
    """Truth: the whole batch at once, three times."""
    whole_batch, parts = quantizer(patience=3).train(), quantizer(patience=3).train()
    codes = [at_code(parts, 1, 1), at_code(parts, 4, 5)]
    for _ in range(3):
        step(whole_batch, torch.cat(codes, -1))
        step(parts, *codes)
    assert parts.idle.tolist() == [3, 0, 3, 3, 0, 0, 3]
    expected = whole_batch.state_dict()
    for name, value in parts.state_dict().items():
        torch.testing.assert_close(value, expected[name])


def test_codes_are_put_elsewhere_once_a_step() -> None:
    made = quantizer(patience=1).train()
    step(made, at_code(made, 0))
    made(5 + pattern(1, 2, 3, 40))
    first = made.embedding.weight.detach().clone()
    made(9 + pattern(1, 2, 3, 40))
    assert torch.equal(made.embedding.weight, first)


def test_who_only_looks_counts_nothing() -> None:
    """In training as well, where no gradient is computed."""
    made = quantizer(patience=1).train()
    step(made, at_code(made, 0))
    before = {name: value.clone() for name, value in made.named_buffers()}
    codes = made.embedding.weight.detach().clone()
    with torch.no_grad():
        made(5 + pattern(1, 2, 3, 40))
    assert all(torch.equal(value, before[name]) for name, value in made.named_buffers())
    assert torch.equal(made.embedding.weight, codes)


def test_evaluation_counts_nothing() -> None:
    made = quantizer(patience=1)
    made.idle.fill_(50)
    before = {name: value.clone() for name, value in made.state_dict().items()}
    made(pattern(1, 2, 3, 5))
    assert all(torch.equal(value, before[name]) for name, value in made.state_dict().items())


def test_dead_codes_become_frames_of_the_batch() -> None:
    made = quantizer(patience=3).train()
    old = made.embedding.weight.detach().clone()
    for _ in range(3):
        step(made, at_code(made, 0, 1))
    assert torch.equal(made.embedding.weight, old)
    assert made.idle.tolist() == [0, 0, 3, 3, 3, 3, 3]
    x = 5 + pattern(1, 2, 3, 40)
    _, _, indices = step(made, x)
    assert torch.equal(made.embedding.weight[:2], old[:2])
    rows = {tuple(row) for row in vectors_of(x)[0].tolist()}
    revived = {tuple(row) for row in made.embedding.weight[2:].tolist()}
    assert revived <= rows
    assert len(revived) == CODES - 2
    assert {*indices.flatten().tolist()} <= {*range(2, CODES)}
    assert made.idle[:2].tolist() == [1, 1]


def test_a_code_that_was_put_elsewhere_is_used() -> None:
    """Far from all codes every frame has the same one, until the others are there."""
    made, x = quantizer(patience=2).train(), 100 + 30 * pattern(1, 2, 3, 64)
    step(made, x)
    few = made.usage().codes
    for _ in range(20):
        step(made, x)
    assert few <= 2
    assert made.usage().codes == CODES
    assert made.usage().perplexity > few + 1


def test_the_same_generator_gives_the_same_codes() -> None:
    def revived(seed: int) -> Tensor:
        made = quantizer(patience=1).train()
        made.idle.fill_(9)
        torch.manual_seed(seed)
        made(pattern(1, 2, 3, 40))
        return made.embedding.weight.detach()

    assert torch.equal(revived(1), revived(1))
    assert not torch.equal(revived(1), revived(2))


def test_two_processes_have_the_same_codes(tmp_path: Path) -> None:
    """Also where each of them holds half of the code book."""
    mp.spawn(one_of_two, (str(tmp_path),), nprocs=2)
    found = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2)]
    first, *others = [state for of_rank in found for state in of_rank]
    assert len(others) == 3
    for state in others:
        for name, value in first.items():
            assert torch.equal(state[name], value), name
    rows = {tuple(row) for row in vectors_of(frames_of(0))[0].tolist()}
    assert {tuple(row) for row in first["embedding.weight"][1:].tolist()} <= rows
    # In the last step either process used one code at least, and both know of both.
    assert first["idle"].tolist().count(0) >= 2


def frames_of(rank: int) -> Tensor:
    return 5 * (1 + rank) + pattern(1, 2, 3, 8)


def one_of_two(rank: int, folder: str) -> NoReturn:
    place = f"file://{folder}/meeting"
    dist.init_process_group("gloo", init_method=place, rank=rank, world_size=2)
    full, half = quantizer(patience=2).train(), quantizer(patience=2).train()
    fully_shard(half.embedding, mesh=init_device_mesh("cpu", (2,)), reshard_after_forward=True)
    torch.save([revived_in(full, rank), revived_in(half, rank)], f"{folder}/{rank}.pt")
    leave()


def revived_in(made: FrameQuantizer, rank: int) -> dict[str, Tensor]:
    """What becomes of a code book of which one code is used, then others."""
    torch.manual_seed(rank)
    known = at_code(quantizer(), 0)
    for _ in range(2):
        step(made, known)
    step(made, frames_of(rank))
    return {name: whole(value.detach()) for name, value in made.state_dict().items()}


def test_codes_start_near_zero() -> None:
    weight = FrameQuantizer(2, 3, 50).embedding.weight.detach()
    assert 0.9 / 50 < weight.abs().max() <= 1 / 50
    assert math.isclose(float(weight.mean()), 0, abs_tol=0.005)
