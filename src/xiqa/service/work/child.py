"""The process that looks at images: it may be slow, grow or die without harm to anything else.

Run by `xiqa.service.work.assessor` as ``python -m xiqa.service.work.child``. Orders come as lines of JSON on
standard input, answers go as lines of JSON to the descriptor that standard output was; the process ends with
its input.
"""

from __future__ import annotations

import importlib
import json
import mmap
import os
import resource
import sys
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from xiqa.errors import XiqaError
from xiqa.service.work.maps import write_map, write_synced
from xiqa.types import Assessment, Verdict

__all__ = ["main"]

Look = Callable[[str], tuple[Assessment, Any]]
_LOADED: dict[str, Look] = {}


def main() -> None:
    """Answer orders until the parent closes its end."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a library prints is no answer
    for line in sys.stdin:
        answers.write(json.dumps(_answer(json.loads(line))) + "\n")
        answers.flush()


def _answer(order: dict[str, Any]) -> dict[str, Any]:
    """Do an order; everything that goes wrong becomes a problem."""
    try:
        if "do" in order:
            _limit_memory(order["memory"])
            return dict(_named(order["do"])(**order["arguments"]))
        look = _load(order["model"])
        if "path" not in order:
            return {"loaded": True}
        _limit_memory(order["memory"])
        return _assess(look, order)
    except MemoryError:
        return {"problem": "it needs more memory than it may take", "code": "memory"}
    except XiqaError as error:
        return {"problem": str(error)[:1000], "code": getattr(error, "code", "refused")}
    except Exception as error:
        return {"problem": f"{type(error).__name__}: {error}"[:500], "code": "failed"}


def _load(model: dict[str, Any]) -> Look:
    """The model as a function of a file; loaded once."""
    key = json.dumps(model, sort_keys=True)
    if key not in _LOADED:
        _LOADED[key] = _function(model["call"]) if model["call"] else _runtime(model)
    return _LOADED[key]


def _function(name: str) -> Look:
    call = _named(name)
    return lambda path: (call(path), None)


def _runtime(model: dict[str, Any]) -> Look:
    from xiqa.assessment.loading import load_runtime  # noqa: PLC0415 - networks are loaded when one is wanted
    from xiqa.assessment.pipeline import assess_each  # noqa: PLC0415
    from xiqa.process import keep_freed_memory, wait_asleep  # noqa: PLC0415

    keep_freed_memory()
    wait_asleep()
    runtime = load_runtime(
        model["path"], model["engine"], methods=(model["method"],) if model["method"] else ()
    )

    def look(path: str) -> tuple[Assessment, Any]:
        asked = {name: model[name] for name in ("method", "frames", "tolerance")}
        last = deque(assess_each(runtime, [path], batch_size=1, **asked), maxlen=1)
        return last[0]  # of several frames the series, with its worst frame's image

    return look


def _named(name: str) -> Any:
    """What ``package.module:function`` names."""
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)


def _assess(look: Look, order: dict[str, Any]) -> dict[str, Any]:
    """The verdict on a file and the result objects, written into the order's folder."""
    assessment, image = look(order["path"])
    answer: dict[str, Any] = {"assessment": _told(assessment, order["path"]), "results": [], "problem": ""}
    if order["map"] and assessment.saliency is not None:
        write_map(assessment.saliency, Path(order["folder"]) / order["map"])
    if assessment.verdict is not Verdict.NOT_ASSESSED and order["kinds"]:
        try:
            answer["results"] = _results(assessment, image, order)
        except MemoryError:
            raise
        except Exception as error:  # the verdict holds all the same
            answer["problem"] = f"no result objects: {type(error).__name__}: {error}"[:500]
    return answer


def _told(assessment: Assessment, path: str) -> dict[str, Any]:
    """The assessment as JSON, without what names a person or where the image lies."""
    disclosed = assessment.disclosed()
    reason = disclosed.reason.replace(path, "the image")
    return replace(disclosed, file="", reason=reason, source=replace(disclosed.source, path="")).to_dict()


def _results(assessment: Assessment, image: Any, order: dict[str, Any]) -> list[dict[str, str]]:
    """Write the result objects; what they are and where they lie."""
    from pydicom import dcmread  # noqa: PLC0415

    dataset = dcmread(order["path"])
    more = {} if image is None else {"image": image}
    made = _named(order["maker"])(assessment, dataset, kinds=order["kinds"], **more)
    rows = []
    for kind, result in made.items():
        path = Path(order["folder"]) / f"{result.SOPInstanceUID}.{os.getpid()}.part"
        write_synced(result, path)
        uids = {"uid": str(result.SOPInstanceUID), "sop_class": str(result.SOPClassUID)}
        rows.append({"kind": kind, "file": path.name, **uids})
    return rows


def _limit_memory(extra: int) -> None:
    """Allow ``extra`` bytes of address space beyond what is mapped now, once."""
    if resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY:
        return
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (pages * mmap.PAGESIZE + extra, hard))


if __name__ == "__main__":
    main()
