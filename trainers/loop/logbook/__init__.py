"""What is kept of a run for people to look at: curves, sound, pictures and texts."""

from trainers.loop.logbook.keeping import keep_logs as keep_logs
from trainers.loop.logbook.protocol import Logbook as Logbook
