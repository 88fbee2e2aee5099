"""What a department learns from its rejects: counts by period and group, never by person."""

from __future__ import annotations

import csv
import io
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sqlalchemy import and_, select

from xiqa.dicom.codes import REJECT_REASONS
from xiqa.report.rows import harmless
from xiqa.scoring.control import Chart, control_chart
from xiqa.scoring.counts import Kappa, Rate, kappa_of, rate_of
from xiqa.service.records.schema import decisions, instances
from xiqa.service.records.store import Store

__all__ = ["GROUPS", "PERIODS", "Analysis", "Seen", "analyse", "seen", "table"]

PERIODS: dict[str, Callable[[date], str]] = {
    "day": date.isoformat,
    "week": lambda day: f"{day.isocalendar().year}-W{day.isocalendar().week:02d}",
    "month": lambda day: f"{day:%Y-%m}",
}
GROUPS = ("device", "station", "view", "modality")
_REPEAT = 3600.0  # seconds within which another image of the same patient, part and view repeats one
_BASELINE = {"day": 30, "week": 8, "month": 3}
_CSV = ("day", *GROUPS, "images", "rejected", "repeats", "decided", "overrides", "model_reacquire")


@dataclass(frozen=True, slots=True)
class Seen:
    """One image as the analysis sees it.

    Attributes:
        day: Of its arrival (UTC).
        group: Its value of each of `GROUPS`.
        verdict: The model's.
        action: The decision in force; empty where there is none.
        reason: Its code.
        override: Whether it goes against the verdict.
        repeat: Whether it follows another of the same patient, part and view within the hour.
    """

    day: date
    group: Mapping[str, str]
    verdict: str
    action: str
    reason: str
    override: bool
    repeat: bool

    @property
    def rejected(self) -> bool:
        """Whether a person decided to take it again."""
        return self.action == "reacquire"


@dataclass(frozen=True, slots=True)
class Analysis:
    """The numbers of a span of time.

    Attributes:
        rejected: Of all images; a rejected image is dose that no radiologist sees.
        repeats: Of all images: an extra image, whether or not the one before was rejected.
        overrides: Of the decisions on images that the model would accept or take again.
        kappa: Agreement of these decisions with the model.
        chart: Rejected by period; None where there are too few.
        model: The model's verdicts *re-acquire* by period: drift of model or images.
        reasons: How often each reason was given, most often first.
        groups: Rate of rejects by group and value.
    """

    rejected: Rate
    repeats: Rate
    overrides: Rate
    kappa: Kappa
    chart: Chart | None
    model: Chart | None
    reasons: Sequence[tuple[str, Rate]]
    groups: Mapping[str, Sequence[tuple[str, Rate]]]


def seen(store: Store, first: date, last: date) -> list[Seen]:
    """The images that arrived from a day to another, both included."""
    in_force = and_(decisions.c.instance_id == instances.c.id, decisions.c.version == instances.c.version)
    statement = (
        select(
            *(
                instances.c[name]
                for name in ("received", "verdict", "decision", "patient", "body_part", *GROUPS)
            ),
            decisions.c.reason,
            decisions.c.override,
        )
        .join(decisions, in_force, isouter=True)
        .where(instances.c.received >= _start(first), instances.c.received < _start(last + timedelta(days=1)))
        .order_by(instances.c.received)
    )
    with store.database.reading() as connection:
        rows = connection.execute(statement).mappings().all()
    latest: dict[tuple[str, ...], float] = {}
    return [_seen(dict(row), latest) for row in rows]


def _start(day: date) -> float:
    return datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()


def _seen(row: Mapping[str, Any], latest: dict[tuple[str, ...], float]) -> Seen:
    key = (row["patient"], row["modality"], row["body_part"], row["view"])
    repeat = bool(row["patient"]) and row["received"] - latest.get(key, -_REPEAT) < _REPEAT
    latest[key] = row["received"]
    return Seen(
        datetime.fromtimestamp(row["received"], UTC).date(),
        {name: row[name] for name in GROUPS},
        row["verdict"],
        row["decision"],
        row["reason"] or "",
        bool(row["override"]),
        repeat,
    )


def analyse(images: Sequence[Seen], period: str = "week") -> Analysis:
    """The numbers of some images.

    Args:
        images: In order of their arrival.
        period: One of `PERIODS`.
    """
    total, rejected = len(images), [image for image in images if image.rejected]
    judged = [image for image in images if image.action and image.verdict in ("accept", "reacquire")]
    pairs = Counter((image.rejected, image.verdict == "reacquire") for image in judged)
    reasons = Counter(image.reason for image in rejected)
    return Analysis(
        rate_of(len(rejected), total),
        rate_of(sum(image.repeat for image in images), total),
        rate_of(sum(image.override for image in judged), len(judged)),
        kappa_of(pairs[True, True], pairs[True, False], pairs[False, True], pairs[False, False]),
        _chart(images, period, lambda image: image.rejected),
        _chart(images, period, lambda image: image.verdict == "reacquire"),
        [(REJECT_REASONS[code].meaning, rate_of(n, len(rejected))) for code, n in reasons.most_common()],
        {name: _by(images, name) for name in GROUPS},
    )


def _chart(images: Iterable[Seen], period: str, counted: Callable[[Seen], bool]) -> Chart | None:
    totals: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    for image in images:
        name = PERIODS[period](image.day)
        totals[name] += 1
        counts[name] += counted(image)
    names = sorted(totals)
    if len(names) < 2:
        return None
    baseline = min(_BASELINE[period], max(1, len(names) // 2))
    return control_chart(
        names, [counts[name] for name in names], [totals[name] for name in names], baseline=baseline
    )


def _by(images: Iterable[Seen], name: str) -> list[tuple[str, Rate]]:
    """Rate of rejects for each value of a group, the most images first."""
    totals: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    for image in images:
        totals[image.group[name] or "unknown"] += 1
        counts[image.group[name] or "unknown"] += image.rejected
    return [(value, rate_of(counts[value], number)) for value, number in totals.most_common(20)]


def table(images: Iterable[Seen]) -> str:
    """One line a day and group as CSV; no cell can act as a formula."""
    rows: dict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
    for image in images:
        counts = rows[(image.day.isoformat(), *(image.group[name] for name in GROUPS))]
        counts["images"] += 1
        counts["rejected"] += image.rejected
        counts["repeats"] += image.repeat
        counts["decided"] += bool(image.action)
        counts["overrides"] += image.override
        counts["model_reacquire"] += image.verdict == "reacquire"
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(_CSV)
    for key in sorted(rows):
        writer.writerow([*map(harmless, key), *(rows[key][name] for name in _CSV[len(key) :])])
    return text.getvalue()
