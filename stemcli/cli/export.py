"""``stem export``: networks as files for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from model_zoo.shell import quoted
from stemcli.cli import candidates
from stemcli.cli.console import Console
from stemcli.cli.formatting import examples, size
from stemcli.cli.options import console_options

if TYPE_CHECKING:
    from model_zoo.export.export import Format, Precision

FORMATS = ("onnx", "openvino", "torchscript", "tensorrt")
PRECISIONS = ("fp32", "fp16")


@click.command(
    epilog=examples(
        ("stem export spleeter_2stems --to onnx", "writes exported/spleeter_2stems.onnx"),
        ("stem export htdemucs --to openvino -o ov", "for processors"),
        ("stem export melroformer --to onnx --precision fp16", "half the size"),
    ),
)
@click.argument("model", shell_complete=candidates.models)
@click.option(
    "--to", "to", required=True, type=click.Choice(FORMATS), help="Format of the network."
)
@click.option(
    "-o",
    "--output",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("exported"),
    show_default=True,
    metavar="DIR",
    help="Folder for the files.",
)
@click.option(
    "--precision",
    type=click.Choice(PRECISIONS),
    default="fp32",
    show_default=True,
    help="Precision of the weights.",
)
@click.option("--overwrite", is_flag=True, help="Replace files of an earlier export.")
@console_options
def command(
    *,
    model: str,
    to: Format,
    folder: Path,
    precision: Precision,
    overwrite: bool,
    console: Console,
) -> None:
    """Export the network of a model for other programs.

    The files hold the network without the Fourier transforms around it. NAME.FORMAT.json says what
    another program needs to use them: transform, stems, rate, shapes. The exported network is run
    and compared with the original before the files are kept; of TensorRT, the ONNX file.
    """
    from model_zoo.export.export import check_request, export
    from stemcli.engine.models import load_model
    from stemcli.engine.on_demand import pull_missing

    check_request(to, folder, Path(model).stem, precision, overwrite=overwrite)
    with console:
        pull_missing((model,), console.show)
        loaded = load_model(model)
        check_request(to, folder, loaded.name, precision, overwrite=overwrite)
        with console.busy(f"Exporting {loaded.name} to {to} ..."):
            exported = export(loaded.separator, to, folder, loaded.name, precision)
    console.document(
        {
            "model": loaded.name,
            "format": to,
            "precision": precision,
            "files": [str(path) for path in exported.files],
            "largest_relative_error": exported.error,
            "note": exported.note,
        }
    )
    for path in exported.files:
        console.result(f"{quoted(str(path))} ({size(path.stat().st_size)})")
    console.line(f"Largest difference to the original: {exported.error:.1e} of its output.")
    if exported.note:
        console.line(exported.note)
