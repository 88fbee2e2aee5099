"""One family of errors: what was expected, what came, and what to do next."""

from __future__ import annotations

from enum import StrEnum

__all__ = [
    "BundleError",
    "Code",
    "ConfigError",
    "DatasetError",
    "DicomResultError",
    "GeometryError",
    "ImageReadError",
    "ImagesNotTakenError",
    "MetricError",
    "MissingDependencyError",
    "ModelError",
    "NetworkError",
    "OutputError",
    "SaliencyError",
    "SaliencyWarning",
    "TrainingError",
    "UnsupportedOperationError",
    "XiqaError",
]


class Code(StrEnum):
    """Why an image has its verdict, in one stable word for programs."""

    # the model spoke
    GOOD = "good"
    POOR = "poor"
    REVIEW_BAND = "review_band"
    UNLIKE_TRAINING = "unlike_training"  #: the guard: the model was not made for such an image
    NO_NUMBER = "no_number"  #: the network gave no finite number
    # the image could not be read
    ARCHIVE = "archive"
    BAD_CODESTREAM = "bad_codestream"
    BAD_ENCAPSULATION = "bad_encapsulation"
    BAD_HEADER = "bad_header"
    BAD_LUT = "bad_lut"
    BAD_RESCALE = "bad_rescale"
    BAD_WINDOW = "bad_window"
    CHANGED = "changed"
    CORRUPT = "corrupt"
    DAMAGED = "damaged"
    DECODER_CRASHED = "decoder_crashed"
    DECODER_MEMORY = "decoder_memory"
    DECODER_TIMEOUT = "decoder_timeout"
    EMPTY = "empty"
    HEADER_TOO_LONG = "header_too_long"
    HTML = "html"
    LINK_LOOP = "link_loop"
    LINK_OUTSIDE = "link_outside"
    MISSING_ELEMENT = "missing_element"
    NESTED_TOO_DEEP = "nested_too_deep"
    NOT_A_FILE = "not_a_file"
    NOT_FINITE = "not_finite"
    NOT_FOUND = "not_found"
    NO_FRAMES = "no_frames"
    NO_PERMISSION = "no_permission"
    NO_PIXELS = "no_pixels"
    NO_PIXEL_DATA = "no_pixel_data"
    NO_PREAMBLE = "no_preamble"
    NO_SUCH_FRAME = "no_such_frame"
    NO_TRANSFER_SYNTAX = "no_transfer_syntax"
    RANGE = "range"
    TOO_LARGE = "too_large"
    TOO_MANY_FRAMES = "too_many_frames"
    TRUNCATED = "truncated"
    UNKNOWN_FORMAT = "unknown_format"
    UNREADABLE = "unreadable"
    UNSUPPORTED_LAYOUT = "unsupported_layout"
    UNSUPPORTED_TRANSFER_SYNTAX = "unsupported_transfer_syntax"
    UNSUPPORTED_TYPE = "unsupported_type"
    # anything else on the way
    FAILED = "failed"


class XiqaError(Exception):
    """Base of every error that xiqa raises on purpose.

    The message is one readable sentence, put together from its parts so that no raise forgets one.

    Args:
        problem: What went wrong, without a full stop.
        expected: What would have been right.
        got: What came instead.
        todo: What the reader can do now.

    >>> print(XiqaError("cannot read scan.dcm", expected="a DICOM file", got="HTML", todo="export it again"))
    cannot read scan.dcm: expected a DICOM file, got HTML; export it again
    """

    def __init__(
        self, problem: str, *, expected: str | None = None, got: str | None = None, todo: str | None = None
    ) -> None:
        self.problem, self.expected, self.got, self.todo = problem, expected, got, todo
        parts = [f"expected {expected}"] if expected else []
        parts += [f"got {got}"] if got else []
        message = f"{problem}: {', '.join(parts)}" if parts else problem
        super().__init__(f"{message}; {todo}" if todo else message)


class ImageReadError(XiqaError):
    """A file cannot become an image.

    ``code`` is one of `Code`.
    """

    def __init__(
        self,
        problem: str,
        *,
        code: Code | str = Code.UNREADABLE,
        expected: str | None = None,
        got: str | None = None,
        todo: str | None = None,
    ) -> None:
        self.code = Code(code)
        super().__init__(problem, expected=expected, got=got, todo=todo)


class DicomResultError(XiqaError):
    """An assessment or a decision that cannot become a DICOM object.

    ``code`` is one short stable word for machines (``missing_attribute``, ``other_image``, ...).
    """

    def __init__(
        self,
        problem: str,
        *,
        code: str,
        expected: str | None = None,
        got: str | None = None,
        todo: str | None = None,
    ) -> None:
        self.code = code
        super().__init__(problem, expected=expected, got=got, todo=todo)


class GeometryError(XiqaError):
    """Sizes, boxes or points that do not fit the grid they are told in."""


class DatasetError(XiqaError):
    """A data set whose layout, annotations or splits are not as documented."""


class ModelError(XiqaError):
    """A network, layer or head that does not fit what is asked of it."""


class BundleError(ModelError):
    """A model bundle that is incomplete, tampered with, or of another version."""


class SaliencyError(XiqaError):
    """A saliency method, target or layer that cannot be used as asked."""


class ImagesNotTakenError(SaliencyError, RuntimeError):
    """A network or probe that fails on the images that it is given; its own error is the cause."""


class SaliencyWarning(UserWarning):
    """A map that says nothing, and why."""


class UnsupportedOperationError(SaliencyError):
    """A propagation rule that does not know an operation of the network; names the module."""


class MetricError(XiqaError):
    """A metric asked of inputs on which it is not defined."""


class ConfigError(XiqaError):
    """A recipe or an option with a wrong value."""


class MissingDependencyError(XiqaError):
    """An optional part that is not installed; the message gives the pip command."""


class OutputError(XiqaError):
    """Results that cannot be written: a read-only or full disk, a folder that another run is using."""


class TrainingError(XiqaError):
    """A training that cannot go on, or whose result means nothing."""


class NetworkError(XiqaError):
    """An object that cannot be received, kept or sent on; ``code`` is one short stable word for machines."""

    def __init__(
        self,
        problem: str,
        *,
        code: str = "network",
        expected: str | None = None,
        got: str | None = None,
        todo: str | None = None,
    ) -> None:
        self.code = code
        super().__init__(problem, expected=expected, got=got, todo=todo)
