"""A simulated radiograph as a DICOM object: Digital X-Ray Image, for presentation."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from xiqa.simulation.phantom import Phantom

if TYPE_CHECKING:
    from pydicom import Dataset, FileDataset
    from pydicom.uid import UID

__all__ = ["write_dx"]

# Stored values run over the middle of 12 bits; the window says where.
LOWEST, HIGHEST = 200, 3800
DAY = "20260101"


def write_dx(phantom: Phantom, path: Path) -> None:
    """Write a simulated radiograph as a 12-bit DICOM DX file.

    The patient's name says that it is simulated, and every UID follows from the seed. Bedside radiographs are
    stored as MONOCHROME1 and images of the stand as MONOCHROME2, as both are met.

    Args:
        phantom: An image with ``seed`` and ``body`` among its parameters.
        path: File to write.
    """
    from pydicom.dataset import FileDataset, FileMetaDataset  # noqa: PLC0415 - DICOM only when asked for
    from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian  # noqa: PLC0415

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = DigitalXRayImageStorageForPresentation
    meta.MediaStorageSOPInstanceUID = _uid(phantom, "instance")
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    ds.SOPClassUID, ds.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    _describe(ds, phantom)
    _acquisition(ds, phantom)
    _pixels(ds, phantom)
    ds.save_as(path, enforce_file_format=True)


def _uid(phantom: Phantom, part: str) -> UID:
    """A UID that the seed, the scenario and the size decide."""
    from pydicom.uid import generate_uid  # noqa: PLC0415

    parts = [
        str(phantom.parameters["seed"]),
        str(phantom.parameters.get("scenario")),
        str(phantom.image.size),
    ]
    parts = parts if part == "instance" else parts[:1]
    return generate_uid(entropy_srcs=["xiqa simulated chest", part, *parts])


def _code(value: str, meaning: str) -> Dataset:
    """A SNOMED CT code."""
    from pydicom import Dataset  # noqa: PLC0415

    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "SCT", meaning
    return item


def _describe(ds: FileDataset, phantom: Phantom) -> None:
    """Patient, study, series and equipment."""
    seed, body = int(phantom.parameters["seed"]), phantom.parameters["body"]
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.PatientName = f"SIMULATED^CHEST {seed:06d}"
    ds.PatientID = f"SIM-{seed:06d}"
    ds.PatientBirthDate = ""
    ds.PatientSex = "F" if body["female"] else "M"
    ds.PatientComments = "Computer simulation, not a person"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = _uid(phantom, "study"), _uid(phantom, "series")
    ds.StudyID, ds.AccessionNumber, ds.ReferringPhysicianName = (
        str(seed % 10**8),
        f"SIM{seed % 10**8:08d}",
        "",
    )
    ds.StudyDate = ds.SeriesDate = ds.ContentDate = ds.AcquisitionDate = DAY
    ds.StudyTime = ds.SeriesTime = ds.ContentTime = ds.AcquisitionTime = "120000"
    ds.StudyDescription = "Simulated chest radiograph"
    ds.SeriesNumber = ds.InstanceNumber = ds.AcquisitionNumber = 1
    ds.Modality, ds.PresentationIntentType = "DX", "FOR PRESENTATION"
    ds.SeriesDescription = "AP portable" if body["portable"] else "PA"
    ds.Manufacturer, ds.ManufacturerModelName = "xiqa", "chest simulator"
    ds.SoftwareVersions, ds.DeviceSerialNumber = "1", "0"


def _acquisition(ds: FileDataset, phantom: Phantom) -> None:
    """Anatomy, view and detector."""
    from pydicom.sequence import Sequence  # noqa: PLC0415

    portable = bool(phantom.parameters["body"]["portable"])
    ds.ImageType = ["DERIVED", "PRIMARY", ""]
    ds.DerivationDescription = "Simulated; shows no person"
    ds.BodyPartExamined, ds.ViewPosition = "CHEST", "AP" if portable else "PA"
    ds.PatientOrientation = ["L", "F"]
    ds.ImageLaterality = "U"
    ds.AnatomicRegionSequence = Sequence([_code("51185008", "Chest")])
    view = _code("399348003", "antero-posterior") if portable else _code("272479007", "postero-anterior")
    view.ViewModifierCodeSequence = Sequence([])
    ds.ViewCodeSequence = Sequence([view])
    ds.AcquisitionContextSequence = Sequence([])
    ds.DetectorType, ds.KVP = "SCINTILLATOR", "90" if portable else "120"
    ds.PositionerType = "NONE" if portable else "COLUMN"
    ds.DistanceSourceToDetector = "1000" if portable else "1800"
    spacing = phantom.image.spacing or (1.0, 1.0)
    ds.ImagerPixelSpacing = ds.PixelSpacing = [f"{value:.6g}" for value in spacing]
    ds.PixelSpacingCalibrationType = "GEOMETRY"
    ds.PixelSpacingCalibrationDescription = "Exact by construction"
    marked = any(annotation.kind == "marker" for annotation in phantom.annotations)
    ds.BurnedInAnnotation = "YES" if marked else "NO"
    ds.LossyImageCompression = "00"


def _pixels(ds: FileDataset, phantom: Phantom) -> None:
    """The samples and the way to show them."""
    inverse = bool(phantom.parameters["body"]["portable"])
    grey = np.clip(phantom.image.pixels.astype(np.float64), 0, 1)
    stored = np.rint(LOWEST + (1 - grey if inverse else grey) * (HIGHEST - LOWEST)).astype("<u2")
    ds.PhotometricInterpretation = "MONOCHROME1" if inverse else "MONOCHROME2"
    ds.PresentationLUTShape = "INVERSE" if inverse else "IDENTITY"
    # a high stored value means many photons under MONOCHROME1, few under MONOCHROME2
    ds.PixelIntensityRelationship, ds.PixelIntensityRelationshipSign = "LOG", 1 if inverse else -1
    ds.SamplesPerPixel, (ds.Rows, ds.Columns) = 1, stored.shape
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = "0", "1", "US"
    # the standard's linear window maps [c - 0.5 - (w - 1)/2, c - 0.5 + (w - 1)/2] to the full range
    ds.WindowCenter, ds.WindowWidth = f"{(LOWEST + HIGHEST) / 2 + 0.5:g}", f"{HIGHEST - LOWEST + 1:g}"
    ds.VOILUTFunction = "LINEAR"
    ds.PixelData = stored.tobytes()
    ds["PixelData"].VR = "OW"
