"""The DICOM grey-scale pipeline in plain loops, one pixel at a time, from the text of the standard."""

import math


def window(x, centre, width, function):
    """PS3.3 C.11.2.1.2.1, C.11.2.1.3.1 and C.11.2.1.3.2 with an output range of 0 to 1."""
    if function == "LINEAR":
        if x <= centre - 0.5 - (width - 1) / 2:
            return 0.0
        if x > centre - 0.5 + (width - 1) / 2:
            return 1.0
        return (x - (centre - 0.5)) / (width - 1) + 0.5
    if function == "LINEAR_EXACT":
        if x <= centre - width / 2:
            return 0.0
        if x > centre + width / 2:
            return 1.0
        return (x - centre) / width + 0.5
    exponent = -4 * (x - centre) / width
    return 1 / (1 + math.exp(exponent)) if exponent < 700 else 0.0


def look_up(x, entries, first):
    """PS3.3 C.11.1.1: values beyond the table take its first or last entry."""
    if x < first:
        return entries[0]
    if x >= first + len(entries):
        return entries[-1]
    return entries[x - first]


def show(stored, *, slope=1.0, intercept=0.0, centre, width, function="LINEAR", inverse=False):
    """A picture of stored values, row by row."""
    shown = []
    for row in stored:
        line = []
        for value in row:
            y = window(value * slope + intercept, centre, width, function)
            line.append(1 - y if inverse else y)
        shown.append(line)
    return shown
