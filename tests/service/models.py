"""Stand-ins for a model and for the maker of result objects; they run in the assessing process."""

import os
import signal
import time
from dataclasses import replace

import numpy as np
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, SecondaryCaptureImageStorage

from xiqa.errors import Code
from xiqa.geometry import Box, Point
from xiqa.imaging import read_image
from xiqa.types import Assessment, Finding, SaliencyMap, Verdict


def brightness(path: str) -> Assessment:
    """An image is as poor as its first pixel is bright; a station's name may make it misbehave."""
    ds = dcmread(path)
    behave = str(ds.get("StationName", ""))
    if behave == "DIE":
        os.kill(os.getpid(), signal.SIGKILL)
    if behave == "HANG":
        time.sleep(1000)
    if behave == "GROW":
        bytearray(20 * 2**30)
    if behave == "RAISE":
        raise RuntimeError("an unforeseen fault")
    if behave == "SLOW":
        time.sleep(0.5)
    probability = int.from_bytes(ds.PixelData[:2], "little") / 4095
    poor = probability > 0.5
    return Assessment(
        path,
        Verdict.REACQUIRE if poor else Verdict.ACCEPT,
        f"brightness {probability:.3f}",
        Code.POOR if poor else Code.GOOD,
        probability,
        provenance={"model_hash": "b" * 64},
        image_size=(ds.Rows, ds.Columns),
    )


def bright_places(path: str) -> Assessment:
    """`brightness`, with a heat map and the brightest place."""
    told, image = brightness(path), read_image(path)
    values = image.pixels[::4, ::4].astype(np.float32)
    y, x = np.unravel_index(image.pixels.argmax(), image.size)
    box = Box(max(0, x - 3), max(0, y - 2), min(image.width - 1, x + 3), min(image.height - 1, y + 2))
    finding = Finding(Point(x, y), box, 1.0, label="bright")
    return replace(
        told,
        threshold=0.5,
        findings=(finding,),
        saliency=SaliencyMap(values, "stub", 1),
        image_size=image.size,
        provenance={**told.provenance, "target": "bright_place", "model": "stub"},
        source=image.source,
    )


def notes(assessment: Assessment, dataset: Dataset, *, kinds, **_more) -> dict[str, Dataset]:
    """One secondary capture a kind, in the study of its image, with a UID that follows from it."""
    made = {}
    for number, kind in enumerate(kinds):
        ds = Dataset()
        ds.SOPClassUID = SecondaryCaptureImageStorage
        ds.SOPInstanceUID = UID(f"{dataset.SOPInstanceUID[:50]}.99{number}")
        ds.StudyInstanceUID, ds.SeriesInstanceUID = dataset.StudyInstanceUID, f"2.25.99{number}"
        ds.PatientID, ds.PatientName, ds.Modality = dataset.PatientID, dataset.PatientName, "OT"
        ds.SeriesDescription = f"{kind} {assessment.verdict.value}"
        ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.Rows, ds.Columns = 1, "MONOCHROME2", 1, 2
        ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 8, 8, 7, 0
        ds.PixelData = bytes([number, 7])
        ds.file_meta = FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        made[kind] = ds
    return made


def readable(path: str) -> Assessment:
    """Accepts whatever the package's own readers can read."""
    image = read_image(path)
    return Assessment(path, Verdict.ACCEPT, f"{image.width} x {image.height}", Code.GOOD, 0.1)
