"""Start a command and write what it took: ``launch.py REPORT COMMAND...``.

A script of its own because Linux counts the memory of the process that starts a command as the
command's: this one loads next to nothing. Run it with ``python -I -S``.
"""

import json
import os
import sys
import time


def main() -> None:
    """Write the report; exit as the command does."""
    report, *command = sys.argv[1:]
    started = time.perf_counter()
    pid = os.posix_spawnp(command[0], command, os.environ)
    _, status, usage = os.wait4(pid, 0)
    seconds = time.perf_counter() - started
    unit = 1 if sys.platform == "darwin" else 1024
    with open(report, "w") as file:
        json.dump(
            {
                "seconds": seconds,
                "cpu_s": usage.ru_utime + usage.ru_stime,
                "peak_mb": usage.ru_maxrss * unit / 1e6,
            },
            file,
        )
    sys.exit(os.waitstatus_to_exitcode(status) and 1)


if __name__ == "__main__":
    main()
