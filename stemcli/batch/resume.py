"""Resumes an earlier run: finds what is left to do, and cleans up after a killed run."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_zoo.errors import OutputError
from stemcli.audio.writer import leftovers
from stemcli.batch.journal import Journal
from stemcli.batch.plan import SongTask, refuse_existing
from stemcli.batch.records import JournalEntry
from stemcli.engine.options import Options
from stemcli.remote_path import is_taken, is_there, real

DONE = "made in an earlier run"
EXIST = "all stems exist"
EDITED = "somebody changed a stem, which stays as it is"
FOREIGN = "a file is there that no earlier run made, and stays as it is"


@dataclass(frozen=True)
class ResumeDecision:
    """What is to be done about one song.

    Attributes:
        task: the song.
        skip: why nothing is to be done; empty when something is.
        again: why it is done once more; empty for a song that is new here.
    """

    task: SongTask
    skip: str = ""
    again: str = ""


def recover(journal: Journal) -> None:
    """Finish what a killed run had only to rename, and remove what it had half written.

    Raises:
        OutputError: the journal or the folder cannot be written.
    """
    for place, entry in journal.unfinished().items():
        try:
            if entry.state == "ready" and all(_put_in_place(entry)):
                journal.done(place)
            else:
                _clean(entry)
        except OSError as error:
            raise OutputError(
                f"{error.filename}, left by a run that was killed, cannot be moved or removed "
                f"({error.strerror}). Remove it yourself and run it again"
            ) from error


def _put_in_place(entry: JournalEntry) -> Iterator[bool]:
    """Whether each stem is complete under its name, or could be given it now."""
    for output in entry.latest:
        is_waiting = output.content is not None and output.content.is_in(output.temporary)
        if is_waiting:
            output.temporary.replace(output.path)
        yield is_waiting or output.is_whole


def _clean(entry: JournalEntry) -> None:
    for output in entry.latest:
        for file in leftovers(output.path):
            file.unlink(missing_ok=True)


def decide(
    tasks: Sequence[SongTask], journal: Journal, settings: str, options: Options
) -> list[ResumeDecision]:
    """Compare every song with what the journal knows of it.

    Args:
        tasks: songs and the files their stems become.
        journal: what was done before.
        settings: as :attr:`~stemcli.batch.journal.Entry.settings`.
        options: whether stems that exist are kept, replaced or refused.

    Raises:
        OutputError: a stem would replace a file that is not known to be one of this song's.
    """
    entries = [journal.find(task.name) for task in tasks]
    verdicts = [
        _decide(task, entry, settings, options) for task, entry in zip(tasks, entries, strict=True)
    ]
    if options.existing == "refuse":
        pairs = zip(verdicts, entries, strict=True)
        refuse_existing(path for found, entry in pairs for path in _foreign(found, entry))
    return verdicts


def _decide(
    task: SongTask, entry: JournalEntry | None, settings: str, options: Options
) -> ResumeDecision:
    if options.existing == "skip" and all(map(is_there, task.outputs.values())):
        return ResumeDecision(task, skip=EXIST)
    if options.existing == "overwrite":
        return ResumeDecision(task)
    if entry and any(_is_edited(entry, path) for path in task.outputs.values()):
        return ResumeDecision(task, skip=EDITED)
    if options.existing == "skip" and any(map(is_taken, _foreign(ResumeDecision(task), entry))):
        return ResumeDecision(task, skip=FOREIGN)
    if entry is None:
        return ResumeDecision(task)
    why = _why_again(task, entry, settings)
    return ResumeDecision(task, again=why) if why else ResumeDecision(task, skip=DONE)


def _is_edited(entry: JournalEntry, path: Path) -> bool:
    """Whether a file is there that was made for this song, and changed since."""
    output = entry.outputs.get(path)
    return bool(output and output.content and is_taken(path) and not output.is_whole)


def _why_again(task: SongTask, entry: JournalEntry, settings: str) -> str:
    """Empty when the stems are there and would be made the same way."""
    if entry.state == "failed":
        return "failed before"
    if entry.state != "done":
        return "interrupted before"
    if not entry.content.is_in(task.song.path):
        return "the song changed"
    if entry.settings != settings:
        return _difference(json.loads(entry.settings), json.loads(settings))
    if not all(path in entry.outputs and is_there(path) for path in task.outputs.values()):
        return "stems are missing"
    return ""


def _difference(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    changed = sorted(key for key in before.keys() | now if before.get(key) != now.get(key))
    names = ", ".join(f"--{OPTION_NAMES.get(key, key).replace('_', '-')}" for key in changed)
    return f"changed: {names}"


OPTION_NAMES = {"depth": "bit-depth"}
"""Fields of :class:`~stemcli.engine.options.Options` that users know by another name."""


def _is_whole(entry: JournalEntry, path: Path) -> bool:
    return path in entry.outputs and entry.outputs[path].is_whole


def _foreign(verdict: ResumeDecision, entry: JournalEntry | None) -> Iterator[Path]:
    """Files that would be replaced and are not just as they were written for this very song."""
    known = entry and _is_same_song(entry, verdict.task.song.path)
    for path in () if verdict.skip else verdict.task.outputs.values():
        if not (entry and known and _is_whole(entry, path)):
            yield path


def _is_same_song(entry: JournalEntry, path: Path) -> bool:
    """One that was changed keeps its place, one that was moved its content."""
    return real(path) == entry.source or entry.content.is_in(path)
