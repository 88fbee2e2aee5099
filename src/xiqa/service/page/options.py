"""The page's part of the node's configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from xiqa.config import Section
from xiqa.dicom.codes import REJECT_REASONS
from xiqa.errors import ConfigError

__all__ = ["Oidc", "Page"]

_PROVIDER = r"^(https://[^\s]+|http://(localhost|127\.0\.0\.1)(:[0-9]+)?(/[^\s]*)?)$"


class Oidc(Section):
    """The hospital's own accounts, by OpenID Connect.

    Attributes:
        issuer: The provider's address, as its tokens name it.
        client_id: How it knows this node.
        secret_file: File with what this node proves that with.
        address: How people reach this node, such as ``https://xiqa.example``.
        roles: Role by a value of the claim; who has none of them does not get in.
        role_claim: Claim with a person's groups.
        name_claim: Claim with the account's name.
        full_name_claim: Claim with the name that decisions show.
        label: What the button says.
    """

    issuer: str = Field(pattern=_PROVIDER)
    client_id: str = Field(min_length=1)
    secret_file: Path
    address: str = Field(pattern=_PROVIDER)
    roles: dict[str, Literal["viewer", "technologist", "lead", "admin"]] = Field(min_length=1)
    role_claim: str = "groups"
    name_claim: str = "preferred_username"
    full_name_claim: str = "name"
    label: str = "Log in with the hospital's account"

    def secret(self) -> str:
        """The secret.

        Raises:
            ConfigError: The file cannot be read.
        """
        try:
            return self.secret_file.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise ConfigError("the provider's secret file cannot be read", got=str(error)) from error


class Page(Section):
    """The page for people.

    Attributes:
        enabled: Whether there is one.
        reasons: Codes of CID 7011 that a person can choose from, in this order.
        undo_minutes: For how long a decision can be undone; archives are told of rejections after that.
        present_minutes: For how long after acquisition the patient may still be there.
        idle_minutes: After which a session ends without a request.
        longest_hours: After which it ends in any case.
        tries: Wrong passwords after which an account is locked.
        lock_minutes: For how long.
        maps: Whether heat maps are kept for the page.
        oidc: The hospital's own accounts, beside those of the node.
        proxied: Whether people reach it through a proxy with TLS: cookies are then sent over TLS alone.
    """

    enabled: bool = True
    reasons: tuple[str, ...] = tuple(REJECT_REASONS)
    undo_minutes: float = Field(default=10, ge=0, le=1440)
    present_minutes: float = Field(default=15, ge=0)
    idle_minutes: float = Field(default=30, gt=0)
    longest_hours: float = Field(default=12, gt=0)
    tries: int = Field(default=5, ge=1)
    lock_minutes: float = Field(default=15, gt=0)
    maps: bool = True
    proxied: bool = False
    oidc: Oidc | None = None

    @field_validator("reasons")
    @classmethod
    def _coded(cls, codes: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [code for code in codes if code not in REJECT_REASONS]
        if unknown or not codes:
            raise ValueError(f"reasons are codes of CID 7011: {', '.join(REJECT_REASONS)}")
        return codes
