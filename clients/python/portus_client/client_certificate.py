"""A client certificate that can be renewed while a client uses it."""

import ssl
import threading
from pathlib import Path
from typing import Final, TypeAlias

from portus_client.file_path import FilePath

# What changes when a file is written or replaced: time in nanoseconds, inode, size. None if a file cannot be read.
_State: TypeAlias = tuple[tuple[int, int, int], ...] | None


class ClientCertificate:
    """A certificate and its key, in PEM format. Threads can share it.

    Raises `ValueError` if the files do not belong together, `OSError` if one cannot be read.
    """

    def __init__(self, certificate_file: FilePath, key_file: FilePath) -> None:
        self._files: Final = (Path(certificate_file), Path(key_file))
        self._lock = threading.Lock()
        self._seen = self._state()
        self.pair = self._read()
        """The certificate and its key, as read last."""

    def is_renewed(self) -> bool:
        """Reads the files if they have changed. Returns whether they have a new certificate with its key.

        While the files cannot be used, the certificate that was read before stays: the two files are not replaced at
        the same moment.
        """
        with self._lock:
            state = self._state()
            if state is None or state == self._seen:
                return False
            try:
                pair = self._read()
            except (OSError, ValueError):
                return False
            if self._state() != state:
                # The files changed while they were read. The next call looks again.
                return False
            self._seen = state
            renewed = pair != self.pair
            self.pair = pair
            return renewed

    def _read(self) -> tuple[bytes, bytes]:
        certificate_file, key_file = self._files
        try:
            # Without a password argument, an encrypted key would make OpenSSL ask on the terminal.
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(certificate_file, key_file, password="")
        except ssl.SSLError as error:
            raise ValueError(
                f"{certificate_file} and {key_file} are not a certificate and its unencrypted key in PEM format"
            ) from error
        return certificate_file.read_bytes(), key_file.read_bytes()

    def _state(self) -> _State:
        try:
            found = [file.stat() for file in self._files]
        except OSError:
            return None
        return tuple((status.st_mtime_ns, status.st_ino, status.st_size) for status in found)
