"""What is kept of a run for people to look at: curves, sound, pictures and texts."""

from trainers.loop.loggers.backends import Logbook as Logbook
from trainers.loop.loggers.run_log import keep_logs as keep_logs
