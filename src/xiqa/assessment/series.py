r"""The row of a series: what follows from the verdicts on its images.

With :math:`n` images assessed and a tolerance :math:`t`, a series is as poor as its :math:`k`-th worst image,
:math:`k = \lfloor t n \rfloor + 1`: with a tolerance of 0 as its worst, with 0.2 of 18 images as the fourth
worst. An image is worse than another by its verdict (re-acquire, review, accept), then by its probability.
One that could not be assessed counts as one to be reviewed, because it is not known to be good.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from xiqa.assessment.reading import Prepared, SeriesFrames
from xiqa.errors import ConfigError
from xiqa.types import Assessment, Image, SeriesSummary, Verdict

__all__ = ["RunningSeries", "check_tolerance", "series_row"]

_ORDER = (Verdict.REACQUIRE, Verdict.REVIEW, Verdict.NOT_ASSESSED, Verdict.ACCEPT)
_NAMED = 8


def check_tolerance(tolerance: float) -> None:
    """Refuse a share outside [0, 1).

    Raises:
        ConfigError: It is one.
    """
    if not 0 <= tolerance < 1:
        raise ConfigError("no such tolerance", expected="a share from 0 to below 1", got=str(tolerance))


class RunningSeries:
    """Adds the row of a series behind those of its images, of which it holds the worst one's pixels alone.

    Args:
        frames: Which images were asked for.
        tolerance: See the module.
    """

    def __init__(self, frames: str, tolerance: float) -> None:
        self._frames, self._tolerance = frames, tolerance
        self._rows: list[Assessment] = []
        self._worst: tuple[Assessment, Image | None] | None = None

    def after(
        self, results: Iterable[tuple[Assessment, Image | None]], batch: Sequence[Prepared]
    ) -> Iterator[tuple[Assessment, Image | None]]:
        """The results of a batch, and the row of each series that ends in it."""
        for (result, image), prepared in zip(results, batch, strict=True):
            yield result, image
            if prepared.series is None:
                continue
            self._rows.append(replace(result, saliency=None))
            if self._worst is None or _badness(result) > _badness(self._worst[0]):
                self._worst = result, image
            if prepared.last:
                yield self._row(prepared.series)

    def _row(self, series: SeriesFrames) -> tuple[Assessment, Image | None]:
        assert self._worst is not None
        worst, image = self._worst
        row = series_row(self._rows, worst, series, self._frames, self._tolerance)
        self._rows, self._worst = [], None
        return row, image


def series_row(
    rows: Sequence[Assessment], worst: Assessment, series: SeriesFrames, frames: str, tolerance: float
) -> Assessment:
    """The row of a series.

    Args:
        rows: Of its images, in their order.
        worst: The worst of them, whose map and places are shown.
        series: Which images those are, and what is known of the series.
        frames: Which were asked for.
        tolerance: See the module.
    """
    decisive = sorted(rows, key=_badness, reverse=True)[int(tolerance * len(rows) + 1e-9)]
    unread = all(row.verdict is Verdict.NOT_ASSESSED for row in rows)
    verdict = decisive.verdict
    if verdict is Verdict.NOT_ASSESSED and not unread:
        verdict = Verdict.REVIEW
    summary = SeriesSummary(
        total=series.total,
        places=tuple(row.source.place for row in rows),
        scores=tuple(row.probability for row in rows),
        worst=worst.source.place,
        poor=_places(rows, Verdict.REACQUIRE),
        unclear=_places(rows, Verdict.REVIEW, Verdict.NOT_ASSESSED),
        frames=frames,
        tolerance=tolerance,
    )
    notes = dict.fromkeys((*series.notes, *_chosen_note(summary)))
    digest = hashlib.sha256("".join(row.source.digest for row in rows).encode("ascii")).hexdigest()
    return replace(
        worst,
        file=rows[0].file,
        verdict=verdict,
        code=decisive.code,
        reason=_reason(summary, decisive),
        probability=None if verdict is Verdict.NOT_ASSESSED else decisive.probability,
        source=replace(worst.source, digest=digest, notes=tuple(notes)),
        provenance={**worst.provenance, "notes": tuple(notes)},
        fragility=None,
        series=summary,
    )


def _badness(row: Assessment) -> tuple[int, float]:
    """What makes an image worse than another."""
    return -_ORDER.index(row.verdict), -1.0 if row.probability is None else row.probability


def _places(rows: Sequence[Assessment], *verdicts: Verdict) -> tuple[int, ...]:
    return tuple(row.source.place for row in rows if row.verdict in verdicts)


def _chosen_note(summary: SeriesSummary) -> tuple[str, ...]:
    """That images were left out, where they were."""
    left = summary.total - len(summary.places)
    told = f"{len(summary.places)} of {summary.total} images assessed ({summary.frames}); {left} left out"
    return (told,) if left else ()


def _reason(summary: SeriesSummary, decisive: Assessment) -> str:
    """Which images are poor, in one sentence, counted from 1."""
    count = len(summary.places)
    parts = [f"{len(summary.poor)} of {count} images are poor{_list(summary.poor)}"]
    if summary.unclear:
        parts.append(f"{len(summary.unclear)} need a look or could not be assessed{_list(summary.unclear)}")
    if summary.total > count:
        parts.append(f"{summary.total - count} of {summary.total} were not looked at")
    parts.append(f"the verdict is that of image {decisive.source.place + 1}: {decisive.reason}")
    return "; ".join(parts)


def _list(places: Sequence[int]) -> str:
    """Places as a person counts them, as far as they are few."""
    if not places:
        return ""
    more = ", ..." if len(places) > _NAMED else ""
    return f" ({', '.join(str(place + 1) for place in places[:_NAMED])}{more})"
