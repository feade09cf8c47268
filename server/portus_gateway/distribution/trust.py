"""Which certificates of servers are trusted."""

import ssl
from pathlib import Path


def client_tls_context(ca_file: Path | None) -> ssl.SSLContext:
    """TLS 1.2 or later, with the system's CA certificates and those in `ca_file`.

    Raises `OSError` if that file does not exist or has no certificate in it.
    """
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if ca_file is not None:
        context.load_verify_locations(ca_file)
    return context
