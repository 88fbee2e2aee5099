"""Assessments as rows: in order, counted, as results.json and as results.csv."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

from xiqa.imaging.options import printable
from xiqa.types import Assessment, Finding, Verdict

__all__ = [
    "counts",
    "csv_bytes",
    "csv_pieces",
    "json_bytes",
    "json_pieces",
    "standing_alone",
    "worst_first",
    "worth_a_look",
]

# What needs a person first comes first; what could not be read is not known to be good.
URGENCY = (Verdict.REACQUIRE, Verdict.REVIEW, Verdict.NOT_ASSESSED, Verdict.ACCEPT)
COLUMNS = (
    "file",
    "frame",
    "sop_instance_uid",
    "verdict",
    "code",
    "reason",
    "probability",
    "threshold",
    "findings",
    "peak_x",
    "peak_y",
    "box_x0",
    "box_y0",
    "box_x1",
    "box_y1",
    "score",
    "method",
    "model",
    "model_hash",
)
_PIECE = 2**16  # bytes of a table that are written at once
# Only where fragility was asked for.
FRAGILITY = ("fgsm", "linf", "mean_square", "relative")
# Only where there is a series; places count from 0, ``row`` is image, frame or series.
SERIES = ("row", "series", "place", "images", "assessed", "poor_images", "poor_share", "worst_place")
# Only where they were asked for, and so are in the results at all.
PEOPLE = {
    "accession_number": "AccessionNumber",
    "patient_id": "PatientID",
    "patient_name": "PatientName",
    "study_date": "StudyDate",
}


def worst_first(results: Iterable[Assessment]) -> list[Assessment]:
    """By urgency of the verdict, then by falling probability, then by name; a series before its images."""
    results = list(results)
    whole = {result.source.series: result for result in results if result.series is not None}

    def urgency(result: Assessment) -> tuple[int, float, str, int]:
        return URGENCY.index(result.verdict), -(result.probability or 0.0), result.file, result.source.frame

    def order(result: Assessment) -> tuple[Any, ...]:
        series = result.source.series
        inside = -1 if result.series is not None else result.source.place
        return (*urgency(whole.get(series, result)), series, inside) if series else (*urgency(result), "", 0)

    return sorted(results, key=order)


def standing_alone(results: Iterable[Assessment]) -> list[Assessment]:
    """Series and images that are in none: what a short list shows."""
    return [result for result in results if result.series is not None or not result.source.series]


def worth_a_look(result: Assessment) -> Sequence[Finding]:
    """The findings that a person is shown: all of them, but of an accepted image the strongest alone."""
    if result.verdict is not Verdict.ACCEPT or not result.findings:
        return result.findings
    return [max(result.findings, key=lambda finding: finding.score)]


def counts(results: Iterable[Assessment]) -> dict[Verdict, int]:
    """How many have each verdict, in order of urgency, zeros included."""
    verdicts = [result.verdict for result in results]
    return {verdict: verdicts.count(verdict) for verdict in URGENCY}


def json_pieces(results: Iterable[Assessment]) -> Iterator[bytes]:
    """``results.json``, an object at a time: a list, a line each; any file name survives in ASCII escapes."""
    before = "[\n "
    for result in results:
        yield (before + json.dumps(result.to_dict(), allow_nan=False)).encode("ascii")
        before = ",\n "
    yield b"[]\n" if before.startswith("[") else b"\n]\n"


def json_bytes(results: Iterable[Assessment]) -> bytes:
    """``results.json`` as a whole."""
    return b"".join(json_pieces(results))


def csv_bytes(results: Iterable[Assessment]) -> bytes:
    """``results.csv`` as a whole; see `csv_pieces`."""
    results = list(results)
    return b"".join(
        csv_pieces(
            results,
            fragile=any(result.fragility for result in results),
            series=any(result.source.series for result in results),
            identifiers={name for result in results for name in result.source.identifiers},
        )
    )


def csv_pieces(
    results: Iterable[Assessment], *, fragile: bool, series: bool, identifiers: Collection[str]
) -> Iterator[bytes]:
    """``results.csv``: one line an image with its first finding; no cell can act as a formula.

    Args:
        results: In their order, gone through once.
        fragile: Whether any has a fragility, which has columns then.
        series: Whether any belongs to a series.
        identifiers: The identifiers that any has.
    """
    more = [f"fragility_{name}" for name in FRAGILITY] if fragile else []
    people = [column for column, name in PEOPLE.items() if name in identifiers]
    text = io.StringIO(newline="")
    names = (*COLUMNS, *people, *more, *(SERIES if series else ()))
    writer = csv.DictWriter(text, names, extrasaction="ignore")
    writer.writeheader()
    for result in results:
        writer.writerow({**_cells(result), **_people(result, people), **_series(result)})
        if text.tell() > _PIECE:
            yield _emptied(text)
    yield _emptied(text)


def _emptied(text: io.StringIO) -> bytes:
    """What was written, once."""
    content = text.getvalue().encode("utf-8")
    text.seek(0)
    text.truncate()
    return content


def _cells(result: Assessment) -> dict[str, Any]:
    """One line of the table, places rounded to a hundredth of a pixel."""
    provenance = result.provenance
    cells: dict[str, Any] = {
        "file": harmless(printable(result.file)),
        "frame": result.source.frame if result.series is None else "",
        "sop_instance_uid": harmless(printable(result.source.identifiers.get("SOPInstanceUID", ""))),
        "verdict": result.verdict.value,
        "code": result.code.value,
        "reason": harmless(printable(result.reason)),
        "probability": result.probability,
        "threshold": result.threshold,
        "findings": len(result.findings),
    }
    cells |= {key: harmless(str(provenance.get(key, ""))) for key in ("method", "model", "model_hash")}
    if result.fragility is not None:
        cells |= {f"fragility_{name}": getattr(result.fragility, name) for name in FRAGILITY}
    if result.findings:
        first = result.findings[0]
        names = ("peak_x", "peak_y", "box_x0", "box_y0", "box_x1", "box_y1")
        cells |= dict(zip(names, (round(edge, 2) for edge in (*first.peak, *first.box)), strict=True))
        cells["score"] = round(first.score, 4)
    return cells


def _series(result: Assessment) -> dict[str, Any]:
    """Where an image stands in its series, or what the series' row says of its images."""
    source, summary = result.source, result.series
    cells: dict[str, Any] = {"row": "frame" if source.series else "image", "series": source.series}
    if summary is None:
        return cells | ({"place": source.place} if source.series else {})
    return cells | {
        "row": "series",
        "images": summary.total,
        "assessed": len(summary.places),
        "poor_images": " ".join(map(str, summary.poor)),
        "poor_share": round(summary.poor_share, 4),
        "worst_place": summary.worst,
    }


def _people(result: Assessment, columns: Iterable[str]) -> dict[str, str]:
    """The identifiers that name people."""
    identifiers = result.source.identifiers
    return {column: harmless(printable(identifiers.get(PEOPLE[column], ""))) for column in columns}


def harmless(text: str) -> str:
    """A text cell that a spreadsheet shows and never computes: an apostrophe before a formula's first sign.

    >>> harmless("=1+1"), harmless("image.dcm")
    ("'=1+1", 'image.dcm')
    """
    return f"'{text}" if text.lstrip().startswith(("=", "+", "-", "@", "\t", "\r", "|", "%")) else text
