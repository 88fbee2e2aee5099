"""Decoders that may crash, hang or fill the memory, in a process of their own."""

from xiqa.imaging.decoding.pool import Task, decode

__all__ = ["Task", "decode"]
