"""One self-contained page for people: no other file, no network, bounded in size."""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from importlib.resources import files
from pathlib import PurePath
from typing import Any

from PIL import Image as Pillow

from xiqa.imaging.options import printable
from xiqa.report.journal import Entry
from xiqa.report.overlay import drawn_box
from xiqa.report.rows import counts, worst_first, worth_a_look
from xiqa.types import Assessment, Finding, Fragility, Verdict

__all__ = ["PAGE_BYTES", "WORDS", "report_html"]

# What all pictures of a page may take together, encoded; with more images each gets smaller.
PAGE_BYTES = 64 * 2**20
SIDES = (1024, 768, 512, 384, 256, 128)

WORDS = {
    Verdict.REACQUIRE: "Re-acquire",
    Verdict.REVIEW: "Review",
    Verdict.NOT_ASSESSED: "Not assessed",
    Verdict.ACCEPT: "Accept",
}
# Shown once at the foot; what differs from image to image is told as "several".
PROVENANCE = {
    "model": "Model",
    "model_hash": "Model hash",
    "recipe": "Trained by",
    "method": "Places found by",
    "target": "Explained class",
    "threshold": "Limit (probability)",
    "review_band": "Review band",
    "guard_limit": "Limit of the guard",
    "xiqa": "xiqa",
    "runtime": "Runtime",
}

Pictures = Callable[[str], tuple[Pillow.Image, Pillow.Image | None] | None]


def report_html(entries: Iterable[Entry], pictures: Pictures, *, made: datetime | None = None) -> str:
    """The page, worst image first.

    Every picture is WebP of at most 1024 pixels on its longer side. All pictures together stay within
    `PAGE_BYTES` before base64 adds a third: a thousand images get about 50 kB each.

    Args:
        entries: What the journal holds.
        pictures: Gives image and heat for an entry's ``picture``; None where there are none.
        made: Time shown at the top; now unless told.
    """
    from jinja2 import Environment  # noqa: PLC0415 - needed by the page only

    entry_of = {id(entry.result): entry for entry in entries}
    results = worst_first(entry.result for entry in entry_of.values())
    share = PAGE_BYTES // max(1, len(results))
    encoded = [_case(entry_of[id(result)], pictures, share) for result in results]
    provenance = _provenance(result.provenance for result in results)
    page = files("xiqa.report").joinpath("page")
    style, script = (page.joinpath(name).read_text("utf-8") for name in ("report.css", "report.js"))
    environment = Environment(autoescape=True, trim_blocks=True)
    template = environment.from_string(page.joinpath("report.html.jinja").read_text("utf-8"))
    return template.render(
        cases=encoded,
        total=len(results),
        verdicts=[
            {"name": v.value, "word": WORDS[v], "count": number} for v, number in counts(results).items()
        ],
        model=dict(provenance).get(PROVENANCE["model"]),
        provenance=provenance,
        made=(made or datetime.now().astimezone()).strftime("%Y-%m-%d %H:%M"),
        side=SIDES[0],
        style=_trusted(style),
        script=_trusted(script),
        style_hash=_hash(style),
        script_hash=_hash(script),
    )


def _trusted(text: str) -> Any:
    """Our own style sheet or script, which the template must not escape."""
    from markupsafe import Markup  # noqa: PLC0415

    return Markup(text)


def _hash(text: str) -> str:
    """The source's hash as a content security policy names it: nothing else on the page may run."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _case(entry: Entry, pictures: Pictures, share: int) -> dict[str, Any]:
    """What the template shows of one image."""
    result, (height, width) = entry.result, entry.result.image_size
    probability, source = result.probability, result.source
    path = PurePath(result.file)
    band = result.provenance.get("review_band")
    case: dict[str, Any] = {
        "verdict": result.verdict.value,
        "word": WORDS[result.verdict],
        "name": printable(path.name or result.file),
        "folder": printable(str(path.parent)) if path.parent != PurePath() else "",
        "reason": printable(result.reason),
        "probability": probability,
        "percent": _percent(probability),
        "limit": _percent(result.threshold),
        "band": [_percent(edge) for edge in band] if band and band[1] > band[0] else None,
        "notes": [printable(str(note)) for note in result.provenance.get("notes", ())],
        "uid": printable(source.identifiers.get("SOPInstanceUID", "")),
        "frame": _position(result),
        "width": width,
        "height": height,
        "places": [_place(finding, (height, width)) for finding in worth_a_look(result)],
        "fragility": _fragility(result.fragility) if result.fragility else None,
        "image": None,
        "heat": None,
    }
    found = pictures(entry.picture) if entry.picture else None
    if found is not None:
        image, heat = found
        case["image"] = data_uri(image, share * 3 // 4)
        case["heat"] = data_uri(heat, share // 4) if heat is not None and case["image"] else None
    return case


def _position(result: Assessment) -> str:
    """Which frame or image of a series a row is about."""
    source, summary = result.source, result.series
    if summary is not None:
        return f"{summary.worst + 1} of {summary.total} is shown, the worst of the series"
    if source.frames > 1:
        return f"{source.frame + 1} of {source.frames}"
    return f"{source.place + 1} of the series" if source.series else ""


def _fragility(fragility: Fragility) -> dict[str, str | None]:
    """The smallest changes across the limit, in grey levels of eight bits."""
    levels = {name: getattr(fragility, name) for name in ("fgsm", "linf", "mean_square")}
    words = {name: None if value is None else f"{255 * value:.2g}" for name, value in levels.items()}
    return words | {"relative": None if fragility.relative is None else f"{100 * fragility.relative:.2g}"}


def _percent(value: float | None) -> float | None:
    """A probability in per cent with one decimal, and never a rounded-up certainty."""
    if value is None:
        return None
    percent = min(max(round(100 * value, 1), 0.1 if value > 0 else 0.0), 99.9 if value < 1 else 100.0)
    return int(percent) if percent == int(percent) else percent


def _place(finding: Finding, original: tuple[int, int]) -> dict[str, Any]:
    """One finding as numbers for the drawing and words for the list."""
    box, peak = finding.box, finding.peak
    drawn = drawn_box(finding, original)
    arm = 0.007 * max(original)
    x, y = round(peak.x, 2), round(peak.y, 2)
    across, down = f"M{x - arm:.1f} {y}H{x + arm:.1f}", f"M{x} {y - arm:.1f}V{y + arm:.1f}"
    return {
        "x": round(drawn.x0 - 0.5, 2),
        "y": round(drawn.y0 - 0.5, 2),
        "width": round(drawn.width, 2),
        "height": round(drawn.height, 2),
        "cross": across + down,
        "peak": f"({peak.x:.0f}, {peak.y:.0f})",
        "box": f"{box.width:.0f} × {box.height:.0f}",
        "strength": round(100 * finding.score),
    }


def _provenance(told: Iterable[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """What all images share; a value that differs is said to."""
    found: dict[str, set[str]] = {}
    for provenance in told:
        for key, name in PROVENANCE.items():
            value = provenance.get(key)
            if value not in (None, "", ()):
                found.setdefault(name, set()).add(_words(value))
    shared = [(name, found[name]) for name in PROVENANCE.values() if name in found]
    return [(n, printable(next(iter(v))) if len(v) == 1 else f"several ({len(v)})") for n, v in shared]


def _words(value: Any) -> str:
    """A value for a table cell."""
    if isinstance(value, (list, tuple)):
        return " to ".join(map(_words, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def data_uri(picture: Pillow.Image, budget: int) -> str | None:
    """The picture as a WebP data address of at most ``budget`` bytes; None where even a thumb is too big."""
    for side in SIDES:
        if side != SIDES[-1] and side >= 2 * max(picture.size):
            continue  # the same picture again
        smaller = picture.copy()
        smaller.thumbnail((side, side), Pillow.Resampling.BOX)
        content = webp(smaller)
        if len(content) <= budget:
            return "data:image/webp;base64," + base64.b64encode(content).decode()
    return None


def webp(picture: Pillow.Image) -> bytes:
    """The picture encoded for a screen."""
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=82, method=2)
    return buffer.getvalue()
