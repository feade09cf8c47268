"""The policy, which is read again when its file changes."""

from pathlib import Path

from portus_gateway.access.policy import Policy
from portus_gateway.access.policy_parsing import parse_policy
from portus_gateway.access.reloaded_file import ReloadedFile


class PolicyFile(ReloadedFile[Policy]):
    """The policy in the file at `path`. Raises `InvalidAccessFile` if there is no valid one to begin with."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, parse_policy)

    @property
    def policy(self) -> Policy:
        """The policy in force."""
        return self.content
