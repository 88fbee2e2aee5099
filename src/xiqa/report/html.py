"""One self-contained page for people: no other file, no network, bounded in size."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from importlib.resources import files
from typing import Any

from xiqa.imaging.options import printable
from xiqa.report.cases import Pictures, case_of, pictures_of
from xiqa.report.journal import Entry
from xiqa.report.rows import counts, worst_first
from xiqa.report.words import WORDS, limit_reason
from xiqa.types import Assessment

__all__ = ["PAGE_BYTES", "PICTURED", "report_html", "report_pieces"]

# What all pictures of a page may take together before base64 adds a third; more images, smaller ones.
PAGE_BYTES = 24 * 2**20
# So many images have a picture, the worst ones; a page of any number of rows opens in a moment.
PICTURED = 1000

STYLES = ("base", "list", "detail")
SCRIPTS = ("start", "heat", "picture", "notes", "filter", "list", "viewer", "detail", "keys")
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


def report_html(entries: Iterable[Entry], pictures: Pictures, *, made: datetime | None = None) -> str:
    """The page as one text; see `report_pieces`."""
    return "".join(report_pieces(entries, pictures, made=made))


def report_pieces(
    entries: Iterable[Entry], pictures: Pictures, *, made: datetime | None = None
) -> Iterator[str]:
    """The page, worst image first, piece by piece, so that no more than one image's is in memory.

    The worst `PICTURED` images have pictures, which together stay within `PAGE_BYTES` before base64 adds a
    third; the others have all but a picture.

    Args:
        entries: What the journal holds.
        pictures: Gives the files of image and map for an entry's ``picture``; None where there are none.
        made: Time shown at the top; now unless told.
    """
    entry_of = {id(entry.result): entry for entry in entries}
    results = worst_first(entry.result for entry in entry_of.values())
    ordered = [entry_of[id(result)] for result in results]
    mark = secrets.token_hex(16)  # stands in the template where the rows go
    before, _, after = _frame(results, made or datetime.now().astimezone(), mark).partition(mark)
    yield before
    for number, row in enumerate(_rows(ordered, pictures)):
        yield (",\n" if number else "") + json_in_html(row)
    yield after


def _rows(entries: list[Entry], pictures: Pictures) -> Iterator[dict[str, Any]]:
    """The rows of the page."""
    pictured = [entry for entry in entries if entry.picture][:PICTURED]
    shown, share = set(map(id, pictured)), PAGE_BYTES // max(1, len(pictured))
    for entry in entries:
        yield case_of(entry) | (pictures_of(entry, pictures, share) if id(entry) in shown else {})


def _frame(results: list[Assessment], made: datetime, mark: str) -> str:
    """Everything but the rows, with ``mark`` in their place."""
    from jinja2 import Environment  # noqa: PLC0415 - needed by the page only

    provenance = _provenance(result.provenance for result in results)
    style, script = _style(), _script()
    wanted = {result.provenance.get("sensitivity_wanted") for result in results} - {None}
    about = {
        "words": {verdict.value: word for verdict, word in WORDS.items()},
        "pictured": PICTURED,
        "reason": limit_reason(*wanted) if len(wanted) == 1 else "",
    }
    template = Environment(autoescape=True, trim_blocks=True).from_string(_file("report.html.jinja"))
    return template.render(
        total=len(results),
        pictured=PICTURED,
        verdicts=[
            {"name": v.value, "word": WORDS[v], "count": number} for v, number in counts(results).items()
        ],
        model=dict(provenance).get(PROVENANCE["model"]),
        provenance=provenance,
        limit_reason=about["reason"],
        made=made.strftime("%Y-%m-%d %H:%M"),
        about=_trusted(json_in_html(about)),
        rows=mark,
        style=_trusted(style),
        script=_trusted(script),
        style_hash=_hash(style),
        script_hash=_hash(script),
    )


def json_in_html(value: object) -> str:
    r"""JSON that no script element can be ended by: ``<``, ``>`` and ``&`` are escaped.

    >>> print(json_in_html("</script>"))
    "\u003c/script\u003e"
    """
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    for sign in "<>&":
        if sign in text:
            text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


def _file(name: str) -> str:
    return files("xiqa.report").joinpath("page", name).read_text("utf-8")


def _style() -> str:
    return "".join(_file(f"{name}.css") for name in STYLES)


def _script() -> str:
    """All scripts as one function, so that they share names with each other and with nobody else."""
    return '"use strict";\n(() => {\n' + "".join(_file(f"{name}.js") for name in SCRIPTS) + "})();\n"


def _trusted(text: str) -> Any:
    """Our own style sheet, script or JSON, which the template must not escape."""
    from markupsafe import Markup  # noqa: PLC0415

    return Markup(text)


def _hash(text: str) -> str:
    """The source's hash as a content security policy names it: nothing else on the page may run."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _provenance(each: Iterable[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """What all images share; a value that differs is said to."""
    found: dict[str, set[str]] = {}
    for provenance, (key, name) in ((p, item) for p in each for item in PROVENANCE.items()):
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
