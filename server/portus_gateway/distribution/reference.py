"""What names a manifest within its repository."""

from typing import TypeAlias

from portus_gateway.distribution.digest import Digest
from portus_gateway.distribution.names import Tag

Reference: TypeAlias = Tag | Digest
