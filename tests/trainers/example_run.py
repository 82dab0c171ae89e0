"""The events of an example run with round numbers: 40 of 1000 steps, in two different halves.

The first three steps take a minute each, the others half a second, a tenth of a second of it for
data.
"""

from __future__ import annotations

from collections.abc import Iterator

from stemcli.engine.events import Event
from trainers.config import Recipe
from trainers.loop.events import RunFinished, RunStarted, StepDone, Validated

RECIPE = Recipe.from_dict(
    {
        "name": "tiny",
        "losses": {"waveform_l1": 1.0, "multi_resolution_stft": 0.5},
        "schedule": {"steps": 1000},
        "validation": {"every": 20},
        "log": {"every": 20},
    }
)
STARTED = RunStarted("tiny", "melroformer", 3_919_872, 0, "cpu", "bf16", 0, 1000, 100.0, 2)
ADVERSARIAL = RunStarted(
    "big", "melroformer", 3_919_872, 1_200_000, "cuda:0", "bf16", 400, 1000, 0.0, 1
)
FIRST_HALF, SECOND_HALF = range(1, 21), range(21, 41)
FINISHED = RunFinished(1000, 3.5, "run/best.safetensors", "all steps are done")


def step(number: int, stems: tuple[str, ...] = (), adversary: bool = False) -> StepDone:
    """One step; after the first twenty, losses halve, stay the same or grow by a tenth."""
    is_late = number in SECOND_HALF
    losses = {
        "total": 2.0,
        "waveform_l1": 0.01 if is_late else 0.02,
        "multi_resolution_stft": 1.1 if is_late else 1.0,
        **{f"waveform_l1/{stem}": 0.5 for stem in stems},
    }
    norms, rates = {"model": 0.4 if is_late else 0.8}, {"model": 0.001}
    if adversary:
        losses |= {"generator": 3.0, "feature_matching": 4.0, "discriminator": 5.0}
        norms["discriminator"], rates["discriminator"] = 12.5, 0.0002
    return StepDone(number, losses, norms, rates, 60.0 if number <= 3 else 0.5, 0.1)


def validated(number: int, *sdr: float, best: bool, best_mean: float) -> Validated:
    """A validation of vocals, or of vocals and bass."""
    scores = dict(zip(("vocals", "bass"), sdr, strict=False))
    return Validated(number, scores, sum(sdr) / len(sdr), best, best_mean)


def example_events(adversary: bool = False) -> Iterator[Event]:
    """All events up to step 40: vocals rise from 1 to 1.5 dB."""
    yield STARTED
    for number in FIRST_HALF:
        yield step(number, adversary=adversary)
    yield validated(20, 1.0, best=True, best_mean=1.0)
    for number in SECOND_HALF:
        yield step(number, adversary=adversary)
    yield validated(40, 1.5, best=True, best_mean=1.5)
