"""Series and files of several frames: a row an image and one for the series, never a silent first frame."""

import csv
import math

import nibabel
import numpy as np
import pytest

import xiqa
from tests.imaging.dicom_files import write
from tests.test_assessment import BrightSpot, make_card
from xiqa.assessment import assess
from xiqa.assessment.loading import as_runtime
from xiqa.assessment.reading import SeriesFrames
from xiqa.assessment.series import series_row
from xiqa.errors import Code, ConfigError
from xiqa.imaging import find_series
from xiqa.models.bundle import LoadedModel
from xiqa.report.folder import ResultsFolder
from xiqa.report.rows import csv_bytes, worst_first
from xiqa.types import WHOLE, Assessment, ImageRef, Source, Verdict

POOR = (4, 11)
SIZE = (64, 96)


@pytest.fixture(scope="module")
def model():
    return LoadedModel(BrightSpot().eval(), make_card())


def frames(count=18, poor=POOR):
    """Dull frames, some with a bright square whose place tells which one it is."""
    pixels = np.full((count, *SIZE), 60, np.uint8)
    for place in poor:
        pixels[place, 20:34, 5 * place : 5 * place + 14] = 250
    return pixels


def cine(path, pixels=None):
    return write(
        path,
        frames() if pixels is None else pixels,
        kind="enhanced",
        WindowCenter=128,
        WindowWidth=256,
    )


def slices(folder, pixels, names=None):
    """A classic series whose names run against its positions."""
    folder.mkdir()
    for place, values in enumerate(pixels):
        write(
            folder / f"{len(pixels) - place:03}.dcm",
            values,
            kind="MR",
            SeriesInstanceUID="1.2.3.4",
            InstanceNumber=place + 1,
            ImagePositionPatient=[0, 0, 2.5 * place],
            ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
            WindowCenter=128,
            WindowWidth=256,
        )
    return find_series(sorted(folder.iterdir()))[0]


def check_rows(rows, poor=POOR, count=18):
    """One row an image in its order, and the series' behind them."""
    *images, series = rows
    assert len(images) == count
    assert [row.source.place for row in images] == list(range(count))
    assert all(row.series is None and row.source.series == series.source.series != "" for row in images)
    verdicts = [Verdict.REACQUIRE if place in poor else Verdict.ACCEPT for place in range(count)]
    assert [row.verdict for row in images] == verdicts
    assert series.series.poor == poor
    assert series.series.worst in poor
    assert series.series.scores == tuple(row.probability for row in images)
    assert series.verdict is Verdict.REACQUIRE
    assert series.series.poor_share == pytest.approx(len(poor) / count)
    worst = images[series.series.worst]
    assert series.findings == worst.findings
    assert (series.source.path, series.source.frame) == (worst.source.path, worst.source.frame)
    return images, series


@pytest.mark.parametrize("batch_size", [1, 4, 18, 40])
def test_18_frames_give_18_rows_and_one(model, tmp_path, batch_size):
    rows = assess(model, cine(tmp_path / "cine.dcm"), batch_size=batch_size)
    images, series = check_rows(rows)
    assert [row.source.frame for row in images] == list(range(18))
    assert series.frame == WHOLE
    assert len({row.key for row in rows}) == 19
    assert images[4].findings[0].peak.x == pytest.approx(5 * 4 + 6.5, abs=7)
    assert images[11].findings[0].peak.x == pytest.approx(5 * 11 + 6.5, abs=7)
    assert series.reason.startswith("2 of 18 images are poor (5, 12); the verdict is that of image")


def test_a_volume_over_time_gives_a_row_a_slice_and_time(model, tmp_path):
    volume = frames().reshape(6, 3, *SIZE).transpose(3, 2, 1, 0)  # columns, rows, slices, times
    path = tmp_path / "cine.nii.gz"
    image = nibabel.Nifti1Image(volume, np.diag([1.5, 1.5, 8, 1]))
    image.header["cal_max"] = 255
    nibabel.save(image, path)
    _, series = check_rows(assess(model, path))
    assert series.source.notes == ("3 slices at 6 times: all slices of a time, then the next",)


def test_a_series_of_files_is_assessed_in_the_order_of_positions(model, tmp_path):
    images, series = check_rows(assess(model, slices(tmp_path / "series", frames())))
    assert [row.file[-7:] for row in images] == [f"{18 - place:03}.dcm" for place in range(18)]
    assert series.file == images[0].file
    assert series.source.identifiers["SOPInstanceUID"] != ""


def test_images_around_a_series_are_their_own(model, tmp_path):
    pixels = frames(2, (1,))
    alone = write(tmp_path / "a.dcm", pixels[1], WindowCenter=128, WindowWidth=256)
    cines = [cine(tmp_path / f"{name}.dcm", frames(3, (0,))) for name in "bc"]
    rows = assess(model, [alone, cines[0], alone, cines[1]], batch_size=2)
    assert [row.series is not None for row in rows] == [False] * 4 + [True] + [False] * 4 + [True]
    assert [row.source.series == "" for row in rows] == [True, *[False] * 4] * 2
    assert rows[4].source.series != rows[9].source.series


@pytest.mark.parametrize(
    ("choice", "places"),
    [("first", (0,)), ("middle", (9,)), ("every:4", (0, 4, 8, 12, 16)), ("all", tuple(range(18)))],
)
def test_the_choice_of_frames_is_told(model, tmp_path, choice, places):
    *images, series = assess(model, cine(tmp_path / "cine.dcm"), frames=choice)
    assert tuple(row.source.frame for row in images) == series.series.places == places
    assert series.series.total == 18
    assert (f"{18 - len(places)} left out" in " ".join(series.source.notes)) == (choice != "all")
    assert series.verdict is (Verdict.REACQUIRE if set(places) & set(POOR) else Verdict.ACCEPT)


def test_one_frame_is_named_by_a_reference(model, tmp_path):
    (row,) = assess(model, ImageRef(str(cine(tmp_path / "cine.dcm")), 11))
    assert (row.source.frame, row.source.series, row.series) == (11, "", None)
    assert row.verdict is Verdict.REACQUIRE
    (none,) = assess(model, ImageRef(str(tmp_path / "cine.dcm"), 18))
    assert none.code is Code.NO_SUCH_FRAME


def test_every_frame_is_explained(model, tmp_path):
    path = cine(tmp_path / "cine.dcm", frames(5, (1, 3)))
    maps = xiqa.explain(model, path, "gradcam")["gradcam"]
    assert [bool(one.values.max() > 0) for one in maps] == [False, True, False, True, False]


@pytest.mark.parametrize(
    ("tolerance", "verdict"), [(0.0, "reacquire"), (0.1, "reacquire"), (2 / 18, "accept"), (0.5, "accept")]
)
def test_a_tolerance_of_poor_frames(model, tmp_path, tolerance, verdict):
    *_, series = assess(model, cine(tmp_path / "cine.dcm"), tolerance=tolerance)
    assert series.verdict == verdict
    assert series.series.poor == POOR  # told all the same


def test_a_frame_that_is_cut_off_keeps_the_series_from_being_accepted(model, tmp_path):
    path = cine(tmp_path / "cine.dcm", frames(6, ()))
    path.write_bytes(path.read_bytes()[: -SIZE[0] * SIZE[1] - 10])
    (row,) = assess(model, path)  # the file as a whole cannot be trusted
    assert (row.verdict, row.code) == (Verdict.NOT_ASSESSED, Code.TRUNCATED)
    files = slices(tmp_path / "series", frames(4, ()))
    files.paths[2].write_bytes(files.paths[2].read_bytes()[:-100])
    *images, series = assess(model, files)
    assert [row.verdict.value for row in images] == ["accept", "accept", "not_assessed", "accept"]
    assert (series.verdict, series.code) == (Verdict.REVIEW, Code.TRUNCATED)
    assert series.series.unclear == (2,)


@pytest.mark.parametrize("asked", [{"frames": "last"}, {"tolerance": 1.0}, {"tolerance": -0.1}])
def test_what_cannot_be_asked_is_refused_before_anything_is_read(model, asked):
    with pytest.raises(ConfigError):
        assess(model, "no-such-file.dcm", **asked)


def slow_series_verdict(rows, tolerance):
    """By counting: as long as more images than tolerated are at least so bad."""
    most = math.floor(tolerance * len(rows) + 1e-9)
    unread = {Verdict.NOT_ASSESSED}
    if sum(row.verdict is Verdict.REACQUIRE for row in rows) > most:
        return Verdict.REACQUIRE
    if all(row.verdict in unread for row in rows):
        return Verdict.NOT_ASSESSED
    if sum(row.verdict is not Verdict.ACCEPT for row in rows) > most:
        return Verdict.REVIEW
    return Verdict.ACCEPT


def test_the_rule_of_a_series_agrees_with_counting():
    rng = np.random.default_rng(0)
    seen = set()
    for _ in range(300):
        count, tolerance = int(rng.integers(1, 9)), float(rng.choice([0, 0.1, 0.25, 0.34, 0.5]))
        rows = [
            Assessment(
                "a",
                verdict := Verdict(rng.choice([v.value for v in Verdict], p=[0.5, 0.15, 0.15, 0.2])),
                "r",
                Code.GOOD,
                None if verdict is Verdict.NOT_ASSESSED else float(rng.random()),
                source=Source(place=place),
            )
            for place in range(count)
        ]
        series = SeriesFrames("s", count, tuple(range(count)))
        found = series_row(rows, rows[0], series, "all", tolerance).verdict
        assert found is slow_series_verdict(rows, tolerance)
        seen.add(found)
    assert seen == set(Verdict)


# --- what is written


def test_rows_of_a_series_stay_together(model, tmp_path):
    poor = cine(tmp_path / "a.dcm")
    dull = cine(tmp_path / "b.dcm", frames(3, ()))
    rows = worst_first(assess(model, [dull, poor]))
    assert [row.source.series for row in rows] == [rows[0].source.series] * 19 + [rows[-1].source.series] * 4
    assert [row.series is not None for row in rows] == [True, *[False] * 18, True, *[False] * 3]
    assert [row.source.place for row in rows[1:19]] == list(range(18))
    table = list(csv.DictReader(csv_bytes(rows).decode().splitlines()))
    assert (table[0]["row"], table[0]["poor_images"], table[0]["images"]) == ("series", "4 11", "18")
    assert (table[0]["frame"], table[0]["poor_share"]) == ("", "0.1111")
    assert [line["frame"] for line in table[1:19]] == [str(place) for place in range(18)]
    assert {line["row"] for line in table[1:19]} == {"frame"}


def test_a_results_folder_knows_what_is_done_of_a_series(model, tmp_path):
    runtime = as_runtime(model)
    series = slices(tmp_path / "series", frames(4, (2,)))
    path = str(cine(tmp_path / "cine.dcm", frames(3, (0,))))
    settings = {"model_hash": runtime.card.hash, "method": "gradcam", "xiqa": xiqa.__version__}

    def done(folder, **asked):
        return [folder.done(item, **asked) for item in (series, path)]

    with ResultsFolder.open(tmp_path / "out", settings) as folder:
        assert done(folder) == [False, False]
        assess(model, [series, path], on_result=folder.add, keep_maps=False)
        assert done(folder) == [True, True]
        assert done(folder, frames="first") == done(folder, tolerance=0.5) == [False, False]
        assert len(list(folder.results([path]))) == 4
        both = folder.results([path, *map(str, series.paths)])
        assert (len(list(both)), both.images, both.series) == (9, 7, 2)
        assert list(both) == worst_first(both)
        assert sum(both.counts().values()) == len(both.first(9)) == 2
        assert len(list((tmp_path / "out" / "overlays").iterdir())) == 7
        folder.finish()
        changed = series.paths[3]
        changed.write_bytes(changed.read_bytes() + b"\0\0")
        assert done(folder) == [False, True]
    with ResultsFolder.open(tmp_path / "out", settings) as folder:  # the journal says the same
        assert done(folder) == [False, True]
    assert "of 4 is shown, the worst of the series" in (tmp_path / "out" / "report.html").read_text()
