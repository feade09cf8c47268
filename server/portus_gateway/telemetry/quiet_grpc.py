"""Keeps log messages of gRPC that nobody needs out of the log. Import it before gRPC.

gRPC's core writes to standard error in its own format. What matters is also raised as an error. GRPC_VERBOSITY in the
environment overrides this. gRPC's Python part logs a traceback of 45 lines when a caller goes away while its answer is
being sent.
"""

import logging
import os
from typing import Final

_UNSENT: Final = 'Failed "execute_batch"'

os.environ.setdefault("GRPC_VERBOSITY", "NONE")


def is_needed(record: logging.LogRecord) -> bool:
    """False for the record of an answer that could not be sent, because its caller had gone."""
    error = record.exc_info[1] if record.exc_info else None
    return error is None or not str(error).startswith(_UNSENT)


logging.getLogger("grpc._cython.cygrpc").addFilter(is_needed)
