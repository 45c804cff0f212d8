"""TLS to servers that already run: the authorities that this client trusts, and its own certificate."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import grpc

from collagebench.errors import UsageError
from collagebench.ordinary import ordinary

BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
"""Paths at which systems keep the certificates of trusted authorities."""


def credentials(authorities: Path | None, certificate: Path | None, key: Path | None) -> Any:
    """Return gRPC's credentials for a client.

    Args:
        authorities: PEM file of trusted certificate authorities; None for those that this system trusts.
        certificate: PEM file of the client's certificate, with any intermediate ones; None for none.
        key: PEM file of its private key.

    Raises:
        UsageError: a file cannot be read or has the wrong content, or certificate and key do not match.
    """
    if (certificate is None) != (key is None):
        raise UsageError("--tls-cert and --tls-key belong together: give both or neither")
    if certificate is not None and key is not None:
        _matching(certificate, key)
    return grpc.ssl_channel_credentials(
        _roots() if authorities is None else _authorities(authorities),
        None if key is None else _pem(key, "--tls-key", "PRIVATE KEY"),
        None if certificate is None else _pem(certificate, "--tls-cert", "CERTIFICATE"),
    )


def _roots() -> bytes | None:
    """Return the system's authorities; None if there are none, so that gRPC uses those that it ships with."""
    usual = ssl.get_default_verify_paths().cafile  # SSL_CERT_FILE, or OpenSSL's built-in path
    for path in (usual, *BUNDLES):
        if path and Path(path).is_file():
            return Path(path).read_bytes()
    return None


def _authorities(file: Path) -> bytes:
    content = _pem(file, "--tls-ca", "CERTIFICATE")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(file)
    except ssl.SSLError as error:
        raise UsageError(f"--tls-ca {file} holds a damaged certificate ({error.reason})") from None
    return content


def _pem(file: Path, option: str, kind: str) -> bytes:
    try:
        content = ordinary(file).read_bytes()
    except OSError as error:
        raise UsageError(f"{option} {file} cannot be read ({error.strerror})") from None
    if f"{kind}-----".encode() not in content:
        raise UsageError(f"{option} {file} holds no PEM {kind.lower()}")
    return content


def _matching(certificate: Path, key: Path) -> None:
    """Check that a certificate and a key match; gRPC would only report that it cannot connect."""
    for file, option, kind in ((certificate, "--tls-cert", "CERTIFICATE"), (key, "--tls-key", "PRIVATE KEY")):
        _pem(file, option, kind)

    def no_password() -> str:
        raise UsageError(
            f"--tls-key {key} is protected by a password, which gRPC does not support: write it without one"
        )

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(certificate, key, no_password)
    except ssl.SSLError as error:
        raise UsageError(f"--tls-cert {certificate} and --tls-key {key} do not match ({error.reason})") from None
