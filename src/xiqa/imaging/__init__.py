"""From a file to an `Image`.

Start with `reading`, which chooses the reader by what a file holds; `dicom/`, `raster`, `nifti` and `npy` are
the readers, `series` finds the files that belong together, `decoding/` runs codecs in a child process.
"""

from xiqa.imaging.files import image_files, iter_image_files, skipped_files
from xiqa.imaging.limits import Limits
from xiqa.imaging.reading import iter_images, open_image, read_image
from xiqa.imaging.series import Series, find_series
from xiqa.imaging.values import to_grey

__all__ = [
    "Limits",
    "Series",
    "find_series",
    "image_files",
    "iter_image_files",
    "iter_images",
    "open_image",
    "read_image",
    "skipped_files",
    "to_grey",
]
