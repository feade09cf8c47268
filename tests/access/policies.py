"""Policies and callers for the tests of this folder."""

from dataclasses import dataclass

from portus_gateway.access.caller import Caller
from portus_gateway.access.policy import Policy
from portus_gateway.access.policy_parsing import parse_policy

TEAM_A = """
[[allow]]
name = "team a reads"
principals = ["token:a"]
rpcs = ["read"]
repositories = ["team-a/**"]

[[allow]]
name = "team a deletes its scratch"
principals = ["token:a"]
rpcs = ["delete"]
repositories = ["team-a/scratch/**"]

[[allow]]
name = "the operator does all"
principals = ["token:root"]
rpcs = ["*"]
repositories = ["**"]
"""

A = Caller.known_as("token", ["token:a"])
ROOT = Caller.known_as("token", ["token:root"])
STRANGER = Caller.known_as("token", ["token:stranger"])


def parsed(text: str) -> Policy:
    return parse_policy(text.encode(), "policy.toml")


@dataclass
class Fixed:
    """A policy source whose policy the test changes itself."""

    policy: Policy
