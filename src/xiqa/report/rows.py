"""An assessment as a row: for results.json, for results.csv, for a table on the screen."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from xiqa.imaging.options import printable
from xiqa.types import Assessment, Verdict

__all__ = ["Row", "counts", "csv_bytes", "json_bytes", "to_row", "worst_first"]

Row = Mapping[str, Any]

# What needs a person first comes first; what could not be read is not known to be good.
URGENCY = (Verdict.REACQUIRE, Verdict.REVIEW, Verdict.NOT_ASSESSED, Verdict.ACCEPT)
COLUMNS = (
    "file",
    "verdict",
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
# Only where fragility was asked for.
FRAGILITY_COLUMNS = ("fragility_step", "fragility_box", "fragility_mean_square", "fragility_relative")


def to_row(assessment: Assessment) -> dict[str, Any]:
    """The assessment in JSON's types: places in original pixels, rounded to a hundredth of one."""
    fragility = assessment.fragility
    row: dict[str, Any] = {
        "file": assessment.file,
        "verdict": assessment.verdict.value,
        "reason": assessment.reason,
        "probability": assessment.probability,
        "threshold": assessment.threshold,
        "findings": [
            {
                "box": [round(float(edge), 2) for edge in finding.box],
                "peak": [round(float(value), 2) for value in finding.peak],
                "score": round(float(finding.score), 4),
            }
            for finding in assessment.findings
        ],
        "provenance": dict(assessment.provenance),
    }
    return row if fragility is None else row | {"fragility": asdict(fragility)}


def worst_first(rows: Iterable[Row]) -> list[Row]:
    """Rows by urgency of the verdict, then by falling probability, then by name."""

    def key(row: Row) -> tuple[int, float, str]:
        probability = row["probability"]
        return (
            URGENCY.index(Verdict(row["verdict"])),
            -(0.0 if probability is None else probability),
            row["file"],
        )

    return sorted(rows, key=key)


def counts(rows: Iterable[Row]) -> dict[Verdict, int]:
    """How many rows have each verdict, in order of urgency, zeros included."""
    found = [row["verdict"] for row in rows]
    return {verdict: found.count(verdict.value) for verdict in URGENCY}


def json_bytes(rows: Iterable[Row]) -> bytes:
    """``results.json``: a list, one object a file; any file name survives in ASCII escapes."""
    return (json.dumps(list(rows), indent=1, allow_nan=False) + "\n").encode("ascii")


def csv_bytes(rows: Iterable[Row]) -> bytes:
    """``results.csv``: one line a file with its first finding; no cell can act as a formula."""
    text, rows = io.StringIO(newline=""), list(rows)
    more = FRAGILITY_COLUMNS if any("fragility" in row for row in rows) else ()
    writer = csv.DictWriter(text, (*COLUMNS, *more))
    writer.writeheader()
    writer.writerows(_cells(row) for row in rows)
    return text.getvalue().encode("utf-8")


def _cells(row: Row) -> dict[str, Any]:
    """One line of the table."""
    provenance = row["provenance"]
    cells = {key: row[key] for key in ("verdict", "probability", "threshold")}
    cells |= {"file": harmless(printable(row["file"])), "reason": harmless(printable(row["reason"]))}
    cells |= {key: harmless(str(provenance.get(key, ""))) for key in ("method", "model", "model_hash")}
    cells["findings"] = len(row["findings"])
    for name in FRAGILITY_COLUMNS if "fragility" in row else ():
        cells[name] = row["fragility"][name.removeprefix("fragility_")]
    if row["findings"]:
        first = row["findings"][0]
        cells |= dict(zip(("peak_x", "peak_y"), first["peak"], strict=True))
        cells |= dict(zip(("box_x0", "box_y0", "box_x1", "box_y1"), first["box"], strict=True))
        cells["score"] = first["score"]
    return cells


def harmless(text: str) -> str:
    """A text cell that a spreadsheet shows and never computes: an apostrophe before a formula's first sign.

    >>> harmless("=1+1"), harmless("film.dcm")
    ("'=1+1", 'film.dcm')
    """
    return f"'{text}" if text.lstrip().startswith(("=", "+", "-", "@", "\t", "\r", "|", "%")) else text
