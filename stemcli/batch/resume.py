"""Resumes an earlier run: decides which songs are left, and cleans up after a killed run."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_zoo.errors import OutputError
from model_zoo.files import replace_file
from model_zoo.option_names import option
from stemcli.audio.writer import OLDER, leftovers
from stemcli.batch.journal import Journal
from stemcli.batch.plan import SongTask, refuse_existing
from stemcli.batch.records import Content, JournalEntry
from stemcli.engine.options import Options
from stemcli.remote_path import UrlPath, is_taken, is_there, real

DONE = "done in an earlier run"
EXIST = "all stems exist"
EDITED = "a stem was edited and is kept"
EDITED_PICTURE = "the picture was edited and is kept"
FOREIGN = "a file exists that no earlier run wrote, and is kept"


@dataclass(frozen=True)
class ResumeDecision:
    """Whether to separate one song, and why.

    Attributes:
        task: the song.
        skip: why the song is skipped; empty if it is separated.
        again: why the song is separated again; empty for a new song.
    """

    task: SongTask
    skip: str = ""
    again: str = ""


def recover(journal: Journal) -> None:
    """Clean up after a killed run: rename the stems of complete songs, remove those of others.

    Raises:
        OutputError: the journal or the folder cannot be written.
    """
    for name, entry in journal.unfinished().items():
        is_complete = entry.state == "ready" and all(
            output.is_waiting or output.is_whole for output in entry.latest
        )
        try:
            if is_complete:
                _put_in_place(entry)
            else:
                _clean(entry)
            _settle_older(name, entry, journal, is_complete)
        except OSError as error:
            raise OutputError(
                f"{error.filename}, left by a run that was killed, cannot be moved or removed "
                f"({error.strerror}). Remove it yourself and run the same command again"
            ) from error
        if is_complete:
            journal.done(name)


def _put_in_place(entry: JournalEntry) -> None:
    """Rename stems that do not have their final names yet."""
    for output in entry.latest:
        if output.is_waiting:
            replace_file(output.temporary, output.path)


def _clean(entry: JournalEntry) -> None:
    for output in entry.latest:
        for file in leftovers(output.path):
            file.unlink(missing_ok=True)


def _settle_older(name: str, entry: JournalEntry, journal: Journal, is_complete: bool) -> None:
    """Remove older files if all were replaced; otherwise give them their names back.

    They are recorded as stems of their song again, so that they do not count as edited. A newer
    file is kept if the user has edited it.
    """
    restored: list[Path] = []
    for output in entry.latest:
        for file in leftovers(output.path, OLDER):
            is_partial = entry.state == "ready" and not is_complete and output.is_whole
            if is_taken(output.path) and not is_partial:
                file.unlink(missing_ok=True)
                continue
            replace_file(file, output.path)
            restored.append(output.path)
    if restored:
        rows = [(path, path, Content.of(path)) for path in restored]
        journal.record(name, rows, "begun")


def decide(
    tasks: Sequence[SongTask], journal: Journal, settings: str, options: Options
) -> list[ResumeDecision]:
    """Decide about every song by its journal entry.

    Args:
        tasks: songs and the paths of their files.
        journal: of earlier runs.
        settings: as :attr:`~stemcli.batch.records.JournalEntry.settings`.
        options: whether existing stems are kept, replaced or refused.

    Raises:
        OutputError: a stem would replace a file that was not written for the same song.
    """
    entries = [journal.find(task.name) for task in tasks]
    decisions = [
        _decide(task, entry, settings, options) for task, entry in zip(tasks, entries, strict=True)
    ]
    if options.existing == "refuse":
        pairs = zip(decisions, entries, strict=True)
        refuse_existing(path for decision, entry in pairs for path in _foreign(decision, entry))
    return decisions


def without_journal(task: SongTask, options: Options) -> ResumeDecision:
    """Decide about a song of a run without a journal.

    A song that would be downloaded, or whose stems would be uploaded, is skipped here; the engine
    decides about others.
    """
    paths = (task.song.path, *task.files)
    is_remote = bool(task.song.url) or any(isinstance(path, UrlPath) for path in paths)
    exists = options.existing == "skip" and is_remote and all(map(is_there, task.files))
    return ResumeDecision(task, skip=EXIST if exists else "")


def _decide(
    task: SongTask, entry: JournalEntry | None, settings: str, options: Options
) -> ResumeDecision:
    if options.existing == "skip" and all(map(is_there, task.files)):
        return ResumeDecision(task, skip=EXIST)
    if options.existing == "overwrite":
        return ResumeDecision(task)
    if entry and (edited := _edited(task, entry)):
        return ResumeDecision(task, skip=edited)
    if options.existing == "skip" and any(map(is_taken, _foreign(ResumeDecision(task), entry))):
        return ResumeDecision(task, skip=FOREIGN)
    if entry is None:
        return ResumeDecision(task)
    why = _why_again(task, entry, settings)
    return ResumeDecision(task, again=why) if why else ResumeDecision(task, skip=DONE)


def _edited(task: SongTask, entry: JournalEntry) -> str:
    """Which file was edited and is kept; empty if none was."""
    if any(_is_edited(entry, path) for path in task.planned.stems.values()):
        return EDITED
    picture = task.planned.picture
    is_edited = picture is not None and _is_edited(entry, picture)
    return EDITED_PICTURE if is_edited else ""


def _is_edited(entry: JournalEntry, path: Path) -> bool:
    """Whether a file exists that was written for this song and changed since."""
    output = entry.outputs.get(path)
    return bool(output and output.content and is_taken(path) and not output.is_whole)


def _why_again(task: SongTask, entry: JournalEntry, settings: str) -> str:
    """Why a song must be separated again; empty if its stems exist and are up to date."""
    if entry.state == "failed":
        return "failed before"
    if entry.state != "done":
        return "interrupted before"
    if not entry.content.is_in(task.song.path):
        return "the song changed"
    if entry.settings != settings:
        return _difference(json.loads(entry.settings), json.loads(settings))
    if not all(path in entry.outputs and is_there(path) for path in task.planned.stems.values()):
        return "stems are missing"
    return "" if _has_picture(task, entry) else "the picture is missing"


def _has_picture(task: SongTask, entry: JournalEntry) -> bool:
    """Whether the picture, if one is asked for, shows the stems of the last attempt."""
    picture = task.planned.picture
    if picture is None:
        return True
    output = entry.outputs.get(picture)
    return bool(output and output.attempt == entry.attempts and is_there(picture))


def _difference(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    changed = sorted(key for key in before.keys() | now if before.get(key) != now.get(key))
    return f"changed: {', '.join(map(option, changed))}"


def _is_whole(entry: JournalEntry, path: Path) -> bool:
    return path in entry.outputs and entry.outputs[path].is_whole


def _foreign(decision: ResumeDecision, entry: JournalEntry | None) -> Iterator[Path]:
    """Outputs that are not known to be unchanged stems of the same song."""
    known = entry and _is_same_song(entry, decision.task.song.path)
    for path in () if decision.skip else decision.task.files:
        if not (entry and known and _is_whole(entry, path)):
            yield path


def _is_same_song(entry: JournalEntry, path: Path) -> bool:
    """Whether an entry belongs to a song: by its path if it changed, by its content if it moved."""
    return real(path) == entry.source or entry.content.is_in(path)
