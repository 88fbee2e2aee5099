"""Fill the tables of printed numbers in docs/results, between `<!-- printed: ... -->` and `<!-- end -->`.

python docs/make_printed.py
"""

import re
from pathlib import Path

from xiqa.experiments.printed.numbers import Printed, beside, find_printed, read_table
from xiqa.experiments.printed.reanalysis import Gap, gaps, mean_differences, smallest_counts
from xiqa.experiments.render import to_markdown

RESULTS = Path(__file__).parent / "results"
MARKED = re.compile(r"(<!-- printed: (\w+) (.*?) -->\n).*?(<!-- end -->)", re.DOTALL)
SHARES = ("ozer2021explainable:2", "ozer2025consistent:2")
SHOWN = 6  # numbers of images in a line


def beside_table(names: str) -> str:
    """Ours, the printed numbers and the differences."""
    printed, table = names.split()
    command = f"xiqa printed {printed} --beside docs/results/{table}"
    both = beside(read_table(RESULTS / table), find_printed(printed), printed)
    return f"```text\n{command}\n```\n\n{to_markdown(both)}"


def means_table(names: str) -> str:
    """The difference of means of every method over two networks."""
    found = mean_differences(find_printed(names))
    first, second = found[0].first.network, found[0].second.network
    worst = max(abs(abs(gap.difference) - gap.printed) for gap in found)
    large = sum(gap.exceeds for gap in found)
    return (
        f"{_gap_table(found, first, second)}\n"
        f"The printed difference of means follows from the printed means within {worst:.4f}. "
        f"Larger than twice their noise: {large} of {len(found)}.\n"
    )


def weights_table(names: str) -> str:
    """Trained against random weights."""
    printed, _, second = names.partition(" ")
    return _gap_table(gaps(find_printed(printed), "trained", second), "trained", second)


def counts_table(most: str) -> str:
    """Of how many images the printed shares of each column can be."""
    lines = ["| printed table | shares | numbers of images of which all can be shares |", "|---|---:|---|"]
    groups: dict[str, list[Printed]] = {}
    for number in (number for name in SHARES for number in find_printed(name)):
        part = number.condition if number.condition in ("val", "test") else number.data
        groups.setdefault(f"{number.paper}, table {number.table}, {part}", []).append(number)
    for name, members in groups.items():
        fitting = smallest_counts([number.value for number in members], most=int(most))
        shown = ", ".join(map(str, fitting[:SHOWN])) + (", ..." if len(fitting) > SHOWN else "")
        lines.append(f"| {name} | {len(members)} | {shown} |")
    return "\n".join(lines) + "\n"


def _gap_table(found: list[Gap], first: str, second: str) -> str:
    lines = [
        f"| method | {first} | {second} | difference | its noise | larger than twice its noise |",
        "|---|---:|---:|---:|---:|---|",
    ]
    for gap in found:
        means = " | ".join(f"{number.value:.3f} ± {number.sd:.3f}" for number in (gap.first, gap.second))
        verdict = "yes" if gap.exceeds else "no"
        lines.append(f"| `{gap.method}` | {means} | {gap.difference:+.3f} | {gap.noise:.3f} | {verdict} |")
    return "\n".join(lines) + "\n"


KINDS = {"beside": beside_table, "means": means_table, "weights": weights_table, "counts": counts_table}


def filled(text: str) -> str:
    """A page with its marked tables made again."""
    return MARKED.sub(lambda at: f"{at[1]}\n{KINDS[at[2]](at[3])}\n{at[4]}", text)


def pages() -> dict[Path, str]:
    """Every page that has marks, with its text."""
    texts = {path: path.read_text(encoding="utf-8") for path in sorted(RESULTS.rglob("*.md"))}
    return {path: filled(text) for path, text in texts.items() if MARKED.search(text)}


if __name__ == "__main__":
    for page, text in pages().items():
        page.write_text(text, encoding="utf-8")
