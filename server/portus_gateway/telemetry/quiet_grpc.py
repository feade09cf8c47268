"""Keeps gRPC's core from writing to standard error, where it has a form of its own; import it before grpc.

What concerns anybody comes as an error as well. GRPC_VERBOSITY in the environment goes before this.
"""

import os

os.environ.setdefault("GRPC_VERBOSITY", "NONE")
