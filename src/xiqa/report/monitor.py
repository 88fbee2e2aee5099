"""What a look at a site's results found, as a page."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xiqa.assessment.monitor import Monitored
    from xiqa.scoring.counts import Rate

__all__ = ["monitor_page"]


def monitor_page(found: Monitored) -> str:
    """Markdown: a sentence with the verdict, drifts with their intervals, rates.

    Args:
        found: By `xiqa.assessment.monitor.monitor`.
    """
    moved = [drift.measure for drift in found.drifts if drift.moved]
    verdict = f"**Moved: {' and '.join(moved)}.**" if moved else "**Nothing has moved.**"
    rows = [
        "| | images | median [95 %] | reference | distance D | by chance (95 %) | p | poor [95 %] |",
        "|---|---|---|---|---|---|---|---|",
        *(
            f"| {drift.measure} | {drift.images} | {_interval(drift.median)} | {drift.reference_median:.3f} "
            f"| {drift.statistic:.3f} | {drift.expected:.3f} | {drift.p_value:.3f} "
            f"| {_interval(drift.poor)} |"
            for drift in found.drifts
        ),
    ]
    rates = dict(found.verdicts) | {"another view": found.other_view}
    if found.beyond_guard is not None:
        rates["beyond the guard's limit"] = found.beyond_guard
    lines = ["| of the images | share [95 %] |", "|---|---|"]
    lines += [f"| {name} | {_rate(rate)} |" for name, rate in rates.items()]
    told = (
        f"{found.images} images of {found.studies} studies, against: {found.reference}. "
        "The mixture of its good and poor images that fits best is the reference."
    )
    if found.left_out:
        told += f" {found.left_out} results of other models, of series or without a probability are left out."
    return "\n\n".join((verdict, told, "\n".join(rows), "\n".join(lines))) + "\n"


def _interval(values: tuple[float, float, float]) -> str:
    return f"{values[0]:.3f} [{values[1]:.3f}, {values[2]:.3f}]"


def _rate(rate: Rate) -> str:
    return f"{rate.count} of {rate.total}: {rate.value:.3f} [{rate.low:.3f}, {rate.high:.3f}]"
