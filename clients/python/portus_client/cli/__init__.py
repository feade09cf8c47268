"""The command `portus-client`."""

import os
import sys


def main() -> None:
    """Runs the command with the arguments of this process."""
    # gRPC reads this variable when it is imported. Without it, gRPC prints its own messages besides ours.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    try:
        from portus_client.cli import standard_streams

        standard_streams.ensure_open()
        from portus_client.cli.command import run

        sys.exit(run(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
