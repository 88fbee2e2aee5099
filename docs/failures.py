"""Makes the page of failures: where the shipped model goes wrong on simulated images, with pictures.

    python docs/failures.py [--images 6]

writes docs/failures.md and docs/images/failures.jpg. Every case of the scenario grid is simulated so many
times with seeds that no training uses; a case's row tells verdicts and places, the picture shows the worst
of each kind of failure.
"""

from __future__ import annotations

import argparse
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image as Picture
from PIL import ImageDraw, ImageFont

import xiqa
from xiqa.datasets.groups import members
from xiqa.report.overlay import overlay_picture
from xiqa.simulation.chest import Scenario, scenario_grid, simulate_chest
from xiqa.simulation.seeds import FAILURES
from xiqa.types import Annotation, Assessment, Image

DOCS = Path(__file__).parent
SIDE, TILE, COLUMNS, TOLERANCE, SHOWN = 640, 300, 4, 15.0, 4
KINDS = ("missed", "false alarm", "wrong place")

HEAD = """# Where the shipped model fails

{images} simulated images, {each} of every case of the scenario grid, assessed as `xiqa assess` does it; made
by `python docs/failures.py`. An image is *missed* when it holds a removable object over the chest and is
accepted, a *false alarm* when it holds none and is to be taken again; an image sent to review counts as
neither. The place is *wrong* when the strongest finding's peak lies farther than {tolerance:.0f} of {side}
pixels from every removable object's box.

How real radiographs fare is told in [the card](model-card.md).

![The worst failures of each kind](images/failures.jpg)

Green: the objects' true boxes. Blue: the strongest finding. The heat map is scaled to its own maximum, so it
looks busy on an image where nothing speaks loudly.

{account}

| case | images | accepted | review | reacquire | median probability | peak on an object |
|---|---|---|---|---|---|---|
"""


@dataclass(frozen=True)
class Case:
    """One image and what became of it; ``on_object`` is None where there is no object, or no finding."""

    scenario: Scenario
    image: Image
    removable: tuple[Annotation, ...]
    poor: bool
    result: Assessment
    on_object: bool | None

    @property
    def failure(self) -> str | None:
        """Which kind of failure, if any."""
        verdict = str(self.result.verdict)
        if self.poor and verdict == "accept":
            return "missed"
        if not self.poor and verdict == "reacquire":
            return "false alarm"
        return "wrong place" if self.poor and self.on_object is False else None

    @property
    def badness(self) -> float:
        """How sure the model was of what is wrong."""
        probability = self.result.probability or 0.0
        return 1 - probability if self.failure == "missed" else probability


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--images", type=int, default=6, help="images a case")
    each = parser.parse_args().images
    model = xiqa.load_model()
    cases = []
    for number, scenario in enumerate(scenario_grid()):
        cases += [
            judged(model, scenario, FAILURES.first + 100 * number + radiograph) for radiograph in range(each)
        ]
        print(row(scenario, cases[-each:]), flush=True)
    (DOCS / "images").mkdir(exist_ok=True)
    failures = {kind: worst(cases, kind) for kind in KINDS}
    sheet([tile(case) for some in failures.values() for case in some[:SHOWN]]).save(
        DOCS / "images" / "failures.jpg", quality=85
    )
    head = HEAD.format(
        radiographs=len(cases), each=each, tolerance=TOLERANCE, side=SIDE, account=account(failures)
    )
    rows = [
        row(s, [case for case in cases if case.scenario is s])
        for s in {id(c.scenario): c.scenario for c in cases}.values()
    ]
    (DOCS / "failures.md").write_text(head + "\n".join(rows) + "\n")


def judged(model: xiqa.LoadedModel, scenario: Scenario, seed: int) -> Case:
    """Simulate an image and assess it."""
    phantom = simulate_chest(seed, size=(SIDE, SIDE), objects=scenario)
    (result,) = xiqa.assess(model, [phantom.image])
    removable = tuple(members(phantom.annotations, "removable"))
    on_object = None
    if removable and result.findings:
        peak = result.findings[0].peak
        on_object = any(near(one, peak.x, peak.y) for one in removable)
    return Case(scenario, phantom.image, removable, bool(phantom.label), result, on_object)


def near(one: Annotation, x: float, y: float) -> bool:
    """Whether a point lies within the tolerance of an object's box."""
    dx = max(one.box.x0 - x, 0, x - one.box.x1)
    dy = max(one.box.y0 - y, 0, y - one.box.y1)
    return bool(np.hypot(dx, dy) < TOLERANCE)


def worst(cases: list[Case], kind: str) -> list[Case]:
    """The failures of one kind, the surest first."""
    return sorted((case for case in cases if case.failure == kind), key=lambda case: -case.badness)


def account(failures: dict[str, list[Case]]) -> str:
    """How many failures of each kind, and on what."""
    lines = []
    for kind, some in failures.items():
        where = Counter(case.scenario.name for case in some).most_common()
        named = ", ".join(f"{name} ({count})" for name, count in where)
        objects = Counter(one.kind for case in some for one in case.removable).most_common(6)
        on = (
            f"; objects on these images: {', '.join(f'{name} ({count})' for name, count in objects)}"
            if objects
            else ""
        )
        lines.append(f"- **{kind}: {len(some)}**" + (f" in {named}{on}" if some else ""))
    return "\n".join(lines)


def row(scenario: Scenario, cases: list[Case]) -> str:
    """One line of the table."""
    verdicts = Counter(str(case.result.verdict) for case in cases)
    median = np.median([case.result.probability for case in cases])
    placed = [case.on_object for case in cases if case.on_object is not None]
    peak = f"{sum(placed)} of {len(placed)}" if placed else "-"
    counts = " | ".join(str(verdicts[verdict]) for verdict in ("accept", "review", "reacquire"))
    return f"| {scenario.name} | {len(cases)} | {counts} | {median:.2f} | {peak} |"


def tile(case: Case) -> Picture.Image:
    """The overlay, the true boxes in green, and what happened below."""
    picture = overlay_picture(case.image, case.result.saliency, case.result.findings[:1], TILE).convert("RGB")
    pen, scale = ImageDraw.Draw(picture), TILE / SIDE
    for one in case.removable:
        pen.rectangle([scale * edge for edge in one.box], outline=(90, 230, 90), width=1)
    framed = Picture.new("RGB", (TILE, TILE + 44), "white")
    framed.paste(picture, (0, 0))
    verdict = f"probability {case.result.probability:.2f}, {case.result.verdict}"
    text = f"{case.failure}: {case.scenario.name}\n{verdict}"
    ImageDraw.Draw(framed).text((4, TILE + 4), text, "black", font=ImageFont.load_default(14))
    return framed


def sheet(tiles: list[Picture.Image]) -> Picture.Image:
    """All tiles in a grid."""
    rows = max(1, -(-len(tiles) // COLUMNS))
    whole = Picture.new("RGB", (COLUMNS * (TILE + 6), rows * (TILE + 50)), "white")
    for place, one in enumerate(tiles):
        whole.paste(one, (place % COLUMNS * (TILE + 6), place // COLUMNS * (TILE + 50)))
    return whole


if __name__ == "__main__":
    main()
