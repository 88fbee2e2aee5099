"""One image of the page as plain values: what its script draws and writes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import PurePath
from typing import Any

from xiqa.imaging.options import printable
from xiqa.report.encoding import data_uri, fitted
from xiqa.report.journal import Entry
from xiqa.report.overlay import drawn_box
from xiqa.report.rows import worth_a_look
from xiqa.report.words import fragility_lines, headline, percent, position, zone
from xiqa.types import Assessment, Finding

__all__ = ["Pictures", "case_of", "pictures_of"]

#: The JPEG files of an image and of its map, for an entry's ``picture``; None where there are none.
Pictures = Callable[[str], tuple[bytes, bytes | None] | None]


def case_of(entry: Entry) -> dict[str, Any]:
    """What the page holds of one image, without its pictures; what is empty is left out."""
    result = entry.result
    path, size = PurePath(result.file), result.image_size
    case = {
        "id": entry.slot[:16],
        "verdict": result.verdict.value,
        "name": printable(path.name or result.file),
        "folder": printable(str(path.parent)) if path.parent != PurePath() else "",
        "head": printable(headline(result)),
        "reason": printable(result.reason),
        "code": result.code.value,
        "problem": printable(str(result.provenance.get("problem") or "")),
        "size": [size[1], size[0]] if any(size) else None,
        "places": [_place(finding, size) for finding in worth_a_look(result)],
        "fragility": fragility_lines(result.fragility),
        "frame": position(result),
        "uid": printable(result.source.identifiers.get("SOPInstanceUID", "")),
        "notes": [printable(str(note)) for note in result.provenance.get("notes", ())],
        **_numbers(result),
    }
    return {key: value for key, value in case.items() if value not in (None, "", [])}


def _numbers(result: Assessment) -> dict[str, Any]:
    """Probability, limit and review band, as numbers for the drawing and as words."""
    if result.probability is None:
        return {}
    numbers: dict[str, Any] = {
        "probability": round(result.probability, 5),
        "percent": percent(result.probability),
    }
    if result.threshold is not None:
        numbers |= {"limit": round(result.threshold, 5), "limitPercent": percent(result.threshold)}
    band = result.provenance.get("review_band")
    if band and band[1] > band[0]:
        numbers["band"] = [round(edge, 5) for edge in band]
        numbers["bandPercent"] = [percent(edge) for edge in band]
    return numbers


def _place(finding: Finding, size: tuple[int, int]) -> dict[str, Any]:
    """One finding: the drawn box's corner and extent, the peak, and words for the list."""
    drawn, box = drawn_box(finding, size), finding.box
    corner = (drawn.x0 - 0.5, drawn.y0 - 0.5, drawn.width, drawn.height)
    return {
        "box": [round(value, 1) for value in corner],
        "peak": [round(finding.peak.x, 1), round(finding.peak.y, 1)],
        "words": f"{zone(finding, size)}, {box.width:.0f} × {box.height:.0f} px",
        "strength": percent(finding.score),
    }


def pictures_of(entry: Entry, pictures: Pictures, share: int) -> dict[str, str]:
    """The image and its map as data addresses of together at most ``share`` bytes before base64."""
    found = pictures(entry.picture) if entry.picture else None
    image = None if found is None else fitted(found[0], share * 5 // 6)
    if found is None or image is None:
        return {}
    heat = None if found[1] is None else fitted(found[1], share // 6)
    return {"image": data_uri(image)} | ({} if heat is None else {"heat": data_uri(heat)})
