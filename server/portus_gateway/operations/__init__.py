"""What an RPC does beyond one request: list, guard, audit, choose a platform."""
