"""What the kernel knows of a process and of the machine: CPU time, memory, open files. Linux only."""

import os
import time
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


def busy_share(seconds: float) -> float:
    """The share (0 to 1) of the machine's processors that is busy, measured for `seconds` (proc(5), `/proc/stat`)."""
    idle, total = _processor_times()
    time.sleep(seconds)
    idle_after, total_after = _processor_times()
    return 1 - (idle_after - idle) / (total_after - total)


def _processor_times() -> tuple[int, int]:
    # Fields: user, nice, system, idle, iowait, irq, softirq, steal. The guests' times are in user and nice already.
    times = [int(field) for field in Path("/proc/stat").read_text().partition("\n")[0].split()[1:9]]
    return times[3] + times[4], sum(times)


def cpu_seconds(pid: int) -> float:
    """User and system time of all its threads so far, in steps of 10 ms (proc(5), fields 14 and 15 of `stat`)."""
    # The program's name comes second, in parentheses, and may have blanks in it.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def resident_bytes(pid: int) -> int:
    """The memory that it has now."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE


def peak_resident_bytes(pid: int) -> int:
    """The most memory that it ever had, or since `forget_peak`."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise LookupError(f"process {pid} has no VmHWM in its status")


def forget_peak(pid: int) -> None:
    """Begins to look for the peak anew (proc(5), `clear_refs`)."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def open_files(pid: int) -> int:
    """Its file descriptors, sockets among them."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def open_sockets(pid: int) -> int:
    """Its sockets."""
    count = 0
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            count += os.readlink(f"/proc/{pid}/fd/{name}").startswith("socket:")
        except FileNotFoundError:
            continue
    return count


def threads(pid: int) -> int:
    """Its threads."""
    return len(os.listdir(f"/proc/{pid}/task"))
