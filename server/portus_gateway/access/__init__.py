"""Access control: authentication, policy, limits and the audit log.

It knows neither the registry's HTTP API nor the messages of the RPCs.
"""
