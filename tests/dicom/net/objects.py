"""Small DICOM objects with content that differs from pixel to pixel."""

from io import BytesIO
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ComputedRadiographyImageStorage, ExplicitVRLittleEndian, generate_uid

from xiqa.dicom.net.instance import Instance, part10


def radiograph(uid: str | None = None, *, rows: int = 20, columns: int = 30, seed: int = 0) -> Dataset:
    """A computed radiograph of noise."""
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = ComputedRadiographyImageStorage, uid or generate_uid()
    ds.StudyInstanceUID, ds.SeriesInstanceUID = generate_uid(), generate_uid()
    ds.Modality, ds.BodyPartExamined, ds.ViewPosition = "CR", "CHEST", "PA"
    ds.PatientID, ds.PatientName, ds.PatientBirthDate, ds.PatientSex = "P1", "Phantom^Paula", "19700101", "F"
    ds.StudyDate, ds.StudyTime, ds.StudyID, ds.AccessionNumber = "20260101", "120000", "1", "A1"
    ds.ReferringPhysicianName, ds.SeriesNumber, ds.InstanceNumber = "", 1, 1
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.Rows, ds.Columns = rows, columns
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    rng = np.random.default_rng(seed)
    ds.PixelData = rng.integers(0, 4096, (rows, columns), dtype=np.uint16).tobytes()
    return ds


def encode(ds: Dataset) -> bytes:
    """The data set in Explicit VR Little Endian, without file meta information."""
    buffer = BytesIO()
    ds.save_as(buffer, implicit_vr=False, little_endian=True)
    return buffer.getvalue()


def instance(uid: str | None = None, **choices) -> Instance:
    """The radiograph as it travels."""
    ds = radiograph(uid, **choices)
    return Instance(
        str(ds.SOPClassUID),
        str(ds.SOPInstanceUID),
        str(ExplicitVRLittleEndian),
        encode(ds),
        source="MODALITY",
        called="XIQA",
        address="10.0.0.7",
    )


def write(path: Path, uid: str | None = None, **choices) -> str:
    """The radiograph as a file; its UID."""
    made = instance(uid, **choices)
    path.write_bytes(part10(made) + made.content)
    return made.uid


def with_meta(ds: Dataset) -> Dataset:
    """The data set with what pynetdicom's client wants beside it."""
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return ds
