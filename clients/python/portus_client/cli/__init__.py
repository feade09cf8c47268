"""The command `portus-client`."""

import os
import sys


def main() -> None:
    """Runs the command with the arguments of this process."""
    # gRPC reads this when it is imported, and would write its own account of a refused connection beside our line.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    try:
        from portus_client.cli.command import run

        sys.exit(run(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
