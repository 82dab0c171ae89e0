"""Two workers that are processes of their own, as a cluster has them."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
import torch.distributed as dist

from trainers.config import Recipe
from trainers.loop.distributed import DistributedWorker
from trainers.loop.run import run


def main(plan: Path, rank: int, world_size: int) -> None:
    """Run a plan in a folder for each rank; tell every event as a line of JSON."""
    given = json.loads(plan.read_text())
    place = f"file://{plan.with_suffix('.meeting')}"
    dist.init_process_group("gloo", init_method=place, rank=rank, world_size=world_size)
    torch.set_num_threads(1)
    best = run(
        Recipe.from_dict(given["recipe"]),
        Path(given["data"]),
        tuple(map(Path, given["validation"])),
        plan.parent / f"rank{rank}",
        DistributedWorker(torch.device("cpu"), rank, world_size),
        lambda event: rank == 0 and print(json.dumps(event.to_dict()), flush=True),
    )
    print(json.dumps({"event": "returned", "best": best.name}), flush=True)
    dist.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
