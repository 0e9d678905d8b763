#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Kills the first process of a family at random instants, again and again, and looks for members that outlive it.

    kill_roots.py PROGRAM [--seconds N] [--seed N]

PROGRAM is the test program `family` of a build (build/debug/tests/programs/family). The first process is killed by SIGKILL
between 0 and 12 ms after its start, so that kills fall on each step of starting a fork server, children by every method, from
the main thread and from another, and a grandchild. Linux only: it looks into /proc.
"""
import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time


def members(program):
    """The process ids of all that run this program and are no zombies."""
    found = []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{entry}/cmdline", "rb") as file:
                command = file.read()
            with open(f"/proc/{entry}/stat") as file:
                state = file.read().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if command.startswith(program.encode()) and state != "Z":
            found.append(int(entry))
    return found


def kill_one(program):
    """Start a family, kill its root: who outlives it by three seconds, and how long the slowest member took."""
    command = [program, random.choice(["forkserver", "fork", "spawn"])] + random.choice([[], ["thread"]])
    root = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(random.random() * 0.012)
    root.kill()
    root.wait()
    killed = time.monotonic()
    while members(program) and time.monotonic() - killed < 3:
        time.sleep(0.002)
    return command[1:], members(program), time.monotonic() - killed


def main():
    parser = argparse.ArgumentParser(usage=__doc__.split("\n\n")[1].strip())
    parser.add_argument("program")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    options = parser.parse_args()
    random.seed(options.seed)
    kills = failures = 0
    slowest = 0.0
    with tempfile.TemporaryDirectory() as folder:
        # A name of its own: other families on this machine are not its business.
        program = shutil.copy(options.program, os.path.join(folder, "family"))
        start = time.monotonic()
        while time.monotonic() - start < options.seconds:
            command, survivors, took = kill_one(program)
            kills += 1
            slowest = max(slowest, took)
            if survivors:
                failures += 1
                print("survived:", command, survivors)
                for pid in survivors:
                    os.kill(pid, 9)
    print(f"seed {options.seed}, {options.seconds:.0f} s: {kills} roots killed, {failures} families with survivors, "
          f"slowest end {slowest * 1000:.0f} ms")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
