"""Checks of a request that need no loaded network, so that mistakes are reported at once."""

from __future__ import annotations

from pathlib import Path

from model_zoo import registry
from model_zoo.catalogue.cards import find, is_known
from model_zoo.catalogue.names import is_path
from model_zoo.catalogue.resolve import find_weights, resolve_weights
from model_zoo.errors import errors_about
from stemcli.audio.encoders import require_encoder
from stemcli.engine.members import members_of, models_to_load
from stemcli.engine.models import require_role
from stemcli.engine.on_demand import missing, require_fetchable
from stemcli.engine.options import Options
from stemcli.engine.outputs import check_template
from stemcli.engine.picture import check_drawing
from stemcli.engine.selection import select, shared_stems
from stemcli.engine.workflow import read_workflow


def check_request(options: Options) -> None:
    """Check the names of models and stems, the file name template and the format.

    Models of the catalogue may be missing, because they are downloaded when they are loaded.

    Stems are only checked here if all models have cards; stems of runs and files are checked when
    their weights are read.

    Args:
        options: choices of the user.

    Raises:
        UsageError: a model or stem does not exist, or the template cannot be used.
        CheckpointError: the card of a model is damaged.
        FfmpegMissingError: the format needs ffmpeg, which is missing.
        OutputError: a picture cannot be drawn.
    """
    check_template(options.filename)
    require_encoder(options.output_format())
    if options.picture:
        check_drawing()
    for each in separations(options):
        with errors_about("workflow" if options.workflow else "model"):
            require_fetchable(missing(models_to_load(each)))
        for name in models_to_load(each):
            field = "phase_model" if name == each.phase_model else "model"
            with errors_about("workflow" if options.workflow else field):
                _require_model(name)
        _outputs(each)


def separations(options: Options) -> list[Options]:
    """The options themselves, or those of each step of a workflow.

    Raises:
        UsageError: the workflow cannot be used.
    """
    if not options.workflow:
        return [options]
    return [step.options(options) for step in read_workflow(options.workflow).steps]


def known_outputs(options: Options) -> tuple[str, ...]:
    """Names of the outputs by the cards of the models; none if a model has no card.

    Raises:
        UsageError: a stem does not exist, or a model is not for stems.
        CheckpointError: the card of a model is damaged.
    """
    if options.workflow:
        return read_workflow(options.workflow).stems
    return _outputs(options)


def _outputs(options: Options) -> tuple[str, ...]:
    chosen = members_of(options)
    if chosen.stems:
        return select(chosen.stems, options.stems, options.two_stems, options.karaoke).names
    public = {model.name: model.outputs for model in missing(chosen.models)}
    if not all(is_known(name) or name in public for name in chosen.models):
        return ()
    with errors_about("model"):
        known = {name: find(name) for name in chosen.models if is_known(name)}
    for name, card in known.items():
        require_role(name, registry.role(card.architecture), "stems")
    outputs = public | {name: card.outputs for name, card in known.items()}
    shared = shared_stems([(name, outputs[name]) for name in chosen.models])
    return select(shared, options.stems, options.two_stems, options.karaoke).names


def _require_model(name: str) -> None:
    if is_path(name):
        find_weights(Path(name))
    elif not is_known(name) and not missing([name]):
        resolve_weights(name)  # raises the error that says what is wrong
