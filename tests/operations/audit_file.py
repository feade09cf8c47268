"""An audit log that a test reads."""

import json
from pathlib import Path

from portus_gateway.access.audit_log import AuditLog
from portus_gateway.distribution.names import Repository
from portus_gateway.operations.deletion_audit import DeletionAudit

NAME = Repository("team-a/scratch/app")
"""A repository in which the caller of these tests may delete."""


class AuditFile:
    """An audit log, and what is in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.log = AuditLog(str(path), sync=False)
        self.audit = DeletionAudit(self.log, lambda: "the-id")

    @property
    def records(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.path.read_text().splitlines()]
