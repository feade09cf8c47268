"""A reference to a manifest in a repository: its tag or its digest."""

from typing import TypeAlias

from portus_gateway.distribution.digest import Digest
from portus_gateway.distribution.names import Tag

Reference: TypeAlias = Tag | Digest
