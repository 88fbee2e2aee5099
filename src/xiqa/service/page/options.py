"""The page's part of the node's configuration."""

from __future__ import annotations

from pydantic import Field, field_validator

from xiqa.config import Section
from xiqa.dicom.codes import REJECT_REASONS

__all__ = ["Page"]


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

    @field_validator("reasons")
    @classmethod
    def _coded(cls, codes: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [code for code in codes if code not in REJECT_REASONS]
        if unknown or not codes:
            raise ValueError(f"reasons are codes of CID 7011: {', '.join(REJECT_REASONS)}")
        return codes
