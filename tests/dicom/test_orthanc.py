"""Results in a real archive: stored, found, fetched as they were sent, and shown."""

import io

import numpy as np
import pytest
from PIL import Image as Pillow
from pydicom import dcmread
from pynetdicom.dsutils import encode

from tests.dicom.sources import MADE, assessment, source
from tests.dicom.tools import program
from tests.service.orthanc import orthanc
from xiqa.dicom import results
from xiqa.dicom.objects.secondary_capture import LONG_SIDE
from xiqa.dicom.send import Destination, send

pytestmark = pytest.mark.long
KINDS = ("sc", "sr", "pr", "ko", "seg", "pm")


@pytest.fixture(scope="module")
def made():
    return results(assessment(), source("MR"), kinds=KINDS, made=MADE)


@pytest.fixture(scope="module")
def archive(tmp_path_factory, made):
    """An archive that holds the source image and its results."""
    program("Orthanc", "orthanc orthanc-dicomweb")
    with orthanc(tmp_path_factory.mktemp("orthanc")) as server:
        to = Destination("ORTHANC", "127.0.0.1", server.dicom)
        deliveries = send([source("MR"), *made.values()], to)
        assert [delivery.status for delivery in deliveries] == [0] * 7
        yield server


def fetched(archive, ds):
    (number,) = archive.find(SOPInstanceUID=ds.SOPInstanceUID)
    return number, dcmread(io.BytesIO(archive.raw(f"/instances/{number}/file")))


def test_all_are_found_in_the_study_of_the_image(archive, made):
    rows = archive.qido(StudyInstanceUID=source("MR").StudyInstanceUID)
    assert {row["00080018"]["Value"][0] for row in rows} == {
        source("MR").SOPInstanceUID,
        *(ds.SOPInstanceUID for ds in made.values()),
    }
    assert len(archive.get("/studies")) == len(archive.get("/patients")) == 1
    assert len(archive.get("/series")) == 1 + len(KINDS)


def test_reports_are_found_by_their_modality(archive, made):
    (row,) = archive.qido(Modality="SR")
    assert row["00080018"]["Value"] == [made["sr"].SOPInstanceUID]


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_fetched_is_what_was_sent(archive, made, kind):
    _, back = fetched(archive, made[kind])
    assert encode(back, False, True) == encode(made[kind], False, True)


def test_sent_again_it_is_the_same_object(archive, made):
    before = archive.uids()
    again = results(assessment(), source("MR"), kinds=KINDS, made=MADE)
    deliveries = send(again.values(), Destination("ORTHANC", "127.0.0.1", archive.dicom))
    assert all(delivery.taken for delivery in deliveries)
    assert archive.uids() == before


def test_the_picture_is_shown_as_it_was_drawn(archive, made):
    number, back = fetched(archive, made["sc"])
    shown = np.asarray(Pillow.open(io.BytesIO(archive.raw(f"/instances/{number}/preview"))))
    np.testing.assert_array_equal(shown, made["sc"].pixel_array)
    assert max(back.Rows, back.Columns) <= LONG_SIDE


def test_the_picture_is_rendered_over_the_web(archive, made):
    ds = made["sc"]
    where = f"studies/{ds.StudyInstanceUID}/series/{ds.SeriesInstanceUID}/instances/{ds.SOPInstanceUID}"
    picture = Pillow.open(io.BytesIO(archive.raw(f"/dicom-web/{where}/rendered")))
    assert picture.size == (ds.Columns, ds.Rows)
    np.testing.assert_allclose(
        np.asarray(picture.convert("RGB"), float).mean(), ds.pixel_array.mean(), atol=3
    )
