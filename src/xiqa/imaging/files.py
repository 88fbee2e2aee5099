"""Which files to read: from files, folders and patterns to a sorted list; nothing is left out in silence."""

from __future__ import annotations

import errno
import glob
import os
import stat
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from itertools import islice
from pathlib import Path
from typing import IO

from xiqa.errors import Code, ImageReadError
from xiqa.imaging.options import printable
from xiqa.imaging.sniff import sniff

__all__ = ["image_files", "iter_image_files", "skipped_files"]

_SUFFIXES = (".dcm", ".dicom", ".png", ".jpg", ".jpeg", ".tif", ".tiff", ".npy", ".nii", ".nii.gz")
_MAGIC = ((b"%PDF", "PDF"), (b"PK\x03\x04", "ZIP"), (b"\x1f\x8b", "GZ"), (b"GIF8", "GIF"), (b"BM", "BMP"))
_LISTED = 10_000  # entries of a folder that are held and sorted at once
_FOLDERS = ("hidden folder", "link into its own folder")  # what is skipped and is no file


def image_files(
    paths: Iterable[str | Path] | str | Path,
    *,
    refused: list[ImageReadError] | None = None,
    skipped: Counter[str] | None = None,
    follow: bool = True,
) -> list[Path]:
    """The image files that paths name, sorted, each once.

    A file is taken as it is. A folder gives, with its sub-folders, the files that are images by their content
    or claim to be by their name. A pattern gives what it matches. Symbolic links are followed, also out of
    their folder; every folder is read once, so that loops end.

    Args:
        paths: Files, folders or patterns (``*``, ``?``, ``[...]``, ``**``).
        refused: Gets an error for each path that is not there, each folder and file that may not be read,
            each link that leads nowhere, each pipe and device, and the rest goes on; without it the first
            such error is raised.
        skipped: Gets the number of files that are no images by their kind, hidden ones among them.
        follow: Whether links out of their folder are followed or refused.

    Raises:
        ImageReadError: ``not_found``, ``no_permission``, ``not_a_file``, ``link_loop`` or ``link_outside``.
    """
    given = [paths] if isinstance(paths, str | Path) else paths
    search = _Search(Counter() if skipped is None else skipped, follow)
    files = {file for path in given for file in search.files_of(Path(path))}
    if refused is not None:
        refused.extend(search.errors)
    elif search.errors:
        raise search.errors[0]
    return sorted(files, key=os.fsencode)


def iter_image_files(
    paths: Iterable[str | Path],
    *,
    refused: list[ImageReadError],
    skipped: Counter[str],
) -> Iterator[Path]:
    """`image_files` one by one as they are found, whatever their number: sorted in no more than ten thousand.

    What several of the paths name comes as often.
    """
    search = _Search(skipped, follow=True)
    search.errors = refused
    for path in paths:
        yield from search.files_of(Path(path))


def skipped_files(skipped: Counter[str]) -> str:
    """What was skipped, in a line; empty where nothing was.

    >>> skipped_files(Counter({"PDF": 3, "ZIP": 1, "hidden folder": 1}))
    '4 files skipped: 3 PDF, 1 ZIP; 1 hidden folder'
    """
    files = [(kind, count) for kind, count in skipped.most_common() if kind not in _FOLDERS]
    parts = []
    if files:
        total = sum(count for _, count in files)
        kinds = ", ".join(f"{count} {kind}" for kind, count in files)
        parts.append(f"{total} file{'s' * (total != 1)} skipped: {kinds}")
    parts += [f"{skipped[kind]} {kind}{'s' * (skipped[kind] != 1)}" for kind in _FOLDERS if skipped[kind]]
    return "; ".join(parts)


class _Search:
    """One search through folders: what was found wrong, and what was passed over."""

    def __init__(self, skipped: Counter[str], follow: bool) -> None:
        self.skipped, self.follow = skipped, follow
        self.errors: list[ImageReadError] = []

    def files_of(self, path: Path) -> Iterator[Path]:
        """The files that one path names."""
        if path.is_dir():
            yield from self._files_in(path)
        elif path.exists():
            yield path
        else:
            matches = self._matches(path)
            if not matches:
                problem = f"no such file or folder: {printable(str(path))}"
                self.errors.append(ImageReadError(problem, code=Code.NOT_FOUND))
            for match in matches:
                yield from self.files_of(match) if match.exists() else self._no_target(match)

    def _matches(self, pattern: Path) -> list[Path]:
        """What a pattern matches; `glob` would follow a link in a loop for ever."""
        parts = pattern.parts
        if "**" not in parts:
            return [Path(match) for match in glob.glob(str(pattern))]  # noqa: PTH207 - may be absolute
        fixed = next(number for number, part in enumerate(parts) if glob.has_magic(part))
        base = Path(*parts[:fixed])
        if not base.is_dir():
            return []
        entries = [Path(entry) for entry, _ in self._walk(base)]
        matches = [entry for entry in entries if _fits(entry.relative_to(base).parts, parts[fixed:])]
        return [match for match in matches if not (match.is_symlink() and match.is_dir())]  # see _walk

    def _files_in(self, folder: Path) -> Iterator[Path]:
        """The image files of a folder and its sub-folders."""
        for entry, mode in self._walk(folder):
            if stat.S_ISREG(mode):
                if self._is_wanted(Path(entry)):
                    yield Path(entry)
            elif not stat.S_ISDIR(mode):
                self._refuse(Path(entry), Code.NOT_A_FILE, "is a pipe, a socket or a device")

    def _walk(self, folder: Path) -> Iterator[tuple[str, int]]:
        """(path, mode) of all that lies below a folder and is not hidden, every folder once.

        Links to folders come after what is no link, so that what lies in the folder has its own name.
        """
        place = folder.resolve()
        above = {_identity(parent) for parent in (place, *place.parents)}
        seen, folders, links = {_identity(folder)}, deque([str(folder)]), deque[str]()
        while folders or links:
            if not folders:
                link = links.popleft()
                identity = _identity(Path(link))
                if identity in above:
                    self.skipped["link into its own folder"] += 1
                elif identity not in seen:
                    seen.add(identity)
                    folders.append(link)
                continue
            for entry in self._entries(folders.popleft(), place):
                mode = entry.stat().st_mode
                if stat.S_ISDIR(mode) and entry.is_symlink():
                    links.append(entry.path)
                elif stat.S_ISDIR(mode):
                    identity = _identity(Path(entry.path))
                    if identity in seen:
                        continue
                    seen.add(identity)
                    folders.append(entry.path)
                yield entry.path, mode

    def _entries(self, folder: str, place: Path) -> Iterator[os.DirEntry[str]]:
        """What lies in a folder, without what is hidden or leads nowhere."""
        try:
            with os.scandir(folder) as listing:
                while entries := sorted(islice(listing, _LISTED), key=lambda entry: os.fsencode(entry.name)):
                    yield from self._seen(entries, place)
        except OSError as error:
            self._refuse(Path(folder), _code(error), f"cannot be listed ({error.strerror})")

    def _seen(self, entries: Iterable[os.DirEntry[str]], place: Path) -> Iterator[os.DirEntry[str]]:
        """The entries that are not hidden and lead somewhere."""
        for entry in entries:
            if entry.name.startswith("."):
                self.skipped["hidden folder" if entry.is_dir(follow_symlinks=False) else "hidden"] += 1
            elif entry.is_symlink() and not Path(entry.path).exists():
                self._no_target(Path(entry.path))
            elif not self.follow and entry.is_symlink() and not _is_inside(entry.path, place):
                self._refuse(Path(entry.path), Code.LINK_OUTSIDE, "leads out of its folder")
            else:
                yield entry

    def _is_wanted(self, path: Path) -> bool:
        """Whether a file is an image or claims to be one; others are counted by their kind."""
        if path.name != "DICOMDIR" and path.name.lower().endswith(_SUFFIXES):
            return True
        try:
            with path.open("rb") as file:
                start = file.read(8)
                file.seek(0)
                if path.name != "DICOMDIR" and _is_image(file):
                    return True
        except OSError as error:
            self._refuse(path, _code(error), f"cannot be opened ({error.strerror})")
            return False
        self.skipped[_kind(path, start)] += 1
        return False

    def _no_target(self, link: Path) -> Iterator[Path]:
        """Refuse a link without a target."""
        try:
            link.stat()
        except OSError as error:
            loop = error.errno == errno.ELOOP
            code = Code.LINK_LOOP if loop else Code.NOT_FOUND
            self._refuse(link, code, "is a link to itself" if loop else "is a link that leads nowhere")
        return iter(())

    def _refuse(self, path: Path, code: Code, why: str) -> None:
        self.errors.append(ImageReadError(f"{printable(str(path))}: {why}", code=code))


def _fits(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    """Whether a path's parts fit a pattern's; ``**`` stands for any number of folders."""
    if not pattern:
        return not parts
    if pattern[0] == "**":
        return _fits(parts, pattern[1:]) or (bool(parts) and _fits(parts[1:], pattern))
    return bool(parts) and fnmatchcase(parts[0], pattern[0]) and _fits(parts[1:], pattern[1:])


def _is_image(file: IO[bytes]) -> bool:
    try:
        sniff(file)
    except ImageReadError as error:
        return error.code == Code.NO_PREAMBLE  # DICOM that can be mended: the error says how
    return True


def _kind(path: Path, start: bytes) -> str:
    """What to call a file that is no image."""
    if path.name == "DICOMDIR":
        return "DICOMDIR"
    by_content = next((name for magic, name in _MAGIC if start.startswith(magic)), "")
    return printable(path.suffix[1:9].upper()) or by_content or ("without suffix" if start else "empty")


def _identity(path: Path) -> tuple[int, int]:
    """What tells a folder from others, whatever it is called."""
    status = path.stat()
    return status.st_dev, status.st_ino


def _is_inside(path: str, folder: Path) -> bool:
    return Path(path).resolve().is_relative_to(folder)


def _code(error: OSError) -> Code:
    return Code.NO_PERMISSION if isinstance(error, PermissionError) else Code.UNREADABLE
