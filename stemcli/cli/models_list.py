"""``stem models list``: installed models, public ones that can be fetched, or architectures."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import click

from model_zoo import registry
from model_zoo.catalogue.stem_names import require_known, spelled
from model_zoo.errors import UnknownNameError, UsageError
from stemcli.cli import candidates
from stemcli.cli.console import Console
from stemcli.cli.formatting import examples, millions, size
from stemcli.cli.models import given
from stemcli.cli.models_public import public_document
from stemcli.cli.options import console_options

if TYPE_CHECKING:
    from model_zoo.catalogue.cards import Card
    from model_zoo.catalogue.public import Preset, PublicModel
    from model_zoo.catalogue.scores import CardScore
    from model_zoo.errors import CheckpointError
    from model_zoo.separator import Role

COLUMNS = ("=model", "gives", ">parameters", "licence", ">size", "installed")
ALL_COLUMNS = ("=model", "gives", "SDR in dB", "licence", ">size", "installed")
PRESETS = ("=preset", "gives", "members")
ARCHITECTURES = ("=architecture", "what it is for", "gives", ">parameters")
ANY_STEMS = "any stems"
"""Shown for architectures that separate: the recipe names the stems."""

MOST_STEMS = 8
"""Largest number of stems that a row of the table names."""

SEE_ARCHITECTURES = "Architectures to train: stem models list --architectures"
SEE_ONE = "Details: stem models info NAME"
AFTER_SCORES = (
    "SDR as published, each by its own definition, often not on the same songs. "
    "Definitions and licences: stem models info NAME"
)
AFTER_PHASE_MODEL = (
    "Use models that give stems with --model, models that give a phase with --phase-model"
)


@dataclass(frozen=True)
class ListedModel:
    """One row of the list.

    Attributes:
        name: name of the model.
        outputs: names of its outputs.
        role: kind of output.
        licence: licence of its weights.
        size: bytes of its weights; 0 if not known.
        score: an SDR; None if none is known.
        speed: measured speed, times real time; 0 if not measured.
        is_installed: whether its weights are there.
        document: plain values for programs.
    """

    name: str
    outputs: Sequence[str]
    role: Role
    licence: str
    size: int
    score: CardScore | None
    speed: float
    is_installed: bool
    document: Mapping[str, Any]

    @classmethod
    def of_card(cls, card: Card, stem: str) -> ListedModel:
        """The row of a model with a card."""
        from model_zoo.catalogue.cards import is_installed
        from model_zoo.catalogue.public import shown_score

        role, has = registry.role(card.architecture), is_installed(card)
        more = {"outputs": card.outputs, "role": role, "installed": has}
        return cls(
            name=card.name,
            outputs=card.outputs,
            role=role,
            licence=card.licence,
            size=card.size,
            score=shown_score(card.scores, card.stems, spelled(stem, card.outputs) or stem),
            speed=max((record.times_real_time for record in card.speeds), default=0.0),
            is_installed=has,
            document={**card.to_dict(), **more},
        )

    @classmethod
    def of_public(cls, model: PublicModel, stem: str) -> ListedModel:
        """The row of a model that can be fetched."""
        return cls(
            name=model.name,
            outputs=model.outputs,
            role="stems",
            licence=model.licence,
            size=model.size,
            score=model.sdr(spelled(stem, model.outputs) or stem),
            speed=0.0,
            is_installed=False,
            document=public_document(model),
        )

    def row(self) -> tuple[str, ...]:
        """Cells of a table of all models."""
        score = f"{self.score.stem} {self.score.value:.1f}" if self.score else ""
        return (
            self.name,
            given(self.role, shortened(self.outputs)),
            score,
            self.licence,
            size(self.size) if self.size else "",
            "yes" if self.is_installed else "no",
        )


ORDERS: dict[str, Callable[[ListedModel], Any]] = {
    "name": lambda model: model.name,
    "size": lambda model: (model.size == 0, model.size),
    "sdr": lambda model: -model.score.value if model.score else float("inf"),
    "speed": lambda model: -model.speed,
}
"""What ``--sort`` compares; models of which the value is not known come last."""


@click.command(
    "list",
    epilog=examples(
        (
            "stem models list --stem drums --sort sdr",
            "all models that give drums, by published SDR",
        ),
        ("stem models list --architectures", "one line per architecture"),
        ("stem models list --all --json", "machine-readable"),
    ),
)
@click.option(
    "--all",
    "everything",
    is_flag=True,
    help="List public models and presets that can be fetched, too. Implied by the next three "
    "options.",
)
@click.option(
    "--stem", shell_complete=candidates.all_stems, help="Only models that give this stem."
)
@click.option("--licence", metavar="NAME", help="Only models whose licence starts with NAME.")
@click.option("--sort", type=click.Choice([*ORDERS]), help="Order of the models.")
@click.option("--installed", is_flag=True, help="Only installed models.")
@click.option(
    "--architectures", is_flag=True, help="List architectures that can be trained instead."
)
@console_options
def command(
    *,
    everything: bool,
    stem: str | None,
    licence: str | None,
    sort: str | None,
    installed: bool,
    architectures: bool,
    console: Console,
) -> None:
    """List models: bundled ones, those that you added, and public ones that can be fetched.

    The column "gives" names the stems of a model, or says that it gives a phase for the stems of
    other models, or codes. With --architectures, list what can be trained, in the usual sizes.
    """
    chosen = {"--all": everything, "--stem": stem, "--licence": licence, "--sort": sort}
    if architectures:
        refuse("--architectures", {**chosen, "--installed": installed})
        list_architectures(console)
        return
    refuse("--installed" if installed else "", {"--all": everything})
    with_public = not installed and (everything or any((stem, licence, sort)))
    damaged: list[CheckpointError] = []
    every = listed(damaged.append, with_public, stem or "")
    found = matching(every, stem, licence, "model" if with_public else "installed model")
    found = sorted(found, key=ORDERS[sort]) if sort else found
    if with_public or sort:
        show_scores(found, [*matching_presets(stem, licence)] if with_public else [], console)
    else:
        show_installed(found, left_to_fetch({one.name for one in every}), console)
    for error in damaged:
        console.error(str(error))
    click.get_current_context().exit(1 if damaged else 0)


def listed(
    on_damage: Callable[[CheckpointError], None], with_public: bool, stem: str
) -> list[ListedModel]:
    """Installed models, then public ones.

    Args:
        on_damage: called with the error of each card that cannot be used.
        with_public: whether to list public models.
        stem: stem whose score is shown.
    """
    from model_zoo.catalogue.cards import cards
    from model_zoo.catalogue.public import public_models

    own = cards(on_damage)
    public = public_models() if with_public else {}
    return [ListedModel.of_card(card, stem) for card in own.values()] + [
        ListedModel.of_public(model, stem) for name, model in public.items() if name not in own
    ]


def refuse(option: str, others: Mapping[str, object]) -> None:
    """Refuse other options beside one.

    Raises:
        UsageError: one of them is in use.
    """
    used = next((name for name, value in others.items() if value), None)
    if option and used:
        raise UsageError(f"{option} and {used} contradict each other; use one of them")


def matching(
    models: Iterable[ListedModel], stem: str | None, licence: str | None, kind: str
) -> Sequence[ListedModel]:
    """Models that give a stem and have a licence.

    Args:
        models: rows of the list.
        stem: a stem, in any case, or a synonym; None for any.
        licence: beginning of a licence; None for any.
        kind: what the models are, for the message.

    Raises:
        UnknownNameError: there are none; the message names the nearest stem or licence.
    """
    found = [*models]
    if stem:
        require_known(stem, {name for model in found for name in model.outputs}, kind)
        found = [model for model in found if spelled(stem, model.outputs)]
    return with_licence(found, licence)


class Licensed(Protocol):
    """Anything that has a licence."""

    @property
    def licence(self) -> str:
        """The licence, as stated."""


Model = TypeVar("Model", bound=Licensed)


def with_licence(models: Sequence[Model], licence: str | None) -> Sequence[Model]:
    """Models whose licence starts with ``licence``; all if it is None or empty.

    Raises:
        UnknownNameError: there are none; the message names the nearest licence.
    """
    if not licence:
        return models
    found = [each for each in models if simple(each.licence).startswith(simple(licence))]
    if not found:
        raise UnknownNameError("licence", licence, {each.licence for each in models})
    return found


def simple(licence: str) -> str:
    """A licence as it is compared: ``cc by nc sa 4.0`` for ``CC-BY-NC-SA-4.0``."""
    return licence.casefold().replace("-", " ")


def matching_presets(stem: str | None, licence: str | None) -> Iterator[Preset]:
    """Yield presets that give a stem and of which all members have a licence."""
    from model_zoo.catalogue.public import presets, public_models

    for one in presets().values():
        stated = [simple(public_models()[member].licence) for member in one.members]
        if (not stem or spelled(stem, one.stems)) and all(
            each.startswith(simple(licence or "")) for each in stated
        ):
            yield one


def left_to_fetch(own: Collection[str]) -> int:
    """Number of public models that can be used and are not in the zoo."""
    from model_zoo.catalogue.public import public_models

    models = public_models().items()
    return sum(not model.refusal and name not in own for name, model in models)


def show_scores(models: Sequence[ListedModel], presets: Sequence[Preset], console: Console) -> None:
    """Print models with their scores, then presets, and what to type next."""
    made_of = [{**one.to_dict(), "outputs": one.stems, "role": "preset"} for one in presets]
    console.document([*(model.document for model in models), *made_of])
    console.table(ALL_COLUMNS, [model.row() for model in models])
    if presets:
        console.result()
        rows = [(each.name, ", ".join(each.stems), ", ".join(each.members)) for each in presets]
        console.table(PRESETS, rows)
    console.line()
    say_phase(models, console)
    console.line(AFTER_SCORES)


def show_installed(models: Sequence[ListedModel], more: int, console: Console) -> None:
    """Print installed models, and how to see the others.

    Args:
        models: rows of the list.
        more: number of models that can be fetched.
        console: where they are shown.
    """
    console.document([model.document for model in models])
    console.table(COLUMNS, [installed_row(model) for model in models])
    console.line()
    say_phase(models, console)
    console.line(f"{more} more can be fetched: stem models list --all")
    console.line(SEE_ARCHITECTURES)


def say_phase(models: Iterable[ListedModel], console: Console) -> None:
    """Say what models that give a phase are for, if there are any."""
    if any(model.role == "phase" for model in models):
        console.line(AFTER_PHASE_MODEL)


def installed_row(model: ListedModel) -> tuple[str, ...]:
    """Cells of a table of installed models."""
    name, gives, _, *others = model.row()
    return (name, gives, millions(model.document["parameters"]), *others)


def shortened(stems: Sequence[str]) -> Sequence[str]:
    """The stems, or the first few of many and their number."""
    if len(stems) <= MOST_STEMS:
        return stems
    return [*stems[: MOST_STEMS // 2], f"... ({len(stems)} stems)"]


def list_architectures(console: Console) -> None:
    """Print every architecture in its usual size, from class attributes; no network is built."""
    with console.busy("Reading the architectures"):
        kinds = {name: registry.architecture(name) for name in registry.ARCHITECTURES}
    found = [
        {
            "architecture": name,
            "purpose": kind.purpose,
            "role": kind.role,
            "stems": kind.Config().to_dict()["stems"],
            "parameters": kind.documented_parameters,
        }
        for name, kind in kinds.items()
    ]
    console.document(found)
    rows = [
        (
            each["architecture"],
            each["purpose"],
            given(each["role"], [ANY_STEMS]),
            millions(each["parameters"]),
        )
        for each in found
    ]
    console.table(ARCHITECTURES, rows)
    console.line()
    console.line(SEE_ONE)
