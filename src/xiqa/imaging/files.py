"""Which files to read: from files, folders and patterns to a sorted list."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from xiqa.errors import ImageReadError
from xiqa.imaging.options import printable
from xiqa.imaging.sniff import sniff

__all__ = ["image_files"]

_SUFFIXES = (".dcm", ".dicom", ".png", ".jpg", ".jpeg", ".tif", ".tiff", ".npy", ".nii", ".nii.gz")


def image_files(
    paths: Iterable[str | Path] | str | Path, *, refused: list[ImageReadError] | None = None
) -> list[Path]:
    """The image files that paths name, sorted, each once.

    A file is taken as it is. A folder gives, with its sub-folders, the files that are images by their content
    or claim to be by their name; hidden files and ``DICOMDIR`` are left out. A pattern gives what it
    matches. A symbolic link that leads out of its folder is refused.

    Args:
        paths: Files, folders or patterns (``*``, ``?``, ``[...]``, ``**``).
        refused: Gets an error for each link that is refused and each path that is not there, and the rest
            goes on; without it the first such error is raised.

    Raises:
        ImageReadError: ``not_found`` or ``link_outside``.
    """
    given = [paths] if isinstance(paths, str | Path) else paths
    errors: list[ImageReadError] = []
    found = {file for path in given for file in _files_of(Path(path), errors)}
    if refused is not None:
        refused.extend(errors)
    elif errors:
        raise errors[0]
    return sorted(found, key=os.fsencode)


def _files_of(path: Path, errors: list[ImageReadError]) -> Iterator[Path]:
    if path.is_dir():
        yield from _files_in(path, errors)
    elif path.exists():
        yield path
    else:
        matches = glob.glob(str(path), recursive=True)  # noqa: PTH207 - the pattern may be absolute
        if not matches:
            errors.append(ImageReadError(f"no such file or folder: {printable(str(path))}", code="not_found"))
        for match in matches:
            yield from _files_of(Path(match), errors)


def _files_in(folder: Path, errors: list[ImageReadError]) -> Iterator[Path]:
    """The image files of a folder and its sub-folders; links to folders are not followed."""
    inside = folder.resolve()
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in (*names, *folders):
            path = Path(parent, name)
            if path.is_symlink() and not path.resolve().is_relative_to(inside):
                errors.append(
                    ImageReadError(
                        f"{printable(str(path))} leads out of its folder",
                        code="link_outside",
                        expected=f"a link inside {printable(str(folder))}",
                        todo="name the file it leads to",
                    )
                )
            elif name in names and path.is_file() and _is_wanted(path):
                yield path


def _is_wanted(path: Path) -> bool:
    if path.name.startswith(".") or path.name == "DICOMDIR":
        return False
    if path.name.lower().endswith(_SUFFIXES):
        return True
    try:
        with path.open("rb") as file:
            sniff(file)
    except (ImageReadError, OSError):
        return False
    return True
