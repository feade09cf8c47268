"""`portus-gateway` with the bug that PLANTED_BUG names: `python -m tests.convergence.gateway_with_bug serve`."""

import os

import pytest

from portus_gateway.cli import main
from tests.convergence.planted_bugs import BUGS

if __name__ == "__main__":
    with pytest.MonkeyPatch.context() as patch:
        BUGS[os.environ["PLANTED_BUG"]](patch)
        main()
