"""How much a single file may ask for; checked before anything is allocated."""

from __future__ import annotations

from dataclasses import dataclass

from xiqa.errors import ImageReadError

__all__ = ["DEFAULT_LIMITS", "MEGABYTE", "Limits"]

MEGABYTE = 2**20


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on what reading one file may cost.

    With the defaults a file costs less than 512 MB and, on one core, less than ten seconds.

    Attributes:
        samples: The most rows x columns x channels of one frame; the default is a grey 8000 x 8000 image,
            twice the largest mammograms.
        frames: The most frames or slices of one file.
        header: Bytes that a file may hold beside the pixels, once inflated.
        decoder_memory: Bytes that the decoding process may take for one frame.
        decoder_seconds: Processor seconds that decoding one frame may take.
    """

    samples: int = 64_000_000
    frames: int = 10_000
    header: int = 32 * MEGABYTE
    decoder_memory: int = 512 * MEGABYTE
    decoder_seconds: float = 8.0

    @property
    def inflated(self) -> int:
        """The most bytes that a deflated file may inflate to: a frame at two bytes a sample, and a header."""
        return 2 * self.samples + self.header

    def check_stream(self, size: int, pixels: int) -> None:
        """Refuse a compressed frame that is far larger than its pixels, before it is read.

        Args:
            size: Bytes of the stream.
            pixels: Bytes of what it gives.

        Raises:
            ImageReadError: ``too_large``.
        """
        most = 2 * pixels + self.header
        if size > most:
            raise ImageReadError(
                "the compressed image is too large",
                code="too_large",
                expected=f"at most {most:,} bytes for its pixels",
                got=f"{size:,}",
                todo="raise Limits.header if the file is what you want",
            )

    def check_frame(self, rows: int, columns: int, channels: int = 1) -> None:
        """Refuse a frame without pixels or with too many.

        Raises:
            ImageReadError: ``no_pixels`` or ``too_large``.
        """
        if min(rows, columns, channels) < 1:
            raise ImageReadError(
                "the image has no pixels",
                code="no_pixels",
                expected="one row and one column or more",
                got=f"{rows} rows by {columns} columns, {channels} channels",
            )
        if rows * columns * channels > self.samples:
            raise ImageReadError(
                "the image is too large",
                code="too_large",
                expected=f"at most {self.samples:,} samples a frame",
                got=f"{rows} rows by {columns} columns by {channels}",
                todo="raise Limits.samples if the file is what you want",
            )

    def check_frames(self, frames: int) -> None:
        """Refuse a file without frames or with too many.

        Raises:
            ImageReadError: ``no_frames`` or ``too_many_frames``.
        """
        if frames < 1:
            raise ImageReadError(
                "the file has no frame", code="no_frames", expected="1 or more", got=str(frames)
            )
        if frames > self.frames:
            raise ImageReadError(
                "the file has too many frames",
                code="too_many_frames",
                expected=f"at most {self.frames:,}",
                got=f"{frames:,}",
                todo="raise Limits.frames if the file is what you want",
            )


DEFAULT_LIMITS = Limits()
