#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures Python's subprocess for bench/program: one request a line.

    python_program.py PROGRAM MIB

PROGRAM is what it starts, MIB is how much touched memory it is to have.

  python/start COUNT             Popen + wait, the median in microseconds
  python/capture COUNT           run with both outputs captured, likewise
  python/communicate:MIB COUNT   so much there and back, in milliseconds

Each answer is one line with a number; 0 means that it cannot be done here.
Works with Python 3.8 and later.
"""
import mmap
import statistics
import subprocess
import sys
import time

PROGRAM = sys.argv[1]
EXIT_CODE = 7


def touch_memory(size):
    """Small pages, as the other large parents have."""
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_NOHUGEPAGE"):
        memory.madvise(mmap.MADV_NOHUGEPAGE)
    for at in range(0, size, 4096):
        memory[at] = 1
    return memory


def check(is_right):
    if not is_right:
        raise RuntimeError("not what was expected")


def start():
    begin = time.perf_counter_ns()
    code = subprocess.Popen([PROGRAM, "--exit"]).wait()
    end = time.perf_counter_ns()
    check(code == EXIT_CODE)
    return (end - begin) / 1e3


def capture():
    begin = time.perf_counter_ns()
    done = subprocess.run([PROGRAM, "--say"], capture_output=True)
    end = time.perf_counter_ns()
    check(done.returncode == EXIT_CODE and len(done.stdout) == 4096 and len(done.stderr) == 64)
    return (end - begin) / 1e3


def communicate(data):
    begin = time.perf_counter_ns()
    child = subprocess.Popen([PROGRAM, "--echo"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    output = child.communicate(data)[0]
    end = time.perf_counter_ns()
    check(child.returncode == EXIT_CODE and len(output) == len(data) and output[-1] == data[-1])
    return (end - begin) / 1e6


class Measuring:
    data = b""

    def measure(self, what, count):
        name, _, mib = what.partition("/")[2].partition(":")
        if name == "communicate":
            size = int(mib) << 20
            if len(self.data) != size:
                self.data = b"mproc..\n" * (size // 8)
            return statistics.median(communicate(self.data) for _ in range(count))
        operation = {"start": start, "capture": capture}[name]
        return statistics.median(operation() for _ in range(count))


def main():
    memory = touch_memory(int(sys.argv[2]) << 20) if int(sys.argv[2]) else None
    measuring = Measuring()
    print("ready", flush=True)
    # Read by readline(): programs must not inherit lines that were read ahead.
    for line in iter(sys.stdin.readline, ""):
        what, count = line.split()
        try:
            value = measuring.measure(what, int(count))
        except (OSError, ValueError, RuntimeError, KeyError, MemoryError):
            value = 0
        print(f"{value:.3f}", flush=True)
    del memory


if __name__ == "__main__":
    main()
