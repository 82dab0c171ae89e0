"""A program that uses the whole public interface; mypy checks it."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

import stemcli


def show(event: stemcli.Event) -> None:
    if isinstance(event, stemcli.Progress):
        print(event.seconds_done, event.to_dict()["event"])


def run(wave: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    version: str = stemcli.__version__
    result: stemcli.Result = stemcli.separate("song.wav", model="a", stems=["x"], on_event=show)
    path: Path = result.outputs["vocals"]
    with path.open("rb") as file:
        stemcli.separate(file, output=Path("out"))
    stemcli.separate(io.BytesIO(version.encode()), name="x.wav")
    options = stemcli.Options(model=["a", Path("runs/b")], stems="vocals", depth="32f")
    stemcli.Options(device=torch.device("cpu"), filename=Path("{track}/{stem}.{ext}"))
    estimates = stemcli.separate(torch.from_numpy(wave), sample_rate=44100)
    print(estimates["vocals"].dtype)
    names: tuple[str, ...] = options.model
    session = stemcli.Session(options, show, jobs=2, overlap=0.5)
    try:
        session.separate_file(path, folder=Path(*names))
        session.plan("a.wav", folder="b")
    except stemcli.ConfigError as error:
        print(error.mistakes)
    except stemcli.StemError as error:
        print(error)
    return {**session.separate_array(wave, 44100), **stemcli.separate(wave, sample_rate=44100.0)}


async def run_async(wave: NDArray[np.float32]) -> stemcli.Result:
    stems: dict[str, NDArray[np.float32]] = await stemcli.separate_async(wave, sample_rate=8000)
    session = stemcli.Session(model="a")
    print(stems, await session.separate_array_async(wave, 8000))
    first, second = await asyncio.gather(
        session.separate_file_async("a.wav"), stemcli.separate_async("b.wav")
    )
    return first if first.skipped else second
