"""A box is the same pixels in report, structured report, presentation state and picture.

The image is what goes wrong first: not square, MONOCHROME1, with a VOI LUT in place of a window, and
letterboxed on its way through the network.
"""

import subprocess

import numpy as np
import pytest
from PIL import Image as Pillow

from tests.dicom.sources import MADE, assessment, pattern, pixels, source, voi_lut
from tests.dicom.tools import program, saved
from xiqa.assessment.places import locate
from xiqa.dicom import results
from xiqa.dicom.coordinates import box_of
from xiqa.dicom.read import read_report
from xiqa.geometry import Frame
from xiqa.imaging import read_image
from xiqa.report.overlay import DARK, LIGHT
from xiqa.types import SaliencyMap

ROWS, COLUMNS = 300, 180
#: The object: columns 120 to 149, rows 60 to 79.
OBJECT = np.s_[60:80, 120:150]


@pytest.fixture(scope="module")
def image_path(tmp_path_factory):
    values = pattern(ROWS, COLUMNS) // 8 + 100
    values[OBJECT] = 3500
    ds = source("DX", PhotometricInterpretation="MONOCHROME1", WindowCenter=None, WindowWidth=None)
    pixels(ds, values)
    ds.PhotometricInterpretation = "MONOCHROME1"
    # an S, so that no window could stand for it
    entries = (4095 / (1 + np.exp(-(np.arange(4096) - 1500) / 400))).astype(np.uint16)
    voi_lut(ds, entries)
    return saved(ds, tmp_path_factory.mktemp("source") / "image.dcm"), ds


@pytest.fixture(scope="module")
def case(image_path):
    """An assessment whose map is high where the model's grid shows the object."""
    path, ds = image_path
    image = read_image(path)
    frame = Frame.letterbox(image.size, (256, 256))
    shown = frame.image_to_model(1 - image.pixels, fill=0.0)
    assert frame.window.x0 > 0, "the image is not letterboxed"
    objects = np.zeros(image.size, np.float32)
    objects[OBJECT] = 1
    saliency = SaliencyMap(
        frame.map_to_model(objects) + 1e-3 * shown, "gradcam", 1, input_size=(256, 256), frame=frame
    )
    findings = locate(saliency, image)[:1]
    assessed = assessment(findings=findings, size=image.size, saliency=saliency)
    return image, assessed, results(assessed, ds, image=image, made=MADE)


def test_the_assessment_finds_the_object(case):
    _, assessed, _ = case
    np.testing.assert_allclose(assessed.findings[0].box, (120, 60, 149, 79), atol=1.0)


def test_the_structured_report_has_that_box(case):
    _, assessed, objects = case
    (region,) = read_report(objects["sr"]).regions
    np.testing.assert_allclose(region.box, assessed.findings[0].box, atol=1e-4)


def test_the_presentation_state_has_that_box_and_peak(case):
    _, assessed, objects = case
    polyline, peak = objects["pr"].GraphicAnnotationSequence[0].GraphicObjectSequence
    corners = np.array(polyline.GraphicData).reshape(-1, 2)
    np.testing.assert_allclose(box_of(corners), assessed.findings[0].box, atol=1e-4)
    np.testing.assert_allclose(np.array(peak.GraphicData) - 0.5, assessed.findings[0].peak, atol=1e-4)
    assert {item.GraphicAnnotationUnits for item in (polyline, peak)} == {"PIXEL"}


def test_the_report_has_that_box(case):
    _, assessed, _ = case
    np.testing.assert_allclose(assessed.to_dict()["findings"][0]["box"], assessed.findings[0].box, atol=0.005)


def test_the_picture_draws_that_box(case):
    """The light line runs in the pixels next to the box, inside a dark one."""
    _, assessed, objects = case
    shown = objects["sc"].pixel_array[:ROWS, :COLUMNS]
    light = (shown == LIGHT).all(axis=2)
    x0, y0, x1, y1 = np.round(assessed.findings[0].box).astype(int)
    assert light[y0 - 1, x0 : x1 + 1].all()
    assert light[y1 + 1, x0 : x1 + 1].all()
    assert light[y0 : y1 + 1, x0 - 1].all()
    assert light[y0 : y1 + 1, x1 + 1].all()
    dark = (shown == DARK).all(axis=2)
    assert dark[y0 - 2, x0 + 9 : x1 + 1].all()
    assert dark[y1 + 2, x0 : x1 + 1].all()
    assert dark[y0 + 9 : y1 + 1, x0 - 2].all()
    assert dark[y0 : y1 + 1, x1 + 2].all()


def test_a_viewer_shows_what_was_assessed(case, image_path, tmp_path):
    """dcmtk renders the image by the presentation state as xiqa displays it."""
    image, _, objects = case
    path, _ = image_path
    state, picture = saved(objects["pr"], tmp_path / "pr.dcm"), tmp_path / "shown.pgm"
    command = [program("dcmp2pgm", "dcmtk"), "-p", state, path, picture]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    shown = np.asarray(Pillow.open(picture), dtype=np.float64) / 255
    assert shown.shape == image.size
    assert np.ptp(image.pixels) > 0.9
    np.testing.assert_allclose(shown, image.pixels, atol=1.5 / 255)
