"""From a file to an `Image`, and the `Frame` between its grid and a network's.

>>> from xiqa.imaging import Frame
>>> Frame.resize(original=(2500, 2000), model=(512, 512)).points_to_model([1999.5, 2499.5])
array([511.5, 511.5])
"""

from xiqa.imaging.files import image_files
from xiqa.imaging.frame import Frame
from xiqa.imaging.limits import Limits
from xiqa.imaging.reading import iter_images, read_image
from xiqa.imaging.values import to_grey

__all__ = ["Frame", "Limits", "image_files", "iter_images", "read_image", "to_grey"]
