"""`xiqa export`: a model and its heat map as one ONNX file."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

import typer


class Precision(StrEnum):
    """How the weights are stored."""

    FLOAT32 = "float32"
    FLOAT16 = "float16"
    INT8 = "int8"


def command(
    model: str = typer.Option("cxr-foreign-objects", help="A shipped model's name or a bundle's folder."),
    method: str | None = typer.Option(
        None, help="Saliency method in the graph; the model's own unless told."
    ),
    precision: Precision = typer.Option(
        Precision.FLOAT32,
        help="Weights in the file: float16 takes half the bytes, int8 a quarter; arithmetic stays float32.",
    ),
    out: Path = typer.Option(Path("model.onnx"), help="File to write."),
    force: bool = typer.Option(False, help="Overwrite the file."),
) -> None:
    """Write logits, probability, heat map and the guard's distance as one ONNX graph.

    The file runs without PyTorch: `xiqa assess --model model.onnx` with the extra `onnx` or `openvino`, or
    any ONNX runtime in any language; preprocessing, threshold, classes, licence and hash are in its metadata.

    Example: xiqa export --model our-model --out our-model.onnx
    """
    from rich.console import Console

    from xiqa.errors import ConfigError
    from xiqa.export import export_model
    from xiqa.models import load_model

    if out.exists() and not force:
        raise ConfigError(f"{out} exists", todo="choose another name or add --force")
    console = Console()
    with console.status("Tracing the network and its backward pass (a minute or two)"):
        exported = export_model(load_model(model), out, method=method, precision=precision.value)
    size = out.stat().st_size / 1e6
    console.print(f"{out}: {exported.card.name} with {exported.method}, {precision.value}, {size:.1f} MB")
