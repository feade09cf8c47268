"""Commands that tests of a release run."""

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
PATIENCE = 600.0


def output_of(*command: str | Path, folder: Path = ROOT, **variables: str) -> str:
    """Runs a command, which has to succeed, and returns its standard output."""
    ended = subprocess.run(
        command,
        cwd=folder,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=PATIENCE,
        check=False,
    )
    assert ended.returncode == 0, f"{command} ended with {ended.returncode}:\n{ended.stdout}{ended.stderr}"
    return ended.stdout
