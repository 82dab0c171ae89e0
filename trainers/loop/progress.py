"""How far a run has come, and what its validations say about going on."""

from __future__ import annotations

from dataclasses import dataclass

from trainers.config import ScheduleRecipe


@dataclass
class Progress:
    """Counters that survive a restart; every worker of a run has the same.

    Attributes:
        step: optimizer steps done; also the place in the data, whose clips are numbered.
        best_sdr: best mean validation SDR so far, in dB.
        best_step: when that was.
        stale: validations since then.
        falls: how often the schedule ``plateau`` lowered the learning rate.
        waited: validations without a new best since the last of those falls.
    """

    step: int = 0
    best_sdr: float = float("-inf")
    best_step: int = 0
    stale: int = 0
    falls: int = 0
    waited: int = 0

    def judge(self, sdr: float, schedule: ScheduleRecipe) -> bool:
        """Take in a validation's mean SDR in dB; returns whether it is the best of the run."""
        if sdr > self.best_sdr:
            self.best_sdr, self.best_step, self.stale, self.waited = sdr, self.step, 0, 0
            return True
        self.stale += 1
        self.waited += 1
        if schedule.shape == "plateau" and self.waited >= schedule.patience:
            self.falls, self.waited = self.falls + 1, 0
        return False

    def is_stuck(self, schedule: ScheduleRecipe) -> bool:
        """Whether the run shall end early."""
        return 0 < schedule.stop_after <= self.stale
