"""Certificates of the node's connections."""

from __future__ import annotations

import ssl
from pathlib import Path

from xiqa.config import Section
from xiqa.errors import ConfigError

__all__ = ["Tls"]


class Tls(Section):
    """Certificates, as PEM files.

    Attributes:
        certificate: Our own, with its chain.
        key: Its key.
        authority: Who vouches for the other side; where a server has one, clients need a certificate.
    """

    certificate: Path | None = None
    key: Path | None = None
    authority: Path | None = None

    def server(self) -> ssl.SSLContext:
        """For connections that come in."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self.certificate is None:
            raise ConfigError("a TLS server needs a certificate", todo="set certificate and key")
        self._load(context)
        if self.authority is not None:
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def client(self) -> ssl.SSLContext:
        """For connections that we make."""
        context = ssl.create_default_context(cafile=self.authority)
        if self.certificate is not None:
            self._load(context)
        return context

    def _load(self, context: ssl.SSLContext) -> None:
        assert self.certificate is not None
        try:
            context.load_cert_chain(self.certificate, self.key)
            if self.authority is not None:
                context.load_verify_locations(self.authority)
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(
                "the certificates cannot be used", got=f"{self.certificate}: {error}", todo="see [tls]"
            ) from error
