"""Runs a function in a process of its own, which inherits what this one has imported."""

import os
import resource
import select
import signal
import sys
import traceback
from collections.abc import Callable
from enum import Enum
from pathlib import Path

_MOST_MEMORY = 8 << 30


class Outcome(Enum):
    SURVIVED = "survived"
    KILLED = "killed"
    TIMED_OUT = "timed out"
    NOT_TRIED = "not tried"


# What `run` of `outcome_of` returns if it cannot make the change.
NOT_TRIED_STATUS = 75


def outcome_of(run: Callable[[], int], log: Path, seconds: float) -> Outcome:
    """Whether `run`, which runs tests and returns 0 if all pass, notices a mutant. It may end itself by SIGALRM."""
    status = exit_status(run, log, seconds, own_session=True)
    if status in (None, -signal.SIGALRM):
        return Outcome.TIMED_OUT
    return {0: Outcome.SURVIVED, NOT_TRIED_STATUS: Outcome.NOT_TRIED}.get(status or 0, Outcome.KILLED)


def exit_status(run: Callable[[], int], log: Path, seconds: float | None, *, own_session: bool) -> int | None:
    """What `run` returns, in a process of its own. None if it took more than `seconds`. Its output goes to `log`.

    With `own_session`, the processes that it has started end with it.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        _be_the_child(run, log, own_session=own_session)
    ended = os.pidfd_open(child)
    try:
        in_time = bool(select.select([ended], [], [], seconds)[0])
    finally:
        os.close(ended)
        try:
            if own_session:
                os.killpg(child, signal.SIGKILL)
            else:
                os.kill(child, signal.SIGTERM)
        except ProcessLookupError:
            os.kill(child, signal.SIGKILL)
        status = os.waitpid(child, 0)[1]
    return os.waitstatus_to_exitcode(status) if in_time else None


def _be_the_child(run: Callable[[], int], log: Path, *, own_session: bool) -> None:
    status = 70
    try:
        if own_session:
            os.setsid()
        resource.setrlimit(resource.RLIMIT_AS, (_MOST_MEMORY, _MOST_MEMORY))
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(output, 1)
        os.dup2(output, 2)
        status = run()
    except BaseException:
        traceback.print_exc()
        raise
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
