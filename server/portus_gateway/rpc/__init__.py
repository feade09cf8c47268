"""The gRPC side: parses requests, calls the registry, maps the answers. Knows proto, and no HTTP."""
