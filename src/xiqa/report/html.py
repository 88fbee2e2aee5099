"""One self-contained page for people: no other file, no network, bounded in size."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from importlib.resources import files
from itertools import islice
from typing import Any

from xiqa.imaging.options import printable
from xiqa.report.cases import Pictures, case_of, pictures_of
from xiqa.report.journal import Entry
from xiqa.report.rows import counts, worst_first
from xiqa.report.words import WORDS, limit_reason
from xiqa.types import Verdict

__all__ = ["LISTED", "PAGE_BYTES", "PICTURED", "report_html", "report_pieces"]

# What all pictures of a page may take together before base64 adds a third; more images, smaller ones.
PAGE_BYTES = 24 * 2**20
# So many images have a picture, and so many are listed, the worst ones; the rest are counted.
PICTURED, LISTED = 1000, 10_000

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
    """The page as one text, of entries in any order; see `report_pieces`."""
    entry_of = {id(entry.result): entry for entry in entries}
    results = worst_first(entry.result for entry in entry_of.values())
    listed = [entry_of[id(result)] for result in results]
    return "".join(report_pieces(listed, counts(results), pictures, made=made))


def report_pieces(
    listed: Iterable[Entry],
    counted: Mapping[Verdict, int],
    pictures: Pictures,
    *,
    made: datetime | None = None,
) -> Iterator[str]:
    """The page, worst image first, piece by piece, so that no more than one image's is in memory.

    The worst `LISTED` images are listed. The worst `PICTURED` of them have pictures, which together stay
    within `PAGE_BYTES` before base64 adds a third; the others have all but a picture.

    Args:
        listed: What the journal holds, worst first; gone through twice, and no further than is listed.
        counted: How many have each verdict, listed or not.
        pictures: Gives the files of image and map for an entry's ``picture``; None where there are none.
        made: Time shown at the top; now unless told.
    """
    about = _About()
    for entry in islice(listed, LISTED):
        about.add(entry)
    mark = secrets.token_hex(16)  # stands in the template where the rows go
    before, _, after = _frame(about, counted, made or datetime.now().astimezone(), mark).partition(mark)
    yield before
    share = PAGE_BYTES // max(1, min(PICTURED, about.pictured))
    for number, row in enumerate(_rows(islice(listed, LISTED), pictures, share)):
        yield (",\n" if number else "") + json_in_html(row)
    yield after


class _About:
    """What the page says of all its images together."""

    def __init__(self) -> None:
        self.pictured = 0
        self.found: dict[str, set[str]] = {}
        self.wanted: set[Any] = set()

    def add(self, entry: Entry) -> None:
        """One image more."""
        provenance = entry.result.provenance
        self.pictured += bool(entry.picture)
        self.wanted |= {provenance.get("sensitivity_wanted")} - {None}
        for key, name in PROVENANCE.items():
            value = provenance.get(key)
            if value not in (None, "", ()):
                self.found.setdefault(name, set()).add(_words(value))

    def provenance(self) -> list[tuple[str, str]]:
        """What all images share; a value that differs is said to."""
        shared = [(name, self.found[name]) for name in PROVENANCE.values() if name in self.found]
        return [(n, printable(next(iter(v))) if len(v) == 1 else f"several ({len(v)})") for n, v in shared]


def _rows(entries: Iterable[Entry], pictures: Pictures, share: int) -> Iterator[dict[str, Any]]:
    """The rows of the page."""
    pictured = 0
    for entry in entries:
        shown = bool(entry.picture) and pictured < PICTURED
        pictured += shown
        yield case_of(entry) | (pictures_of(entry, pictures, share) if shown else {})


def _frame(about_all: _About, counted: Mapping[Verdict, int], made: datetime, mark: str) -> str:
    """Everything but the rows, with ``mark`` in their place."""
    from jinja2 import Environment  # noqa: PLC0415 - needed by the page only

    provenance, wanted = about_all.provenance(), about_all.wanted
    style, script = _style(), _script()
    about = {
        "words": {verdict.value: word for verdict, word in WORDS.items()},
        "pictured": PICTURED,
        "reason": limit_reason(*wanted) if len(wanted) == 1 else "",
    }
    template = Environment(autoescape=True, trim_blocks=True).from_string(_file("report.html.jinja"))
    return template.render(
        total=sum(counted.values()),
        pictured=PICTURED,
        listed=LISTED,
        verdicts=[{"name": v.value, "word": WORDS[v], "count": number} for v, number in counted.items()],
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


def _words(value: Any) -> str:
    """A value for a table cell."""
    if isinstance(value, (list, tuple)):
        return " to ".join(map(_words, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)
