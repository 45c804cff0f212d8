"""A key and a certificate that one worker makes for one run, so that its calls travel encrypted.

The key never leaves the worker's memory. The certificate goes to the client by the way on which the worker was ordered;
the client trusts it alone and nobody who signed it, so no authority is needed. It is valid at any time: clocks of
different machines may be far apart, and the worker does not live long enough for a date to mean anything.
"""

from __future__ import annotations

from datetime import datetime

from collagebench.errors import MissingExtra

NAME = "collagebench-worker"
"""What every such certificate is for; addresses of nodes may change, the worker is known by its key."""


def certificate(host: str = NAME) -> tuple[bytes, bytes]:
    """Return a new private key and its certificate for a host of this name, both PEM.

    Raises:
        MissingExtra: the package that makes them is not there.
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
