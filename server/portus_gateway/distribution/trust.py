"""Whose certificates are believed."""

import ssl
from pathlib import Path


def trusting(ca_file: Path | None) -> ssl.SSLContext:
    """TLS 1.2 or later, to whoever the system's authorities vouch for, or those in `ca_file` besides them.

    Raises `OSError` where there is no such file or no certificate in it.
    """
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if ca_file is not None:
        context.load_verify_locations(ca_file)
    return context
