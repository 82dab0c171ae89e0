"""Runs two workers in separate processes, as on a cluster.

The training loop runs outside the main thread, as in Ray Train.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NoReturn

import torch
import torch.distributed as dist

from model_zoo.errors import StemError
from tests.gloo import leave
from trainers.config import Recipe
from trainers.loop.checkpoint import load_checkpoint
from trainers.loop.execution import DDPStrategy, FSDPStrategy
from trainers.loop.state import TrainState
from trainers.loop.trainer import train

ROOT = Path(__file__).parents[2]
KINDS = {"unsharded": DDPStrategy, "sharded": FSDPStrategy}
CPU = torch.device("cpu")


def two_workers(
    recipe: Recipe, data: Path, *tracks: Path, kind: str = "unsharded", resume: bool = False
) -> list[list[dict[str, Any]]]:
    """Run both workers in the folders ``rank0`` and ``rank1``; return the events of each."""
    plan = data / f"plan{len([*data.glob('plan*')])}.json"
    validation = [str(track) for track in tracks]
    options = {"recipe": recipe.to_dict(), "data": str(data), "validation": validation}
    plan.write_text(json.dumps(options | {"kind": kind, "resume": resume}))
    processes = [
        subprocess.Popen(
            [
                sys.executable,
                "-W",
                "error",
                "-m",
                "tests.trainers.two_workers",
                str(plan),
                str(rank),
                "2",
            ],
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        for rank in range(2)
    ]
    outputs = [worker.communicate(timeout=300)[0] for worker in processes]
    assert [worker.returncode for worker in processes] == [0, 0]
    return [[json.loads(line) for line in lines.splitlines()] for lines in outputs]


def main(plan: Path, rank: int, world_size: int) -> NoReturn:
    """Run the plan as one rank, in its own folder; print every event as a line of JSON."""
    options = json.loads(plan.read_text())
    init_file = f"file://{plan.with_suffix('.meeting')}"
    dist.init_process_group("gloo", init_method=init_file, rank=rank, world_size=world_size)
    torch.set_num_threads(1)
    worker = KINDS[options["kind"]](CPU, rank, world_size)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(_train, options, plan.parent / f"rank{rank}", worker).result()
    leave()


def _train(options: Mapping[str, Any], folder: Path, worker: DDPStrategy) -> None:
    recipe = Recipe.from_dict(options["recipe"])
    tracks = tuple(map(Path, options["validation"]))
    try:
        best = train(
            recipe,
            Path(options["data"]),
            tracks,
            folder,
            worker,
            lambda event: worker.rank == 0 and _print_event(event.to_dict()),
            resume=options["resume"],
        )
    except StemError as error:
        _print_event({"event": "refused", "error": type(error).__name__, "message": str(error)})
        return
    _print_event({"event": "returned", "best": best.name, "drawn": torch.rand(3).tolist()})
    dist.barrier()  # after it, the first worker has written its last checkpoint
    state = TrainState.fresh(recipe, worker)
    load_checkpoint(state, folder.with_name("rank0"))
    _print_event({"event": "held", "bytes": _bytes_held(state)})


def _bytes_held(state: TrainState) -> int:
    """Bytes of weights, averages and optimizer states that this worker holds."""
    states = [
        value
        for optimizer in state.optimizer.optimizers
        for state_of_weight in optimizer.state.values()
        for value in state_of_weight.values()
        if value.ndim
    ]
    tensors = [*state.separator.parameters(), *state.ema.model.parameters(), *states]
    local = [value.to_local() if hasattr(value, "to_local") else value for value in tensors]
    return sum(value.untyped_storage().nbytes() for value in local)


def _print_event(event: Mapping[str, Any]) -> None:
    print(json.dumps(event), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
