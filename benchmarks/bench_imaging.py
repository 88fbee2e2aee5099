"""Files a second by format, against bare pydicom, Pillow and nibabel decoding of the same files.

Processor seconds of this process and of the decoding process, medians of alternated runs: bare decoding gives
raw pixels, `read_image` display order, masks and metadata on top. The last column compares with more of the
same work: for DICOM pydicom's decoding, Modality LUT and VOI LUT, for the others Pillow's pixels as float32.

    python -m benchmarks.bench_imaging [--runs 7]
"""

import argparse
import statistics
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pydicom
from benchmarks.processes import cpu_seconds
from benchmarks.tables import write_rows
from PIL import Image
from pydicom import uid
from pydicom.pixels import apply_modality_lut, apply_voi_lut
from tests.imaging.dicom_files import compress, dataset, image, save

from xiqa.imaging import read_image

ROOT = Path(__file__).resolve().parent.parent
SYNTAXES = {
    "uncompressed": None,
    "RLE": uid.RLELossless,
    "JPEG Lossless": uid.JPEGLosslessSV1,
    "JPEG-LS": uid.JPEGLSLossless,
    "JPEG 2000": uid.JPEG2000Lossless,
}


def timed(job: Callable[[], object], repeat: int) -> float:
    start = cpu_seconds()
    for _ in range(repeat):
        job()
    return (cpu_seconds() - start) / repeat


def bare_dicom(path: Path) -> np.ndarray:
    return pydicom.dcmread(path).pixel_array


def shown_dicom(path: Path) -> np.ndarray:
    data = pydicom.dcmread(path)
    return apply_voi_lut(apply_modality_lut(data.pixel_array, data), data)


def bare_raster(path: Path) -> np.ndarray:
    with Image.open(path) as raster:
        return np.asarray(raster)


def scaled_raster(path: Path) -> np.ndarray:
    pixels = bare_raster(path)
    return np.divide(pixels, np.float32(np.iinfo(pixels.dtype).max), dtype=np.float32)


def bare_nifti(path: Path) -> np.ndarray:
    return np.asarray(nibabel.load(path).dataobj)[:, :, 0]


def files(folder: Path):
    """(format, path, bare decoder, same work by pydicom or None), at realistic sizes."""
    window = {
        "BitsStored": 12,
        "WindowCenter": 2000,
        "WindowWidth": 3000,
        "RescaleSlope": 1,
        "RescaleIntercept": 0,
    }
    grey = image(2500, 2000)
    for name, syntax in SYNTAXES.items():
        data = dataset(grey, PhotometricInterpretation="MONOCHROME1", PixelPaddingValue=0, **window)
        path = save(compress(data, syntax) if syntax else data, folder / f"{name}.dcm")
        yield f"DICOM DX 2500 x 2000, 12 bit, {name}", path, bare_dicom, shown_dicom
    eight = image(2500, 2000, bits=8)
    path = save(compress(dataset(eight), uid.JPEGBaseline8Bit), folder / "baseline.dcm")
    yield "DICOM CR 2500 x 2000, 8 bit, JPEG", path, bare_dicom, shown_dicom
    path = save(dataset(image(256, 256), kind="MR", **window), folder / "mr.dcm")
    yield "DICOM MR 256 x 256, 12 bit, uncompressed", path, bare_dicom, shown_dicom
    rasters = {
        "PNG 1024 x 1024, 8 bit": (image(1024, 1024, bits=8), "png"),
        "PNG 1024 x 1024, 16 bit": (image(1024, 1024, bits=16), "png"),
        "JPEG 1024 x 1024": (image(1024, 1024, bits=8), "jpg"),
        "JPEG 2500 x 2000": (eight, "jpg"),
        "TIFF 2500 x 2000, 8 bit": (eight, "tiff"),
        "TIFF 2500 x 2000, 16 bit": (image(2500, 2000, bits=16), "tiff"),
    }
    for name, (pixels, suffix) in rasters.items():
        path = folder / f"{name}.{suffix}"
        Image.fromarray(pixels).save(path)
        yield name, path, bare_raster, scaled_raster
    path = folder / "volume.nii.gz"
    volume = np.stack([image(256, 256, seed=s) for s in range(12)], axis=-1).astype("<i2")
    nibabel.save(nibabel.Nifti1Image(volume, np.eye(4)), path)
    yield "NIfTI 256 x 256 x 12, gzip", path, bare_nifti, None


def measure(path: Path, bare, shown, runs: int) -> dict[str, float]:
    jobs = {"xiqa": lambda: read_image(path), "bare": lambda: bare(path)}
    if shown:
        jobs["same_work"] = lambda: shown(path)
    once = max(timed(job, 1) for job in jobs.values())  # also loads the libraries
    repeat = max(1, round(0.1 / max(once, 1e-4)))  # long enough for the clock of the child
    times = {name: [] for name in jobs}
    for _ in range(runs):
        for name, job in jobs.items():
            times[name].append(timed(job, repeat))
    return {name: statistics.median(values) for name, values in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=7)
    runs = parser.parse_args().runs
    warnings.simplefilter("ignore")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name, path, bare, shown in files(Path(folder)):
            got = measure(path, bare, shown, runs)
            rows.append(
                {
                    "format": name,
                    "xiqa_files_per_s": round(1 / got["xiqa"], 1),
                    "bare_files_per_s": round(1 / got["bare"], 1),
                    "time_ratio_to_bare": round(got["xiqa"] / got["bare"], 2),
                    "time_ratio_to_same_work": round(got["xiqa"] / got["same_work"], 2) if shown else "",
                }
            )
            print(*rows[-1].values(), sep="\t", flush=True)
    write_rows(ROOT / "benchmarks" / "results" / "imaging.csv", rows)


if __name__ == "__main__":
    main()
