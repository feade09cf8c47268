"""The names of files in the settings of a connection."""

from os import PathLike
from typing import TypeAlias

FilePath: TypeAlias = str | PathLike[str]
