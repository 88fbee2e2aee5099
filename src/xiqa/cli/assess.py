"""`xiqa assess`: images in, verdicts with their evidence and a report out."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import Console

    from xiqa.assessment.runtime import Runtime
    from xiqa.dicom.files import ResultFiles
    from xiqa.errors import ImageReadError
    from xiqa.imaging import Series
    from xiqa.report.folder import ResultsFolder


def command(
    paths: list[str] = typer.Argument(help="Images, folders or patterns such as 'images/*.dcm'."),
    model: str = typer.Option(
        "cxr-foreign-objects", help="A shipped model's name, a bundle's folder or an exported .onnx file."
    ),
    runtime_name: str = typer.Option(
        "auto",
        "--runtime",
        help="What runs the model: torch, onnxruntime, openvino, or auto: its graph where that will do.",
    ),
    method: str | None = typer.Option(None, help="Saliency method; the model's own unless told."),
    out: Path = typer.Option(Path("xiqa-report"), help="Folder for results and report."),
    device: str = typer.Option("cpu", help="Where a bundle runs: cpu, cuda, cuda:1, ... or auto."),
    batch_size: int = typer.Option(8, min=1, help="Images that pass the network at once."),
    force: bool = typer.Option(False, help="Assess again what is done."),
    fragility: bool = typer.Option(
        False,
        "--fragility",
        help="Search the smallest change that flips each verdict (10 to 20 times the work; no .onnx file).",
    ),
    frames: str = typer.Option(
        "all", help="Which images of a series or frames of a file: all, first, middle or every:k."
    ),
    tolerance: float = typer.Option(0.0, help="Share of poor images that a series' verdict puts up with."),
    shard: str | None = typer.Option(
        None, help="Only one of n parts, as i/n; every part needs an --out of its own."
    ),
    identifiers: bool = typer.Option(
        False,
        "--identifiers",
        help="Write accession number, patient and date into the results too, not the DICOM UIDs alone.",
    ),
    dicom_results: str | None = typer.Option(
        None,
        "--dicom-results",
        help="Results as DICOM objects below --out: sc, sr, pr, ko, seg, pm, separated by commas.",
    ),
    send: str | None = typer.Option(None, help="Archive that they are sent to, as AE@host:port."),
    page: bool = typer.Option(
        True, "--report/--no-report", help="Draw pictures and the page, or rows alone."
    ),
    as_json: bool = typer.Option(False, "--json", help="Print the results as JSON, one a line, worst first."),
    quiet: bool = typer.Option(False, "--quiet", "-q", help="Say nothing but what went wrong."),
    engine: str = typer.Option(
        "local",
        help="local, or ray: on many processes or machines, from folders, lists (@list.txt), "
        "addresses such as s3://bucket/prefix, and DICOMweb; files stand alone, rows are in Parquet.",
    ),
    address: str | None = typer.Option(None, help="Ray cluster; without one, Ray is started here."),
    workers: int | None = typer.Option(None, min=1, help="Workers on Ray; as many as there is room for."),
) -> None:
    """Say of each image whether it is good enough, and where the problem is.

    Exit status: 0 when every image was assessed, whatever the verdicts; 1 when one could not be, or a folder
    could not be read; 2 when nothing could be done; 130 when interrupted. What is done is kept, and the same
    command goes on there. Links are followed; files that are no images are counted by kind.

    Slices of one series are taken in the order of their positions. A series, and a file with several frames,
    has a row for each image and one more with its own verdict.

    Example: xiqa assess incoming/ --out today
    """
    from rich.console import Console
    from rich.markup import escape

    from xiqa import __version__
    from xiqa.assessment.loading import load_runtime
    from xiqa.assessment.series import check_tolerance
    from xiqa.cli._parts.results import show_results
    from xiqa.cli._parts.spread import check_engine, only_rows, spread
    from xiqa.engines import Shard
    from xiqa.imaging.frames import chosen_frames
    from xiqa.report.folder import ResultsFolder, files_of

    console = Console(stderr=as_json, quiet=quiet)
    check_engine(engine, address, workers)
    chosen_frames(frames, 1)  # what is asked in vain is refused before the model is loaded
    check_tolerance(tolerance)
    asked: dict[str, Any] = {"method": method, "batch_size": batch_size, "frames": frames}
    if engine == "ray":
        only_rows(fragility=fragility, shard=shard, dicom_results=dicom_results, force=force, json=as_json)
        asked |= {"model": model, "engine": runtime_name, "device": device, "out": str(out)}
        asked |= {"tolerance": tolerance, "identifiers": identifiers}
        raise typer.Exit(not spread(paths, asked, console, address=address, workers=workers))
    part = Shard(1, 1) if shard is None else Shard.parse(shard)
    found, refused, skipped = _files(paths, out)
    runtime = load_runtime(
        model,
        runtime_name,  # type: ignore[arg-type]  # checked there
        device=device,
        methods=(method,) if method else (),
        gradients=fragility,
    )
    settings: dict[str, Any] = {
        "model_hash": runtime.card.hash,
        "method": str(runtime.resolve(method)),
        "fragility": fragility or None,
        "xiqa": __version__,
    }
    objects = _objects(out, settings, dicom_results, send)
    with ResultsFolder.open(out, settings, identifiers=identifiers, page=page) as folder:
        items = part.of(_grouped(found, folder))
        files = [file for item in items for file in files_of(item)]
        wanted = [
            item
            for item in items
            if force
            or not folder.done(item, frames, tolerance)
            or not (objects is None or all(map(objects.done, files_of(item))))
        ]
        if len(wanted) < len(items):
            done = f"{len(items) - len(wanted)} of {_counted(items)} are done already"
            console.print(f"{done} (--force: again)")
        asked |= {"method": settings["method"], "fragility": fragility, "tolerance": tolerance}
        _complete(runtime, wanted, folder, console, objects, asked)
        results = folder.results(files)
        if objects is not None:
            objects.send([(row.file, row.frame) for row in results if row.series is None])
    show_results(console, results, out, page=page)
    if as_json:
        for result in results:
            typer.echo(json.dumps(result.disclosed(identifiers=identifiers).to_dict(), ensure_ascii=True))
    if skipped:
        console.print(escape(skipped), soft_wrap=True)
    problems = Console(stderr=True) if quiet else console
    for error in refused:
        problems.print(f"[bold]Not assessed:[/] {escape(str(error))}", soft_wrap=True)
    lacking = objects is not None and _tell_objects(console, problems, objects)
    failed = bool(refused) or results.unread
    raise typer.Exit(int(lacking or failed))


def _objects(out: Path, settings: dict[str, Any], kinds: str | None, send: str | None) -> ResultFiles | None:
    """Where DICOM results go, if they are wanted."""
    from xiqa.errors import ConfigError

    if kinds is None:
        if send is not None:
            raise ConfigError("nothing to send", todo="say which with --dicom-results, sc,sr,pr,ko for one")
        return None
    from xiqa.dicom.files import ResultFiles
    from xiqa.dicom.kinds import kinds_of
    from xiqa.dicom.send import Destination

    return ResultFiles(out, settings, kinds_of(kinds), None if send is None else Destination.parse(send))


def _tell_objects(console: Console, problems: Console, objects: ResultFiles) -> bool:
    """Say what became of the DICOM results; true where one is lacking."""
    from rich.markup import escape

    console.print(f"DICOM results: {escape(str(objects.folder))}", soft_wrap=True)
    for file, problem in objects.refused.items():
        problems.print(f"[bold]No DICOM result:[/] {escape(file)}: {escape(problem)}", soft_wrap=True)
    sent = objects.deliveries
    failed = {path: delivery for path, delivery in sent.items() if not delivery.taken}
    if sent:
        console.print(f"{objects.to} has stored {len(sent) - len(failed)} of {len(sent)} objects")
    for path, delivery in failed.items():
        problems.print(f"[bold]Not stored:[/] {escape(f'{path}: {delivery}')}", soft_wrap=True)
    return bool(objects.refused or failed)


def _files(paths: Sequence[str], out: Path) -> tuple[list[str], list[ImageReadError], str]:
    """The files to assess, why some paths give none, and what is no image, in a line."""
    from collections import Counter

    from xiqa.errors import ConfigError
    from xiqa.imaging import image_files, skipped_files

    refused: list[ImageReadError] = []
    kinds: Counter[str] = Counter()
    found = image_files(paths, refused=refused, skipped=kinds)
    skipped = skipped_files(kinds)
    # an earlier run's pictures are no images, when the output lies inside a folder that is assessed
    files = [str(path) for path in found if not path.absolute().is_relative_to(out.absolute())]
    if not files:
        got = ", ".join(paths) + (f" ({skipped})" if skipped else "")
        raise refused[0] if refused else ConfigError("no image to assess", got=got)
    return files, refused, skipped


def _grouped(files: Sequence[str], folder: ResultsFolder) -> list[str | Series]:
    """The files, slices of one series put together; what is known to be none is not read for that."""
    from xiqa.imaging import Series, find_series
    from xiqa.report.folder import absolute

    items = find_series(files, lambda path: folder.alone(absolute(str(path)), radiograph=True))
    return [item if isinstance(item, Series) else str(item) for item in items]


def _counted(items: Sequence[str | Series]) -> str:
    """How much there is to assess, in words."""
    series = sum(not isinstance(item, str) for item in items)
    images = len(items) - series
    parts = [f"{images} image{'' if images == 1 else 's'}" if images or not series else ""]
    parts += [f"{series} series" if series else ""]
    return " and ".join(filter(None, parts))


def _complete(
    runtime: Runtime,
    items: Sequence[str | Series],
    folder: ResultsFolder,
    console: Console,
    objects: ResultFiles | None,
    asked: Mapping[str, Any],
) -> None:
    """Assess, and make the report of what is done, whatever ends the run; nothing where nothing is new."""
    from xiqa.errors import XiqaError
    from xiqa.process import undisturbed

    try:
        _run(runtime, items, folder, console, objects, asked)
        if items or not folder.finished():
            with console.status("Writing the report"):
                folder.finish()
    except KeyboardInterrupt as stop:
        with undisturbed():
            folder.finish()
        console.print(f"Interrupted. What is done is in {folder.path}; the same command goes on there.")
        raise typer.Exit(getattr(stop, "status", 130)) from None
    except Exception:
        with suppress(XiqaError, OSError):
            folder.finish()
        raise


def _run(
    runtime: Runtime,
    items: Sequence[str | Series],
    folder: ResultsFolder,
    console: Console,
    objects: ResultFiles | None,
    asked: Mapping[str, Any],
) -> None:
    """Assess the files and series; pictures and journal are written by a second thread."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        Task,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    from xiqa.assessment.pipeline import assess_each
    from xiqa.report.background import Background

    class Rate(ProgressColumn):
        """Images a second."""

        def render(self, task: Task) -> Text:
            return Text(f"{task.speed:.2f}/s" if task.speed else "")

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        Rate(),
        TimeRemainingColumn(),
    )
    with (
        Progress(*columns, console=console, transient=True) as progress,
        Background(asked["batch_size"]) as background,
    ):
        task = progress.add_task("Assessing", total=len(items))
        log = _Log(console, len(items))

        def on_result(*result: Any) -> None:
            if objects is not None:
                background.submit(objects.add, *result)
            background.submit(folder.add, *result)

        def on_done(count: int) -> None:
            progress.advance(task, count)
            log.advance(count)

        folder.on_done = on_done
        for result in assess_each(runtime, items, **asked) if items else ():
            on_result(*result)
        background.submit(folder.commit)


class _Log:
    """Progress as a line now and then, where there is no terminal for a bar."""

    EVERY = 10.0  # seconds

    def __init__(self, console: Console, total: int) -> None:
        self.console, self.total, self.done = console, total, 0
        self.begun = self.last = time.monotonic()

    def advance(self, count: int) -> None:
        """So many images and series more are on the disk."""
        self.done += count
        now = time.monotonic()
        if not self.done or self.console.is_terminal or now - self.last < self.EVERY:
            return
        self.last = now
        left = (now - self.begun) / self.done * (self.total - self.done)
        self.console.print(f"{self.done} of {self.total}, about {left:.0f} s left")
