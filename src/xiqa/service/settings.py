"""The node's configuration: one TOML file, checked as a whole before anything starts."""

from __future__ import annotations

import ipaddress
from collections import Counter
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from xiqa.config import Section, faults, recipe_entries
from xiqa.dicom.net.answers import Archive
from xiqa.dicom.net.destination import Destination
from xiqa.dicom.net.door import Sender
from xiqa.dicom.net.limits import NetLimits
from xiqa.dicom.net.scu import DicomArchive
from xiqa.dicom.net.web import WebArchive
from xiqa.errors import ConfigError
from xiqa.service.page.options import Page
from xiqa.service.rules import Model, Rule
from xiqa.service.tls import Tls

__all__ = [
    "Api",
    "Assessing",
    "Hook",
    "Intake",
    "Node",
    "Page",
    "Peer",
    "Settings",
    "Tls",
    "read_settings",
]

_NAME = Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Node(Section):
    """The node itself.

    Attributes:
        name: Its own name; every node of one database needs another.
        folder: Where spool, results and the embedded database are.
        database: SQLAlchemy URL; a SQLite file in the folder where there is none.
        receive: Whether it takes objects in; a node that only works shares the folder of one that does.
        keep_free_mb: Space of the disk that objects leave free; below it nothing is taken.
        keep_days: How long the files of what is done stay.
        keep_gb: The most that they may take.
    """

    name: str = Field(default="node", pattern=r"^[A-Za-z0-9_.-]{1,32}$")
    folder: Path = Path("xiqa-node")
    database: str = ""
    receive: bool = True
    keep_free_mb: int = Field(default=2048, ge=0)
    keep_days: float = Field(default=7, ge=0)
    keep_gb: float = Field(default=100, gt=0)

    @property
    def url(self) -> str:
        """The database's URL."""
        return self.database or f"sqlite:///{self.folder.absolute()}/node.db"


class Intake(Section):
    """What comes in over DICOM, and from folders.

    Attributes:
        title: Our AE title.
        host: Address to listen on.
        port: Port; 0 takes a free one.
        titles: AE titles we answer to; none means any.
        senders: Who may send; none means anyone.
        limits: See `NetLimits`.
        tls: Certificates; plain connections where there are none.
        more_classes: SOP classes beyond the standard's storage classes.
        watch: Folders whose DICOM files are taken in and then removed.
    """

    title: str = Field(default="XIQA", min_length=1, max_length=16)
    host: str = "127.0.0.1"
    port: int = Field(default=11112, ge=0, le=65535)
    titles: tuple[str, ...] = ()
    senders: tuple[Sender, ...] = ()
    limits: NetLimits = NetLimits()
    tls: Tls | None = None
    more_classes: tuple[str, ...] = ()
    watch: tuple[Path, ...] = ()


class Api(Section):
    """The HTTP side.

    Attributes:
        host: Address to listen on.
        port: Port; 0 takes a free one.
        token_file: File with the token that clients send; needed beyond loopback.
        hosts: Names under which it is called, beyond ``host``; a guard against rebound names.
        tls: Certificates; plain HTTP where there are none.
        upload_mb: The largest request.
    """

    host: str = "127.0.0.1"
    port: int = Field(default=8042, ge=0, le=65535)
    token_file: Path | None = None
    hosts: tuple[str, ...] = ()
    tls: Tls | None = None
    upload_mb: int = Field(default=512, ge=1)

    @model_validator(mode="after")
    def _guarded(self) -> Self:
        if not _is_loopback(self.host) and self.token_file is None:
            raise ValueError("beyond loopback a token_file is needed")
        return self

    def token(self) -> str:
        """The token, empty where none is wanted."""
        if self.token_file is None:
            return ""
        try:
            token = self.token_file.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise ConfigError("the token file cannot be read", got=str(error)) from error
        if len(token) < 16:
            raise ConfigError("the token is too short", expected="16 characters or more", got=str(len(token)))
        return token


class Peer(Section):
    """Another system that gets originals, results or both.

    Attributes:
        name: How it is called here.
        ae: Its AE title, with ``host`` and ``port``; or
        url: the root of its DICOMweb service.
        originals: Whether it gets what comes in, untouched.
        results: Kinds of result objects it gets.
        rejections: Whether it is told of images that a person rejected, once it has confirmed the original.
        confirm: Whether it is asked afterwards if it has an original (``find``) or what it has (``get``).
        tls: Certificates; plain connections where there are none.
        headers_file: For ``url``: a file with header lines such as ``Authorization: Bearer ...``.
        seconds: How long to wait for an answer.
        give_up_hours: After so long without success an object waits for a person.
        batch: Originals sent in one association.
    """

    name: str = _NAME
    ae: str = Field(default="", max_length=16)
    host: str = ""
    port: int = Field(default=0, ge=0, le=65535)
    url: str = ""
    originals: bool = True
    results: tuple[str, ...] = ()
    rejections: bool = False
    confirm: Literal["no", "find", "get"] = "no"
    tls: Tls | None = None
    headers_file: Path | None = None
    seconds: float = Field(default=30, gt=0)
    give_up_hours: float = Field(default=72, gt=0)
    batch: int = Field(default=16, ge=1, le=100)

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        dicom = bool(self.ae and self.host and self.port)
        if dicom == bool(self.url):
            raise ValueError("either ae, host and port, or url")
        if self.url and not self.url.startswith(("http://", "https://")):
            raise ValueError("url begins with http:// or https://")
        if self.rejections and (self.confirm == "no" or not self.originals):
            raise ValueError("rejections need originals and confirm: archives hide a rejected image")
        return self

    def archive(self, calling: str) -> Archive:
        """The system behind it."""
        context = None if self.tls is None else self.tls.client()
        if self.url:
            return WebArchive(self.url, self._headers(), context, self.seconds)
        to = Destination(self.ae, self.host, self.port)
        return DicomArchive(to, calling, context, self.seconds)

    def _headers(self) -> dict[str, str]:
        if self.headers_file is None:
            return {}
        try:
            lines = self.headers_file.read_text(encoding="utf-8").splitlines()
        except OSError as error:
            raise ConfigError("the headers file cannot be read", got=str(error)) from error
        pairs = (line.partition(":") for line in lines if line.strip())
        return {name.strip(): value.strip() for name, _, value in pairs}


class Assessing(Section):
    """How images are assessed.

    Attributes:
        workers: Assessing processes.
        memory_mb: What each may take beyond its models.
        seconds: How long one image may take.
        load_seconds: How long a model may take to load.
        tries: After so many deaths of the process an image is not assessed.
        results: ``package.module:function`` that makes result objects.
    """

    workers: int = Field(default=1, ge=0, le=64)
    memory_mb: int = Field(default=2048, ge=64)
    seconds: float = Field(default=60, gt=0)
    load_seconds: float = Field(default=180, gt=0)
    tries: int = Field(default=2, ge=1)
    results: str = Field(default="xiqa.dicom:results", pattern=r"^[\w.]+:\w+$")


class Hook(Section):
    """A web address that is told of each verdict.

    Attributes:
        name: How it is called.
        url: Gets a POST with JSON.
        secret_file: File with a secret; the body's HMAC-SHA256 then comes in ``X-Xiqa-Signature``.
        seconds: How long to wait for its answer.
        give_up_hours: After so long it is not told any more.
    """

    name: str = _NAME
    url: str = Field(pattern=r"^https?://.+$")
    secret_file: Path | None = None
    seconds: float = Field(default=10, gt=0)
    give_up_hours: float = Field(default=24, gt=0)


class Settings(Section):
    """All of it."""

    node: Node = Node()
    intake: Intake = Intake()
    api: Api = Api()
    assessing: Assessing = Assessing()
    page: Page = Page()
    peers: tuple[Peer, ...] = ()
    models: dict[str, Model] = Field(default_factory=dict)
    rules: tuple[Rule, ...] = ()
    hooks: tuple[Hook, ...] = ()

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        for kind, names in (
            ("peers", [peer.name for peer in self.peers]),
            ("rules", [rule.name for rule in self.rules]),
            ("hooks", [hook.name for hook in self.hooks]),
        ):
            if twice := [name for name, number in Counter(names).items() if number > 1]:
                raise ValueError(f"two {kind} are called {twice[0]}")
        for rule in self.rules:
            if rule.model not in self.models:
                raise ValueError(f"rule {rule.name} names the model {rule.model}, which [models] lacks")
        return self

    def wanted(self) -> list[tuple[str, str]]:
        """Jobs (kind, peer) that every object gets when it arrives: forwarding comes first."""
        return [("forward", peer.name) for peer in self.peers if peer.originals] + [("assess", "")]

    def afterwards(self, *, with_results: bool) -> list[tuple[str, str]]:
        """Jobs (kind, peer) that follow a verdict."""
        deliver = [("deliver", peer.name) for peer in self.peers if peer.results and with_results]
        return deliver + [("hook", hook.name) for hook in self.hooks]

    def has_page(self) -> bool:
        """Whether people are served: passwords never travel in the clear beyond this machine."""
        return self.page.enabled and (_is_loopback(self.api.host) or self.api.tls is not None)

    def rejections(self) -> tuple[str, ...]:
        """Names of the peers that are told of rejected images."""
        return tuple(peer.name for peer in self.peers if peer.rejections)

    def kinds(self) -> tuple[str, ...]:
        """Kinds of result objects that any peer gets."""
        return tuple(dict.fromkeys(kind for peer in self.peers for kind in peer.results))


def read_settings(path: Path) -> Settings:
    """Read and check a node's configuration; relative paths are relative to the file.

    Raises:
        ConfigError: The file is absent, is not TOML, or has wrong values; names every entry at fault.
    """
    entries = recipe_entries(path)
    try:
        return Settings.model_validate(_beside(entries, path.absolute().parent))
    except ValidationError as error:
        raise ConfigError(f"{path} is no configuration of a node", got=faults(error, Settings)) from error


_PATHS = ("folder", "token_file", "headers_file", "secret_file", "certificate", "key", "authority")


def _beside(entries: Any, folder: Path) -> Any:
    """The entries with relative paths put beside the configuration file."""
    if isinstance(entries, dict):
        return {name: _placed(name, value, folder) for name, value in entries.items()}
    return [_beside(entry, folder) for entry in entries] if isinstance(entries, list) else entries


def _placed(name: str, value: Any, folder: Path) -> Any:
    if name in _PATHS and isinstance(value, str):
        return str(folder / value)
    if name == "watch" and isinstance(value, list):
        return [str(folder / item) for item in value]
    if name == "path" and isinstance(value, str) and (folder / value).exists():
        return str(folder / value)
    return _beside(value, folder)
