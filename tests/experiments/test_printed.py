"""Printed numbers: their own arithmetic, and beside ours."""

import csv
import math
import runpy
from pathlib import Path

import pytest
from typer.testing import CliRunner

from xiqa.errors import ConfigError
from xiqa.experiments.printed.numbers import beside, find_printed, printed_numbers, read_table
from xiqa.experiments.printed.reanalysis import counts_that_fit, gaps, mean_differences, smallest_counts
from xiqa.experiments.render import to_csv
from xiqa.experiments.tables import Cell, ResultTable
from xiqa.saliency.method import Method
from xiqa.scoring.intervals import Interval

ROOT = Path(__file__).parents[2]


def table(
    cells: dict[tuple[tuple[str, ...], tuple[str, ...]], float], keys=("state", "method")
) -> ResultTable:
    return ResultTable(
        name="ours",
        title="Ours",
        keys=keys,
        rows=list(dict.fromkeys(row for row, _ in cells)),
        columns=list(dict.fromkeys(column for _, column in cells)),
        images=70,
        cells={key: Cell(Interval(value, value - 0.1, value + 0.05, 70, 51)) for key, value in cells.items()},
    )


def test_papers_are_in_the_bibliography_and_methods_are_ours():
    bibliography = (ROOT / "docs" / "references.bib").read_text(encoding="utf-8")
    numbers = printed_numbers()
    assert len(numbers) == 229
    assert len(set(numbers)) == len(numbers)
    for number in numbers:
        assert f"{{{number.paper}," in bibliography
        assert number.method == "" or str(Method.parse(number.method)) == number.method
        assert 0 <= number.value <= 1


def test_the_difference_of_means_follows_from_the_printed_means():
    found = [gap for key in "56" for gap in mean_differences(find_printed(f"ozer2025consistent:{key}"))]
    assert len(found) == 20
    for gap in found:
        assert abs(gap.difference) == pytest.approx(gap.printed, abs=0.0015)
    assert any(gap.difference < 0 for gap in found)
    assert any(gap.difference > 0 for gap in found)


def test_a_gap_s_noise_is_the_root_of_the_sum_of_squares():
    gap = next(g for g in mean_differences(find_printed("ozer2025consistent:6")) if g.method == "gradcam")
    assert (gap.difference, gap.noise) == pytest.approx((0.545 - 0.771, math.sqrt(0.02**2 + 0.005**2)))
    assert gap.exceeds
    (small,) = (g for g in mean_differences(find_printed("ozer2025consistent:5")) if g.method == "gradcam")
    assert not small.exceeds


def test_trained_and_randomised_are_compared_method_by_method():
    found = gaps(find_printed("ozer2025consistent:3"), "trained", "fully randomised")
    assert {gap.method: gap.exceeds for gap in found}["inputxgradient"] is False
    assert {gap.method: gap.exceeds for gap in found}["gradcam"] is True
    assert len(found) == 10
    assert next(g for g in found if g.method == "gradcam").difference == pytest.approx(0.547 - 0.008)


@pytest.mark.parametrize(
    ("values", "n", "fits"),
    [
        ([0.5], 2, True),
        ([0.5], 3, False),
        ([0.333, 0.667], 3, True),
        ([0.334], 3, False),
        ([1.0, 0.0], 1, True),
    ],
)
def test_shares_of_n_images(values, n, fits):
    assert counts_that_fit(values, n) is fits
    slow = all(any(round(k / n, 3) == value for k in range(n + 1)) for value in values)
    assert slow is fits


def test_the_radiographs_of_table_2_can_be_five_hundred():
    values = [n.value for n in find_printed("ozer2025consistent:2:object-cxr")]
    assert smallest_counts(values)[0] == 500
    assert smallest_counts([0.25, 0.5], most=8) == [4, 8]


def test_names_of_cells_that_contradict_the_words_do_not_fit():
    numbers = find_printed("ozer2025consistent:2:object-cxr")
    smoothed = next(n for n in numbers if n.method == "gradcam" and n.condition == "smoothed")
    assert smoothed.fits(("PG thorax", "1.0"), ("trained", "gradcam"))
    assert not smoothed.fits(("PG thorax", "0.0"), ("trained", "gradcam"))
    assert not smoothed.fits(("PG thorax", "1.0"), ("full", "gradcam"))
    assert not smoothed.fits(("energy", "1.0"), ("trained", "gradcam"))
    assert not smoothed.fits(("PG thorax", "DoM"), ("trained", "gradcam"))


def test_ours_printed_and_the_difference_stand_side_by_side():
    ours = table(
        {
            (("trained", "gradcam"), ("PG thorax", "0.0")): 0.9,
            (("trained", "gradcam"), ("PG thorax", "1.0")): 0.8,
            (("full", "gradcam"), ("PG thorax", "1.0")): 0.3,
            (("trained", "gradcam"), ("PG compact", "1.0")): 0.7,
            (("trained", "layercam"), ("PG thorax", "1.0")): 0.6,
        }
    )
    both = beside(ours, find_printed("ozer2025consistent:2:object-cxr"), "ozer2025consistent:2:object-cxr")
    row = ("trained", "gradcam")
    assert both.rows == [row]
    group = ("object-cxr", "resnet34", "smoothed")
    assert both.cells[row, ("printed", *group)].interval.value == 0.546
    gap = both.cells[row, ("PG thorax", "1.0", "less printed", *group)].interval
    assert (gap.value, gap.low, gap.high) == pytest.approx((0.8 - 0.546, 0.7 - 0.546, 0.85 - 0.546))
    assert gap.images == 70
    assert not any("PG compact" in column for column in both.columns)
    assert len(both.columns) == 6  # ours, theirs and the difference, without and with smoothing


def test_nothing_in_common_is_told():
    ours = table({(("trained", "layercam"), ("PG thorax", "1.0")): 0.6})
    with pytest.raises(ConfigError, match="nothing in common"):
        beside(ours, find_printed("ozer2025consistent:3"), "ozer2025consistent:3")
    verdicts = table({(("trained",), ("AUC",)): 0.9}, keys=("state",))
    with pytest.raises(ConfigError, match="no methods"):
        beside(verdicts, find_printed("ozer2025consistent:3"), "ozer2025consistent:3")
    with pytest.raises(ConfigError, match="ozer2021explainable:2"):
        find_printed("ozer2025consistent:9")


def test_a_table_comes_back_from_its_file(tmp_path):
    ours = table(
        {(("trained", "gradcam"), ("PG thorax", "0.0")): 0.9, (("full", "fem"), ("PG thorax", "0.0")): 0.2}
    )
    path = tmp_path / "ours.csv"
    path.write_text(to_csv(ours), encoding="utf-8")
    read = read_table(path)
    assert (read.keys, read.rows, read.columns, read.images) == (ours.keys, ours.rows, ours.columns, 70)
    for key, cell in ours.cells.items():
        again, interval = read.cells[key].interval, cell.interval
        assert (again.value, again.low, again.high) == pytest.approx(
            (interval.value, interval.low, interval.high)
        )
        assert again.patients == 51
    path.write_text("a,b\n1,2\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="no table of a run"):
        read_table(path)


def test_the_command_lists_shows_and_writes(tmp_path):
    import typer

    from xiqa.cli import printed

    app = typer.Typer()
    app.command()(printed.command)
    run = CliRunner().invoke
    assert "ozer2025consistent:5" in run(app, []).output
    assert "0.547" in run(app, ["ozer2025consistent:5:lvot"]).output
    ours = ROOT / "docs" / "results" / "smoothing" / "pointing-game.csv"
    arguments = ["ozer2025consistent:2:object-cxr", "--beside", str(ours), "--out", str(tmp_path)]
    assert run(app, arguments).exit_code == 0
    (written,) = tmp_path.glob("*.csv")
    with written.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["column"].startswith("printed")]
    assert {float(row["value"]) for row in rows if row["method"] == "gradcam"} == {0.572, 0.546}


def test_the_pages_are_as_the_script_writes_them():
    made = runpy.run_path(str(ROOT / "docs" / "make_printed.py"))["pages"]()
    assert len(made) == 7
    for page, text in made.items():
        assert page.read_text(encoding="utf-8") == text, f"{page.name}: run python docs/make_printed.py"
