"""Source images of every modality, with what they must have and with what they may have."""

from datetime import UTC, datetime

import numpy as np
from pydicom import Dataset, uid
from pydicom.dataset import FileMetaDataset

from xiqa.errors import Code
from xiqa.geometry import Box, Frame, Point
from xiqa.types import Assessment, Finding, SaliencyMap, Verdict

ROWS, COLUMNS = 60, 44
MADE = datetime(2026, 3, 4, 5, 6, 7, 890000, tzinfo=UTC)
CLASSES = {
    "CR": uid.ComputedRadiographyImageStorage,
    "DX": uid.DigitalXRayImageStorageForPresentation,
    "MG": uid.DigitalMammographyXRayImageStorageForPresentation,
    "MR": uid.MRImageStorage,
}
FINDINGS = (
    Finding(Point(12, 31), Box(9, 27, 17, 40), 1.0),
    Finding(Point(33, 8), Box(30, 5, 38, 12), 0.6, ties=2),
)


def pattern(rows: int = ROWS, columns: int = COLUMNS, bits: int = 12) -> np.ndarray:
    """Values that no flip or transposition leaves alone."""
    row, column = np.mgrid[:rows, :columns]
    return ((7 * row * row + 31 * column + 3 * row * column) % (1 << bits)).astype("<u2")


def source(modality: str = "DX", *, full: bool = True, **changes) -> Dataset:
    """An image with only what its results need, or with all that they may take over as well."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    ds.SOPClassUID = CLASSES[modality]
    ds.SOPInstanceUID = f"1.2.3.4.{sorted(CLASSES).index(modality) + 1}.5"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = "1.2.3.4", f"1.2.3.4.{sorted(CLASSES).index(modality) + 1}"
    ds.Modality = modality
    ds.PatientName, ds.PatientID = "Doe^Jane", "P-17"
    pixels(ds, pattern())
    if modality == "MR":
        ds.FrameOfReferenceUID = "1.2.3.4.9"
        ds.ImageOrientationPatient, ds.ImagePositionPatient = [1, 0, 0, 0, 1, 0], [-10, -20, 30]
        ds.PixelSpacing, ds.SliceThickness = [1.5, 0.75], 8
    if full:
        optional(ds, modality)
    for keyword, value in changes.items():
        if value is None:
            ds.pop(keyword, None)
        else:
            setattr(ds, keyword, value)
    ds.file_meta.MediaStorageSOPClassUID = ds.get("SOPClassUID")
    ds.file_meta.MediaStorageSOPInstanceUID = ds.get("SOPInstanceUID")
    return ds


def pixels(ds: Dataset, values: np.ndarray, bits: int = 12) -> None:
    ds.Rows, ds.Columns = values.shape
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, bits, bits - 1, 0
    ds.PixelData = values.astype("<u2").tobytes()
    ds["PixelData"].VR = "OW"


def optional(ds: Dataset, modality: str) -> None:
    ds.SpecificCharacterSet = "ISO_IR 100"
    ds.PatientBirthDate, ds.PatientSex, ds.PatientAge = "19700102", "F", "056Y"
    ds.StudyDate, ds.StudyTime, ds.StudyID, ds.AccessionNumber = "20260304", "050000", "S1", "A-99"
    ds.StudyDescription, ds.ReferringPhysicianName = "Thorax", "Müller^Änne"
    ds.IssuerOfPatientID, ds.InstitutionName, ds.StationName = "HOSPITAL", "Hospital", "ROOM7"
    ds.Manufacturer, ds.DeviceSerialNumber = "Acme", "SN-1"
    ds.SeriesNumber, ds.InstanceNumber = 3, 7
    ds.BodyPartExamined = {"MG": "BREAST", "MR": "HEART"}.get(modality, "CHEST")
    ds.PatientOrientation = ["A", "FR"] if modality == "MG" else ["L", "F"]
    ds.WindowCenter, ds.WindowWidth = 1500, 2200
    if modality == "MG":
        ds.ImageLaterality = "L"
    if modality != "MR":
        ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = 0, 1, "US"
        ds.ImagerPixelSpacing = [0.2, 0.2]


def assessment(verdict: Verdict = Verdict.REACQUIRE, size=(ROWS, COLUMNS), **changes) -> Assessment:
    """What an assessment of `source` says."""
    values = np.zeros((8, 8), dtype=np.float32)
    values[4, 3], values[1, 6], values[4, 2] = 2.0, 1.2, 1.1
    frame = Frame.letterbox(size, (32, 32))
    settings = {
        "file": "/home/jane-doe/image.dcm",
        "verdict": verdict,
        "code": Code.POOR,
        "reason": "poor quality (foreign) is likely: 93 %, limit 60 %",
        "probability": 0.93,
        "threshold": 0.6,
        "findings": FINDINGS,
        "provenance": {
            "model": "cxr-foreign-objects",
            "model_hash": "a1b2c3d4e5f60718293a4b5c6d7e8f90" * 2,
            "recipe": "cxr",
            "method": "normgrad_conv1x1:layers=multi",
            "target": "foreign",
            "threshold": 0.6,
            "review_band": [0.4, 0.7],
            "guard_limit": None,
            "xiqa": "0.1.0",
        },
        "saliency": SaliencyMap(values, "normgrad_conv1x1", 1, input_size=(32, 32), frame=frame),
        "image_size": size,
    }
    return Assessment(**(settings | changes))


def enhanced_mr(frames: int = 3) -> Dataset:
    """A multi-frame image whose frames have a place and a window of their own."""
    ds = source("MR", SOPClassUID=uid.EnhancedMRImageStorage)
    for keyword in ("ImageOrientationPatient", "ImagePositionPatient", "PixelSpacing", "SliceThickness"):
        del ds[keyword]
    del ds.WindowCenter, ds.WindowWidth
    ds.NumberOfFrames = frames
    ds.PixelData = b"".join(np.roll(pattern(), frame, axis=1).tobytes() for frame in range(frames))
    shared = Dataset()
    shared.PixelMeasuresSequence = [item(PixelSpacing=[1.5, 0.75], SliceThickness=8)]
    shared.PlaneOrientationSequence = [item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])]
    shared.PixelValueTransformationSequence = [item(RescaleIntercept=-100, RescaleSlope=2, RescaleType="US")]
    ds.SharedFunctionalGroupsSequence = [shared]
    ds.PerFrameFunctionalGroupsSequence = [
        item(
            PlanePositionSequence=[item(ImagePositionPatient=[-10, -20, 30 + 8 * frame])],
            FrameVOILUTSequence=[item(WindowCenter=1000 + 100 * frame, WindowWidth=500)],
        )
        for frame in range(frames)
    ]
    return ds


def item(**values) -> Dataset:
    ds = Dataset()
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    return ds


def voi_lut(ds: Dataset, entries: np.ndarray, first: int = 0, bits: int = 12) -> None:
    """Give an image a VOI LUT in place of its window."""
    ds.pop("WindowCenter", None)
    ds.pop("WindowWidth", None)
    lut = item(LUTDescriptor=[len(entries), first, bits], LUTData=entries.astype("<u2").tobytes())
    lut["LUTDescriptor"].VR, lut["LUTData"].VR = "SS" if first < 0 else "US", "OW"
    ds.VOILUTSequence = [lut]
