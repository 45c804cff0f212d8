"""A key and a self-signed certificate that one worker makes for one run, so that calls to it are encrypted.

The key never leaves the worker's memory. The certificate returns to the client over the channel that started the
worker. The client trusts only this certificate, so no authority is needed. It has no real dates: clocks of different
machines may be far apart, and the worker lives too short for a date to matter.
"""

from __future__ import annotations

from datetime import datetime

from collagebench.errors import MissingExtra

NAME = "collagebench-worker"
"""The host name in every such certificate. The worker is identified by its key, whatever the node's address is."""


def certificate(host: str = NAME) -> tuple[bytes, bytes]:
    """Return a new private key and its certificate for a host of this name, both in PEM.

    Raises:
        MissingExtra: the package cryptography is not installed.
    """
    try:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec
    except ImportError:
        raise MissingExtra(
            "the package cryptography is missing there: pip install 'collagebench[ray]' in the environment that the "
            "cluster's nodes run"
        ) from None
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, host)])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime(1970, 1, 1))
        .not_valid_after(datetime(9999, 12, 31))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private, made.public_bytes(serialization.Encoding.PEM)
