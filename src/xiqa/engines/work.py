"""What one worker does with a block of files; it knows of no engine."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from xiqa.engines.sources import Item, local
from xiqa.engines.store import Store
from xiqa.errors import Code, XiqaError
from xiqa.types import Assessment, Verdict
from xiqa.types import Source as Origin

if TYPE_CHECKING:
    from xiqa.assessment.runtime import Runtime

__all__ = ["Asked", "Done", "Worker", "failed_row"]


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked of every worker.

    Attributes:
        model: See `xiqa.assessment.loading.load_runtime`.
        engine: What runs it.
        device: Where.
        threads: Processor threads inside one operation; at least 1.
        method: Saliency method; None for the model's own.
        batch_size: Images that pass the network at once.
        frames: Which frames of a file.
        tolerance: Of a series' verdict.
        identifiers: Whether identifiers beside the UIDs are written.
        settings: What every result depends on.
        out: Folder of the results, which every worker sees.
    """

    model: str
    engine: str
    device: str
    threads: int
    method: str | None
    batch_size: int
    frames: str
    tolerance: float
    identifiers: bool
    settings: Mapping[str, Any]
    out: str


class Done(NamedTuple):
    """What became of a block.

    Attributes:
        files: How many there were.
        failed: How many of them could not be read.
        seconds: Processor time that they took.
    """

    files: int
    failed: int
    seconds: float


class Worker:
    """Loads the model once and assesses blocks.

    Threads and memory are settled before PyTorch is imported: make one in a process that has not done so.
    """

    def __init__(self, asked: Asked) -> None:
        self.asked = asked
        os.environ["OMP_NUM_THREADS"] = str(asked.threads)
        from xiqa.process import keep_freed_memory, wait_asleep  # noqa: PLC0415 - first of all

        wait_asleep()
        keep_freed_memory()
        self._store = Store(Path(asked.out), asked.settings)
        self._runtime = self._load()

    def _load(self) -> Runtime:
        from xiqa.assessment.loading import load_runtime  # noqa: PLC0415 - after the threads are set

        asked = self.asked
        return load_runtime(
            asked.model,
            asked.engine,  # type: ignore[arg-type]  # checked there
            device=asked.device,
            threads=asked.threads,
            methods=(asked.method,) if asked.method else (),
        )

    def do(self, block: Sequence[Item]) -> Done:
        """Assess the files of a block and write their rows."""
        start = time.process_time()
        rows = list(self._rows(block))
        self._store.write(block, rows)
        failed = {item for item, row in rows if row.verdict is Verdict.NOT_ASSESSED}
        return Done(len(block), len(failed), time.process_time() - start)

    def _rows(self, block: Sequence[Item]) -> Iterator[tuple[Item, Assessment]]:
        """An assessment for each image, in the order of the block; what cannot be fetched has a row too."""
        from xiqa.assessment.pipeline import assess_each  # noqa: PLC0415 - as above

        asked = self.asked
        with ExitStack() as copies:
            paths: dict[str, Item] = {}
            for item in block:
                try:
                    paths[copies.enter_context(local(item))] = item
                except XiqaError as error:
                    yield item, failed_row(item, error)
            for result, _ in assess_each(
                self._runtime,
                list(paths),
                method=asked.method,
                batch_size=asked.batch_size,
                frames=asked.frames,
                tolerance=asked.tolerance,
            ):
                item = paths[result.file]
                yield item, self._named(result, item)

    def _named(self, result: Assessment, item: Item) -> Assessment:
        """The result under the file's own address, with what may be written of it."""
        result = result.disclosed(identifiers=self.asked.identifiers)
        if result.file == item.uri:
            return result
        reason = result.reason.replace(result.file, item.uri)
        source = replace(result.source, path=item.uri, modified=0)
        return replace(result, file=item.uri, reason=reason, source=source)


def failed_row(item: Item, error: Exception) -> Assessment:
    """The row of a file that could not be fetched, or that no worker outlived."""
    code = getattr(error, "code", Code.FAILED)
    return Assessment(
        item.uri, Verdict.NOT_ASSESSED, str(error), code or Code.FAILED, source=Origin(path=item.uri)
    )
