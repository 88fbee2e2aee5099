"""Files that hospitals, networks and attackers send, each built by a few lines, tiny on disk.

`BAD_INPUTS` lists them with what reading them must give: the code of an `ImageReadError`, or ``read``.
"""

from tests.imaging import bad_dicom, bad_rasters  # noqa: F401  (both put theirs in the list)
from tests.imaging.bad_input import BAD_INPUTS, READ, BadInput

__all__ = ["BAD_INPUTS", "READ", "BadInput"]
