"""What the gateway costs and saves, always against something that is measured in the same run (see README.md)."""

# Before grpc: each process that is started is a fork, of which it warns though nothing comes of it.
from portus_gateway.telemetry import quiet_grpc  # noqa: F401
