"""Folders of simulated images: PNG and DICOM, tables, masks."""

import csv

import numpy as np
import pydicom
import pytest
from PIL import Image as Pillow
from pydicom.pixels import apply_voi_lut
from typer.testing import CliRunner

from xiqa.cli.simulate import app
from xiqa.datasets.foreign_objects import read_foreign_objects
from xiqa.datasets.object_cxr import parse_annotation
from xiqa.errors import DatasetError
from xiqa.simulation.chest import simulate_chest
from xiqa.simulation.dx import write_dx
from xiqa.simulation.folder import split_of
from xiqa.simulation.write import PhantomFolder

SMALL = (128, 160)
SEEDS = (0, 1, 2, 3, 8)


@pytest.fixture(scope="module")
def phantoms():
    return [simulate_chest(seed, size=SMALL) for seed in SEEDS]


def rows(path):
    with path.open(newline="") as lines:
        return list(csv.DictReader(lines))


def test_png_folder_is_read_by_the_reader_of_real_images(phantoms, tmp_path):
    with PhantomFolder(tmp_path / "set", masks=True) as folder:
        paths = [folder.add(phantom) for phantom in phantoms]
    samples = read_foreign_objects(tmp_path / "set")
    assert [s.path for s in samples] == paths
    assert [s.label for s in samples] == [p.label for p in phantoms]
    assert [s.split for s in samples] == [split_of(seed) for seed in SEEDS]
    for sample, phantom in zip(samples, phantoms, strict=True):
        told = [(a.box, a.kind, a.problem, a.groups) for a in sample.annotations]
        assert told == [(a.box, a.kind, a.problem, a.groups) for a in phantom.annotations]
        grey = np.asarray(Pillow.open(sample.path), np.float32) / 255
        assert np.abs(grey - phantom.image.pixels).max() <= 0.5 / 255 + 1e-6


def test_annotations_are_in_object_cxr_layout(phantoms, tmp_path):
    with PhantomFolder(tmp_path / "set") as folder:
        for phantom in phantoms:
            folder.add(phantom)
    for row, phantom in zip(rows(tmp_path / "set" / "annotations.csv"), phantoms, strict=True):
        boxes = [a.box for a in parse_annotation(row["annotation"])]
        assert boxes == [a.box for a in phantom.annotations if a.problem]
        assert bool(boxes) == phantom.label


def test_masks_are_written_exactly(phantoms, tmp_path):
    with PhantomFolder(tmp_path / "set", masks=True) as folder:
        path = folder.add(phantoms[0])
    masks = tmp_path / "set" / "masks"
    assert np.array_equal(np.asarray(Pillow.open(masks / f"{path.stem}_lungs.png")), phantoms[0].lung_mask)
    objects = sorted(masks.glob(f"{path.stem}_[0-9]*.png"))
    assert len(objects) == len(phantoms[0].annotations)
    for file, annotation in zip(objects, phantoms[0].annotations, strict=True):
        assert np.array_equal(np.asarray(Pillow.open(file)), annotation.mask)


def test_dicom_shows_the_image(phantoms, tmp_path):
    """Through its window and photometric interpretation the file gives the image's grey values."""
    interpretations = set()
    for phantom in phantoms:
        path = tmp_path / f"{phantom.parameters['seed']}.dcm"
        write_dx(phantom, path)
        ds = pydicom.dcmread(path)
        shown = apply_voi_lut(ds.pixel_array, ds).astype(float) / (2**ds.BitsStored - 1)
        shown = 1 - shown if ds.PhotometricInterpretation == "MONOCHROME1" else shown
        interpretations.add(ds.PhotometricInterpretation)
        assert np.abs(shown - phantom.image.pixels).max() < 1 / 3600
        assert ds.pixel_array.max() < 4096
        assert "SIMULATED" in str(ds.PatientName)
        assert [float(v) for v in ds.PixelSpacing] == pytest.approx(phantom.image.spacing, rel=1e-4)
    assert interpretations == {"MONOCHROME1", "MONOCHROME2"}


def test_dicom_is_read_as_display_order(phantoms, tmp_path):
    from xiqa.imaging import read_image

    path = tmp_path / "image.dcm"
    for phantom in phantoms[:3]:
        write_dx(phantom, path)
        image = read_image(path)
        assert np.abs(image.pixels - phantom.image.pixels).max() < 1 / 1000
        assert image.bits == 12
        assert image.modality == "DX"
        assert image.spacing == pytest.approx(phantom.image.spacing, rel=1e-4)


def test_dicom_has_what_its_class_requires(phantoms, tmp_path):
    """The mandatory modules of DX for presentation have no empty type 1 attribute."""
    path = tmp_path / "image.dcm"
    write_dx(phantoms[0], path)
    ds = pydicom.dcmread(path)
    assert ds.file_meta.MediaStorageSOPInstanceUID == ds.SOPInstanceUID
    required = """
        SOPClassUID SOPInstanceUID StudyInstanceUID SeriesInstanceUID Modality
        PresentationIntentType ImageType SamplesPerPixel PhotometricInterpretation Rows Columns
        BitsAllocated BitsStored HighBit PixelRepresentation PixelIntensityRelationship
        PixelIntensityRelationshipSign RescaleIntercept RescaleSlope RescaleType
        PresentationLUTShape LossyImageCompression BurnedInAnnotation DetectorType
        ImagerPixelSpacing PatientOrientation ImageLaterality AnatomicRegionSequence WindowCenter
        WindowWidth PixelData
    """
    for keyword in required.split():
        assert ds.get(keyword) not in (None, ""), keyword
    assert "AcquisitionContextSequence" in ds
    assert "PositionerType" in ds
    assert all(len(str(element.value)) <= 64 for element in ds if element.VR == "UI")


def test_identifiers_follow_from_the_seed(phantoms, tmp_path):
    uids = []
    for name, phantom in (("a", phantoms[0]), ("b", phantoms[0]), ("c", phantoms[1])):
        write_dx(phantom, tmp_path / name)
        uids.append(pydicom.dcmread(tmp_path / name, stop_before_pixels=True).SOPInstanceUID)
    assert uids[0] == uids[1] != uids[2]
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_folder_is_not_overwritten_by_accident(phantoms, tmp_path):
    with PhantomFolder(tmp_path / "set") as folder:
        folder.add(phantoms[0])
        with pytest.raises(DatasetError, match="two images"):
            folder.add(phantoms[0])
    with pytest.raises(DatasetError, match="not empty"):
        PhantomFolder(tmp_path / "set")
    with PhantomFolder(tmp_path / "set", force=True) as folder:
        folder.add(phantoms[1])
    assert len(list((tmp_path / "set" / "images").iterdir())) == 1


def test_force_does_not_clear_what_is_not_simulated(tmp_path):
    (tmp_path / "images").mkdir()
    precious = tmp_path / "images" / "patient.png"
    precious.write_bytes(b"real")
    with pytest.raises(DatasetError, match="does not hold simulated"):
        PhantomFolder(tmp_path, force=True)
    assert precious.exists()
    with pytest.raises(DatasetError, match="a file"):
        PhantomFolder(precious)


def test_tables_tell_what_was_done_before_an_error(phantoms, tmp_path):
    def stopped():
        with PhantomFolder(tmp_path / "set") as folder:
            folder.add(phantoms[0])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert len(rows(tmp_path / "set" / "images.csv")) == 1


@pytest.mark.parametrize("options", [[], ["--dicom"], ["--masks", "--objects", "one", "--place", "lung"]])
def test_command(tmp_path, options):
    out = tmp_path / "images"
    arguments = ["chest", "--count", "2", "--seed", "4", "--size", "96", "--out", str(out), *options]
    done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert done.exit_code == 0
    assert "2 images" in done.output
    assert len(list((out / "images").iterdir())) == 2
    assert (out / "contact_sheet.png").stat().st_size > 1000
    if "one" in options:
        assert {row["label"] for row in rows(out / "images.csv")} == {"foreign"}
        assert any((out / "masks").iterdir())
    assert isinstance(CliRunner().invoke(app, arguments).exception, DatasetError)
