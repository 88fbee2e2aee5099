"""What a report says, in the words of the people at the console."""

from __future__ import annotations

from xiqa.errors import Code
from xiqa.types import Assessment, Finding, Fragility, Verdict

__all__ = ["WORDS", "fragility_lines", "headline", "limit_reason", "percent", "place_of", "position", "zone"]

WORDS = {
    Verdict.REACQUIRE: "Re-acquire",
    Verdict.REVIEW: "Review",
    Verdict.NOT_ASSESSED: "Not assessed",
    Verdict.ACCEPT: "Accept",
}
# What a class is called, and what is to be done about it; others are named as they are.
PROBLEMS = {
    "foreign": ("a foreign object", "remove and repeat"),
    "motion_blur": ("motion blur", "repeat with the patient still"),
    "noise": ("noise", "check the exposure and repeat"),
    "underexposure": ("underexposure", "check the exposure and repeat"),
    "with_lvot": ("an outflow tract in the slice", "plan the slice again and repeat"),
}
ROWS, COLUMNS = ("upper", "middle", "lower"), ("left", "centre", "right")


def percent(value: float) -> str:
    """A probability in per cent: two digits, near certainty told as such.

    >>> percent(0.096), percent(0.5), percent(0.9999), percent(1e-7)
    ('9.6', '50', 'over 99', 'under 0.1')
    """
    if 0.99 < value < 1:
        return "over 99"
    if 0 < value < 0.001:
        return "under 0.1"
    return f"{100 * value:.2g}" if value < 0.99 else f"{100 * value:.0f}"


def zone(finding: Finding, size: tuple[int, int]) -> str:
    """Which ninth of the picture a finding's peak lies in; left and right as one looks at it.

    Args:
        finding: The finding.
        size: (rows, columns) of the original.
    """
    row = ROWS[min(2, int(3 * (finding.peak.y + 0.5) / max(1, size[0])))]
    column = COLUMNS[min(2, int(3 * (finding.peak.x + 0.5) / max(1, size[1])))]
    return "centre" if (row, column) == ("middle", "centre") else f"{row} {column}"


def place_of(result: Assessment) -> str:
    """Where the strongest finding lies, and how many more there are; empty where there is none."""
    if not result.findings:
        return ""
    strongest = max(result.findings, key=lambda finding: finding.score)
    more = len(result.findings) - 1
    others = f" and {more} other place{'' if more == 1 else 's'}" if more else ""
    return f"at the {zone(strongest, result.image_size)} of the picture{others}"


def headline(result: Assessment) -> str:
    """What to do, in one line: what it is, where it is, what helps."""
    kind = str(result.provenance.get("problem") or result.provenance.get("target") or "poor quality")
    name, remedy = PROBLEMS.get(kind, (kind.replace("_", " "), "repeat"))
    place = place_of(result)
    where = f" {place}" if place else ""
    match result.verdict:
        case Verdict.REACQUIRE:
            line = f"{name}{where}: {remedy}"
        case Verdict.REVIEW if result.code is Code.REVIEW_BAND:
            line = f"not clear: perhaps {name}{where}. Please look"
        case Verdict.REVIEW:
            line = "the model was not made for an image like this. Please look"
        case Verdict.ACCEPT:
            line = f"{name} is unlikely"
        case _:
            line = "could not be assessed"
    return line[:1].upper() + line[1:]


def limit_reason(wanted: object) -> str:
    """Why the limit is where it is, from the share of poor images it was set to find; empty if unknown."""
    if not isinstance(wanted, (int, float)):
        return ""
    return f"set so that at least {percent(wanted)} % of the poor images of the validation set lie above it"


def position(result: Assessment) -> str:
    """Which frame or image of a series a row is about."""
    source, summary = result.source, result.series
    if summary is not None:
        return f"{summary.worst + 1} of {summary.total} is shown, the worst of the series"
    if source.frames > 1:
        return f"{source.frame + 1} of {source.frames}"
    return f"{source.place + 1} of the series" if source.series else ""


def fragility_lines(fragility: Fragility | None) -> list[str]:
    """The smallest changes across the limit, in grey levels of eight bits."""
    if fragility is None:
        return []
    lines = []
    if fragility.linf is not None:
        lines.append(
            f"A change of at most {255 * fragility.linf:.2g} of 255 grey levels a pixel, "
            "made to deceive, crosses the limit."
        )
    if fragility.mean_square is not None and fragility.relative is not None:
        lines.append(
            f"The shortest change found has a root mean square of {255 * fragility.mean_square:.2g} of 255 "
            f"grey levels: {100 * fragility.relative:.2g} % of the image."
        )
    if fragility.fgsm is not None:
        step = f"crosses it from {255 * fragility.fgsm:.2g} of 255 grey levels on"
        return [*lines, f"One step along the gradient {step}."]
    return [*lines, "No single step along the gradient, up to a quarter of the grey range, crosses it."]
