"""Results as DICOM objects, and the network that carries them.

Results are pure functions of a source image, an assessment and, where there is one, a person's decision.

>>> from xiqa.dicom import KINDS
>>> list(KINDS)
['sc', 'sr', 'pr', 'ko', 'seg', 'pm']
"""

from xiqa.dicom.build import results
from xiqa.dicom.kinds import KINDS, Kind
from xiqa.types import Decision

__all__ = ["KINDS", "Decision", "Kind", "results"]
