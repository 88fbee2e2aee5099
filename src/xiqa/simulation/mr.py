"""A simulated cine as DICOM MR images or as a NIfTI volume."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from xiqa.simulation.phantom import Phantom
from xiqa.types import MaskArray

if TYPE_CHECKING:
    from pydicom.uid import UID

__all__ = ["CinePlace", "write_mr", "write_nifti", "write_nifti_mask"]

# Twelve bits; the window shows them all.
HIGHEST = 4095
DAY = "20260101"
THICKNESS, BEAT = 8.0, 900.0  # mm; ms from one R wave to the next


class CinePlace(NamedTuple):
    """Where a frame belongs: the series of its patient, its number in it (from 0), how many there are."""

    series: int
    frame: int
    frames: int


def write_mr(phantom: Phantom, path: Path, place: CinePlace) -> None:
    """Write one frame as a DICOM MR image of 12 bits.

    The patient's name says that it is simulated. All frames of a patient share a study, those of a cine a
    series, and every UID follows from the seed. The orientation is that of an axial slice, tilted as the
    phantom's plane is.

    Args:
        phantom: A slice of `simulate_cardiac`.
        path: File to write.
        place: Where the frame belongs.
    """
    from pydicom.dataset import FileDataset, FileMetaDataset  # noqa: PLC0415 - DICOM only when asked for
    from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage  # noqa: PLC0415

    seed, tilt = int(phantom.parameters["seed"]), np.deg2rad(phantom.parameters["tilt"])
    size, (row_mm, column_mm) = phantom.image.size, phantom.image.spacing or (1.0, 1.0)
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = MRImageStorage
    meta.MediaStorageSOPInstanceUID = _uid(seed, "instance", *place, size)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    ds.SOPClassUID, ds.SOPInstanceUID = MRImageStorage, meta.MediaStorageSOPInstanceUID
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.PatientName, ds.PatientID = f"SIMULATED^HEART {seed:06d}", f"SIM-{seed:06d}"
    ds.PatientBirthDate = ds.PatientSex = ds.ReferringPhysicianName = ""
    ds.PatientComments = "Computer simulation, not a person"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = _uid(seed, "study"), _uid(seed, "series", place.series, size)
    ds.FrameOfReferenceUID, ds.PositionReferenceIndicator = _uid(seed, "frame of reference"), ""
    ds.StudyID, ds.AccessionNumber = str(seed % 10**8), f"SIM{seed % 10**8:08d}"
    ds.StudyDate = ds.SeriesDate = ds.ContentDate = DAY
    ds.StudyTime = ds.SeriesTime = ds.ContentTime = "120000"
    ds.SeriesNumber, ds.InstanceNumber, ds.AcquisitionNumber = place.series + 1, place.frame + 1, 1
    ds.Modality, ds.StudyDescription, ds.SeriesDescription = "MR", "Simulated heart", "Long axis cine"
    ds.Manufacturer, ds.ManufacturerModelName = "xiqa", "cardiac simulator"
    ds.SoftwareVersions, ds.DeviceSerialNumber = "1", "0"
    ds.ImageType, ds.DerivationDescription = ["DERIVED", "PRIMARY", "M"], "Simulated; shows no person"
    ds.BodyPartExamined, ds.PatientPosition, ds.Laterality = "HEART", "HFS", ""
    ds.ScanningSequence, ds.SequenceVariant, ds.ScanOptions = "GR", ["SK", "SS"], ""
    ds.MRAcquisitionType, ds.MagneticFieldStrength, ds.ImagingFrequency = "2D", "1.5", "63.87"
    ds.RepetitionTime, ds.EchoTime, ds.EchoTrainLength, ds.FlipAngle = "3", "1.5", 1, "60"
    ds.SliceThickness, ds.PixelSpacing = f"{THICKNESS:g}", [f"{row_mm:.6g}", f"{column_mm:.6g}"]
    ds.ImageOrientationPatient = ["1", "0", "0", "0", f"{np.cos(tilt):.6f}", f"{-np.sin(tilt):.6f}"]
    corner = -(size[1] - 1) / 2 * column_mm, -(size[0] - 1) / 2 * row_mm
    ds.ImagePositionPatient = [
        f"{value:.4f}" for value in (corner[0], corner[1] * np.cos(tilt), -corner[1] * np.sin(tilt))
    ]
    ds.NominalInterval, ds.CardiacNumberOfImages = f"{BEAT:g}", place.frames
    ds.TriggerTime = f"{float(phantom.parameters['phase']) * BEAT:.3f}"
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.Rows, ds.Columns = size
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    # the standard's linear window maps [c - 0.5 - (w - 1)/2, c - 0.5 + (w - 1)/2] to the full range
    ds.WindowCenter, ds.WindowWidth = f"{HIGHEST / 2 + 0.5:g}", f"{HIGHEST + 1:g}"
    ds.LossyImageCompression = "00"
    ds.PixelData = _stored(phantom).astype("<u2").tobytes()
    ds["PixelData"].VR = "OW"
    ds.save_as(path, enforce_file_format=True)


def write_nifti(frames: Sequence[Phantom], path: Path) -> None:
    """Write the frames of one cine as a volume (columns, rows, 1, frames), gzipped.

    Args:
        frames: Slices of one plane in one patient, in the order of time.
        path: File to write, ``.nii.gz``.
    """
    volume = np.stack([_stored(frame).T for frame in frames], axis=-1)[:, :, None]
    _save(volume.astype(np.int16), frames[0], path, HIGHEST, len(frames))


def write_nifti_mask(masks: Sequence[MaskArray], like: Phantom, path: Path) -> None:
    """Write the frames' masks as a volume on the grid of the cine."""
    volume = np.stack([mask.T for mask in masks], axis=-1)[:, :, None]
    _save(volume.astype(np.uint8), like, path, 1, len(masks))


def _save(volume: np.ndarray, like: Phantom, path: Path, highest: int, frames: int) -> None:
    """Write a volume whose rows run to the patient's left and whose columns run to the back."""
    import nibabel  # noqa: PLC0415 - only when asked for

    row, column = like.image.spacing or (1.0, 1.0)
    image = nibabel.Nifti1Image(volume, np.diag([-column, -row, THICKNESS, 1.0]))
    image.header.set_zooms((column, row, THICKNESS, BEAT / 1000 / frames))
    image.header.set_xyzt_units("mm", "sec")
    image.header["cal_max"] = highest
    image.header["descrip"] = b"simulated; shows no person"
    nibabel.save(image, path)


def _stored(phantom: Phantom) -> np.ndarray:
    """Grey values as integers of 12 bits."""
    return np.rint(np.clip(phantom.image.pixels.astype(np.float64), 0, 1) * HIGHEST)


def _uid(seed: int, *parts: object) -> UID:
    """A UID that the seed and a few words decide."""
    from pydicom.uid import generate_uid  # noqa: PLC0415

    return generate_uid(entropy_srcs=["xiqa simulated heart", str(seed), *map(str, parts)])
