"""Small DICOM files, written by pydicom, for tests and benchmarks."""

from pathlib import Path

import imagecodecs
import numpy as np
from pydicom import uid
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence

SOP_CLASSES = {
    "CR": uid.ComputedRadiographyImageStorage,
    "DX": uid.DigitalXRayImageStorageForPresentation,
    "MG": uid.DigitalMammographyXRayImageStorageForPresentation,
    "MR": uid.MRImageStorage,
    "enhanced": uid.EnhancedMRImageStorage,
}


def item(**elements) -> Dataset:
    data = Dataset()
    for name, value in elements.items():
        setattr(data, name, Sequence(value) if is_items(value) else value)
    return data


def is_items(value) -> bool:
    return isinstance(value, list | tuple) and bool(value) and all(isinstance(v, Dataset) for v in value)


def lut(entries, first=0, bits=16) -> Dataset:
    """An item of a Modality, VOI or Presentation LUT Sequence."""
    return item(
        LUTDescriptor=[len(entries) % 65536, first, bits],
        LUTData=np.asarray(entries, dtype="<u2").tobytes(),
        ModalityLUTType="US",
    )


def dataset(pixels: np.ndarray, *, kind="DX", syntax=uid.ExplicitVRLittleEndian, **elements) -> Dataset:
    """A data set with uncompressed pixels ``([N,] H, W [, 3])``; further elements by keyword."""
    colour = pixels.ndim >= 3 and pixels.shape[-1] == 3
    stacked = pixels.ndim - colour == 3
    rows, columns = pixels.shape[int(stacked) : int(stacked) + 2]
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = syntax
    data.SOPClassUID = SOP_CLASSES.get(kind, kind)
    data.SOPInstanceUID = uid.generate_uid()
    data.StudyInstanceUID, data.SeriesInstanceUID = uid.generate_uid(), uid.generate_uid()
    data.PatientName, data.PatientID, data.AccessionNumber = "Doe^Jane", "P1", "A1"
    data.PatientBirthDate = data.PatientSex = data.StudyDate = data.StudyTime = data.StudyID = ""
    data.ReferringPhysicianName = data.Manufacturer = ""
    data.SeriesNumber, data.InstanceNumber = 1, 1
    data.Modality = "MR" if kind == "enhanced" else str(kind)[:2]
    data.Rows, data.Columns = rows, columns
    if stacked:
        data.NumberOfFrames = len(pixels)
    data.SamplesPerPixel = 3 if colour else 1
    if colour:
        data.PlanarConfiguration = 0
    data.PhotometricInterpretation = "RGB" if colour else "MONOCHROME2"
    data.BitsAllocated = data.BitsStored = 8 * pixels.dtype.itemsize
    data.PixelRepresentation = int(pixels.dtype.kind == "i")
    for name, value in elements.items():
        setattr(data, name, Sequence(value) if is_items(value) else value)
    data.HighBit = elements.get("HighBit", data.BitsStored - 1)
    data.PixelData = pixels.tobytes()
    data["PixelData"].VR = "OB" if pixels.dtype.itemsize == 1 else "OW"
    return data


def save(data: Dataset, path: Path) -> Path:
    data.save_as(path, enforce_file_format=True)
    return path


def write(path: Path, pixels: np.ndarray, **elements) -> Path:
    """A DICOM file with these pixels; see `dataset`."""
    return save(dataset(pixels, **elements), path)


ENCODERS = {
    uid.JPEGBaseline8Bit: lambda frame, bits: imagecodecs.jpeg8_encode(frame, level=95),
    uid.JPEGExtended12Bit: lambda frame, bits: imagecodecs.jpeg8_encode(frame, level=98, bitspersample=bits),
    uid.JPEGLossless: lambda frame, bits: imagecodecs.jpeg8_encode(
        frame, lossless=True, bitspersample=bits, predictor=4
    ),
    uid.JPEGLosslessSV1: lambda frame, bits: imagecodecs.jpeg8_encode(
        frame, lossless=True, bitspersample=bits, predictor=1
    ),
    uid.JPEGLSLossless: lambda frame, bits: imagecodecs.jpegls_encode(frame),
    uid.JPEGLSNearLossless: lambda frame, bits: imagecodecs.jpegls_encode(frame, level=2),
    uid.JPEG2000Lossless: lambda frame, bits: imagecodecs.jpeg2k_encode(
        frame, level=0, codecformat="j2k", reversible=True, bitspersample=bits
    ),
    uid.JPEG2000: lambda frame, bits: imagecodecs.jpeg2k_encode(
        frame, level=60, codecformat="j2k", bitspersample=bits
    ),
}
LOSSY = (uid.JPEGBaseline8Bit, uid.JPEGExtended12Bit, uid.JPEGLSNearLossless, uid.JPEG2000)


def compress(data: Dataset, syntax: uid.UID) -> Dataset:
    """The same data set with its pixels compressed."""
    if syntax == uid.RLELossless:
        data.compress(syntax, generate_instance_uid=False)
        return data
    colour = data.SamplesPerPixel == 3
    shape = (-1, data.Rows, data.Columns, 3) if colour else (-1, data.Rows, data.Columns)
    frames = np.frombuffer(data.PixelData, dtype=f"u{data.BitsAllocated // 8}").reshape(shape)
    codes = [ENCODERS[syntax](np.ascontiguousarray(frame), data.BitsStored) for frame in frames]
    data.PixelData = encapsulate(codes)
    data["PixelData"].VR = "OB"
    data.file_meta.TransferSyntaxUID = syntax
    if colour:
        jpeg = syntax == uid.JPEGBaseline8Bit
        reversible = syntax == uid.JPEG2000Lossless
        data.PhotometricInterpretation = "YBR_FULL_422" if jpeg else "YBR_RCT" if reversible else "RGB"
    return data


def radiograph(rows=96, columns=80, bits=12, seed=0) -> np.ndarray:
    """A smooth, slightly noisy picture that uses all bits."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:rows, :columns]
    smooth = 0.5 + 0.45 * np.sin(x / columns * 5) * np.cos(y / rows * 4)
    top = (1 << bits) - 1
    noisy = (smooth * top + rng.normal(0, top / 300, smooth.shape)).clip(0, top)
    noisy[0, :2] = 0, top
    return noisy.astype("u1" if bits <= 8 else "<u2")
