"""The memory of a process."""

from pathlib import Path

MEBIBYTE = 1024 * 1024


def resident(pid: int) -> int:
    """The memory that the process occupies now, in bytes."""
    return _memory(pid, "VmRSS")


def peak(pid: int) -> int:
    """The most memory that it has occupied, in bytes."""
    return _memory(pid, "VmHWM")


def address_space(pid: int) -> int:
    """What a limit on the address space (RLIMIT_AS) is about, in bytes."""
    return _memory(pid, "VmSize")


def _memory(pid: int, what: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == what:
            return int(value.split()[0]) * 1024
    raise AssertionError(f"the process has no {what}")
