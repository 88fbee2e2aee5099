"""What a distributed run assesses: files, folders, lists, addresses that fsspec opens, and DICOMweb queries.

================================================  ==================================================
given                                             is
================================================  ==================================================
``images/``, ``a.dcm``, ``images/*.png``          as in `xiqa.imaging.image_files`, listed as it goes
``@list.txt``                                     one of the others a line
``s3://bucket/prefix``, ``gcs://``, ...           what fsspec opens; the package for it is installed apart
``dicomweb+https://host/dicom-web?Modality=DX``   a QIDO-RS query, its instances fetched by WADO-RS
================================================  ==================================================
"""

from __future__ import annotations

import json
import os
import tempfile
import urllib.parse
import urllib.request
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from email.parser import BytesParser
from email.policy import HTTP
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from xiqa.errors import Code, ConfigError, ImageReadError, MissingDependencyError
from xiqa.imaging.files import iter_image_files

__all__ = ["Item", "items_of", "local"]

DICOMWEB = "dicomweb+"
AUTHORIZATION = "XIQA_DICOMWEB_AUTHORIZATION"  # value of the header, where the archive asks for one
_PAGE = 200  # instances a query asks for at once
_SUFFIXES = (".dcm", ".dicom", ".png", ".jpg", ".jpeg", ".tif", ".tiff", ".npy", ".nii", ".nii.gz")
_LARGEST = 2**31  # bytes


class Item(NamedTuple):
    """One file, wherever it is.

    Attributes:
        uri: A path or an address.
        size: In bytes; 0 where the source does not tell.
        stamp: What changes with the file: time of the last change, an ETag; empty where it cannot change.
    """

    uri: str
    size: int
    stamp: str


def items_of(paths: Iterable[str], *, refused: list[ImageReadError], skipped: Counter[str]) -> Iterator[Item]:
    """The files that paths and addresses name, as they are found.

    Args:
        paths: See the module.
        refused: Gets an error for what cannot be listed, and the rest goes on.
        skipped: Gets the number of files that are no images, by their kind.

    Raises:
        MissingDependencyError: fsspec, or what it needs for such an address, is not installed.
    """
    for path in paths:
        if path.startswith("@"):
            yield from items_of(_lines(Path(path[1:])), refused=refused, skipped=skipped)
        elif path.startswith(DICOMWEB):
            yield from _instances(path, refused)
        elif "://" in path:
            yield from _objects(path, refused, skipped)
        else:
            yield from map(_file, iter_image_files([path], refused=refused, skipped=skipped))


@contextmanager
def local(item: Item) -> Iterator[str]:
    """A path at which the item can be read: its own, or a copy that is removed afterwards.

    Raises:
        ImageReadError: It cannot be fetched.
    """
    if "://" not in item.uri:
        yield item.uri
        return
    with tempfile.TemporaryDirectory(prefix="xiqa-") as folder:
        path = Path(folder) / (PurePosixPath(urllib.parse.urlsplit(item.uri).path).name or "image")
        try:
            path.write_bytes(_fetched(item.uri))
        except ImageReadError:
            raise
        except Exception as error:  # every library has its own
            why = f"{type(error).__name__}: {error}"
            raise ImageReadError(f"cannot fetch {item.uri}", code=Code.UNREADABLE, got=why[:300]) from error
        yield os.fspath(path)


def _file(path: Path) -> Item:
    try:
        status = path.stat()
    except OSError:  # it is read in vain, which is told then
        return Item(os.path.abspath(path), 0, "")  # noqa: PTH100 - keeps any name as it is
    return Item(os.path.abspath(path), status.st_size, str(status.st_mtime_ns))  # noqa: PTH100


def _lines(path: Path) -> Iterator[str]:
    """The lines of a list that are neither empty nor lists themselves."""
    try:
        with path.open(encoding="utf-8", errors="surrogateescape") as file:
            for line in file:
                if line.strip() and not line.startswith("@"):
                    yield line.strip()
    except OSError as error:
        raise ConfigError(f"cannot read the list {path}", got=error.strerror or "") from error


def _objects(uri: str, refused: list[ImageReadError], skipped: Counter[str]) -> Iterator[Item]:
    """The images below an address, a folder of it at a time; by their names, nothing is read."""
    files, root = _opened(uri)
    try:
        if files.isfile(root):
            yield _object(files, files.info(root))
            return
        empty = True
        for _, _, found in files.walk(root, detail=True):
            for info in sorted(found.values(), key=lambda info: str(info["name"])):
                empty = False
                name = str(info["name"])
                if name.lower().endswith(_SUFFIXES) or "." not in PurePosixPath(name).name:
                    yield _object(files, info)
                else:
                    skipped[PurePosixPath(name).suffix[1:9].upper()] += 1
        if empty:
            refused.append(ImageReadError(f"no such file or folder: {uri}", code=Code.NOT_FOUND))
    except Exception as error:  # every file system has its own
        why = f"{type(error).__name__}: {error}"
        refused.append(ImageReadError(f"cannot list {uri}", code=Code.UNREADABLE, got=why[:300]))


def _opened(uri: str) -> tuple[Any, str]:
    """A file system and a path in it."""
    try:
        import fsspec  # noqa: PLC0415 - for addresses alone

        files, root = fsspec.core.url_to_fs(uri)
    except (ImportError, ValueError) as error:
        raise MissingDependencyError(
            f"nothing here opens {uri}",
            got=str(error),
            todo='pip install "xiqa[ray]" s3fs, or gcsfs, or adlfs',
        ) from error
    return files, root


def _object(files: Any, info: Mapping[str, Any]) -> Item:
    stamp = next((info[name] for name in ("ETag", "etag", "mtime", "LastModified") if info.get(name)), "")
    return Item(files.unstrip_protocol(info["name"]), int(info.get("size") or 0), str(stamp).strip('"'))


def _fetched(uri: str) -> bytes:
    """A file's bytes."""
    if uri.startswith(DICOMWEB):
        return _instance(uri)
    files, path = _opened(uri)
    return bytes(files.cat_file(path))


def _instances(query: str, refused: list[ImageReadError]) -> Iterator[Item]:
    """What a QIDO-RS query finds, a page at a time; an instance never changes, so its UID tells it."""
    base, _, wanted = query.removeprefix(DICOMWEB).partition("?")
    base, offset = base.rstrip("/").removesuffix("/instances"), 0
    while True:
        page = f"{base}/instances?{wanted}{'&' * bool(wanted)}limit={_PAGE}&offset={offset}"
        try:
            answer = _ask(page, "application/dicom+json")[0]
            found = json.loads(answer) if answer else []
        except (OSError, ValueError) as error:
            refused.append(ImageReadError(f"cannot query {page}", code=Code.UNREADABLE, got=str(error)))
            return
        for row in found:
            study, series, uid = (row[tag]["Value"][0] for tag in ("0020000D", "0020000E", "00080018"))
            yield Item(f"{DICOMWEB}{base}/studies/{study}/series/{series}/instances/{uid}", 0, "")
        offset += len(found)
        if len(found) < _PAGE:
            return


def _instance(uri: str) -> bytes:
    """A DICOM file by WADO-RS, as it is stored."""
    accept = 'multipart/related; type="application/dicom"; transfer-syntax=*'
    content, kind = _ask(uri.removeprefix(DICOMWEB), accept)
    message = BytesParser(policy=HTTP).parsebytes(
        b"Content-Type: " + kind.encode("ascii") + b"\r\n\r\n" + content
    )
    boundary = message.get_boundary()
    if boundary is None:
        return content
    # by hand: the parser of e-mail would mend line ends within the bytes
    first = content.split(b"--" + boundary.encode("ascii"))[1]
    return first.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n")


def _ask(address: str, accept: str) -> tuple[bytes, str]:
    """A server's answer and its type."""
    headers = {"Accept": accept}
    if AUTHORIZATION in os.environ:
        headers["Authorization"] = os.environ[AUTHORIZATION]
    request = urllib.request.Request(address, headers=headers)
    with urllib.request.urlopen(request, timeout=120) as answer:
        return answer.read(_LARGEST), answer.headers.get("Content-Type", "")
