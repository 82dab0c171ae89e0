"""Two workers that are processes of their own, as a cluster has them.

The loop runs in a thread that is not the main one, as in Ray Train.
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
KINDS = {"whole": DDPStrategy, "sharded": FSDPStrategy}
CPU = torch.device("cpu")


def two_workers(
    recipe: Recipe, data: Path, *tracks: Path, kind: str = "whole", resume: bool = False
) -> list[list[dict[str, Any]]]:
    """Events of each; their folders are ``rank0`` and ``rank1``."""
    plan = data / f"plan{len([*data.glob('plan*')])}.json"
    validation = [str(track) for track in tracks]
    given = {"recipe": recipe.to_dict(), "data": str(data), "validation": validation}
    plan.write_text(json.dumps(given | {"kind": kind, "resume": resume}))
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
    told = [worker.communicate(timeout=300)[0] for worker in processes]
    assert [worker.returncode for worker in processes] == [0, 0]
    return [[json.loads(line) for line in lines.splitlines()] for lines in told]


def main(plan: Path, rank: int, world_size: int) -> NoReturn:
    """Run a plan in a folder for each rank; tell every event as a line of JSON."""
    given = json.loads(plan.read_text())
    place = f"file://{plan.with_suffix('.meeting')}"
    dist.init_process_group("gloo", init_method=place, rank=rank, world_size=world_size)
    torch.set_num_threads(1)
    worker = KINDS[given["kind"]](CPU, rank, world_size)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(_work, given, plan.parent / f"rank{rank}", worker).result()
    leave()


def _work(given: Mapping[str, Any], folder: Path, worker: DDPStrategy) -> None:
    recipe = Recipe.from_dict(given["recipe"])
    tracks = tuple(map(Path, given["validation"]))
    try:
        best = train(
            recipe,
            Path(given["data"]),
            tracks,
            folder,
            worker,
            lambda event: worker.rank == 0 and _tell(event.to_dict()),
            resume=given["resume"],
        )
    except StemError as error:
        _tell({"event": "refused", "error": type(error).__name__, "message": str(error)})
        return
    _tell({"event": "returned", "best": best.name, "drawn": torch.rand(3).tolist()})
    dist.barrier()  # only now the first has surely written its last checkpoint
    state = TrainState.fresh(recipe, worker)
    load_checkpoint(state, folder.with_name("rank0"))
    _tell({"event": "held", "bytes": _held(state)})


def _held(state: TrainState) -> int:
    """Bytes of the weights, their averages and what the optimizers remember of them."""
    memories = [
        value
        for optimizer in state.optimizer.optimizers
        for memory in optimizer.state.values()
        for value in memory.values()
        if value.ndim
    ]
    tensors = [*state.separator.parameters(), *state.ema.model.parameters(), *memories]
    local = [value.to_local() if hasattr(value, "to_local") else value for value in tensors]
    return sum(value.untyped_storage().nbytes() for value in local)


def _tell(event: Mapping[str, Any]) -> None:
    print(json.dumps(event), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
