"""DICOM CR, DX, MG and MR (classic and enhanced) in display order."""

from xiqa.imaging.dicom.reader import DicomReader

__all__ = ["DicomReader"]
