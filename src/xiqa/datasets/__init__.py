"""Data sets: one file a data set, each a list of samples."""

from xiqa.datasets.foreign_objects import read_foreign_objects
from xiqa.datasets.object_cxr import parse_annotation, read_object_cxr
from xiqa.datasets.sample import Sample, by_split

__all__ = [
    "Sample",
    "by_split",
    "parse_annotation",
    "read_foreign_objects",
    "read_object_cxr",
]
