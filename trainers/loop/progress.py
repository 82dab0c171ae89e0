"""How far a run has come, and what its validations say about going on."""

from __future__ import annotations

import math
from dataclasses import dataclass

from trainers.config import ScheduleRecipe


@dataclass
class Progress:
    """Counters that survive a restart; every worker of a run has the same.

    Attributes:
        step: optimizer steps done; also the place in the data, whose clips are numbered.
        judged: steps that were done at the last validation.
        best_sdr: best mean validation score so far, whatever the objective measures.
        best_step: when that was.
        mark: mean score that the last clear gain brought.
        stale: validations since then.
        falls: how often the schedule ``plateau`` lowered the learning rate.
        waited: validations without a clear gain since the last of those falls.
    """

    step: int = 0
    judged: int = 0
    best_sdr: float = float("-inf")
    best_step: int = 0
    mark: float = float("-inf")
    stale: int = 0
    falls: int = 0
    waited: int = 0

    @property
    def best(self) -> float | None:
        """Best mean validation score so far; None before the first."""
        return self.best_sdr if math.isfinite(self.best_sdr) else None

    def is_due(self, steps: int, every: int) -> bool:
        """Whether a validation is due: after the last of ``steps`` and after each ``every``."""
        at_a_stop = self.step > 0 and (self.step >= steps or self.step % every == 0)
        return at_a_stop and self.judged < self.step

    def judge(self, score: float, schedule: ScheduleRecipe) -> bool:
        """Take in a validation's mean score; returns whether it is the best of the run.

        Any other score that is better where it is higher does as well.
        """
        self.judged = self.step
        is_best = score > self.best_sdr
        if is_best:
            self.best_sdr, self.best_step = score, self.step
        self._count(score, schedule)
        return is_best

    def _count(self, score: float, schedule: ScheduleRecipe) -> None:
        """Averaged weights creep for ever, so that only a clear gain is one."""
        if score > self.mark + schedule.gain:
            self.mark, self.stale, self.waited = score, 0, 0
            return
        self.stale += 1
        self.waited += 1
        if schedule.shape == "plateau" and self.waited >= schedule.patience:
            self.falls, self.waited = self.falls + 1, 0

    def is_stuck(self, schedule: ScheduleRecipe) -> bool:
        """Whether the run shall end early."""
        return 0 < schedule.stop_after <= self.stale or 0 < schedule.max_falls <= self.falls

    def why_stuck(self, schedule: ScheduleRecipe) -> str:
        """What a run that ends early says."""
        if 0 < schedule.stop_after <= self.stale:
            return f"no gain of {schedule.gain:g} dB, validations in a row: {self.stale}"
        return f"no gain of {schedule.gain:g} dB at one learning rate after the other: {self.falls}"
