#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures Python's multiprocessing for the benchmarks: one request a line.

  fork|spawn|forkserver COUNT   start + join, the median in microseconds
  memory COUNT                  private KiB of an idle child of the fork server
  memory-server COUNT           private KiB of the fork server itself
  memory-worker COUNT           private KiB of an idle worker of a pool, of the
                                fork server's
  memory-forked-worker COUNT    the same of one that was forked

Each answer is one line with a number; 0 means that it cannot be done here.
Works with Python 3.8 and later.
"""
import multiprocessing
import multiprocessing.forkserver
import os
import re
import statistics
import sys
import time


def target():
    sys.exit(7)


def sleep():
    time.sleep(60)


def worker_pid(_):
    return os.getpid()


def start_and_join(context):
    start = time.perf_counter_ns()
    process = context.Process(target=target)
    process.start()
    process.join()
    end = time.perf_counter_ns()
    if process.exitcode != 7:
        raise RuntimeError(f"exit code {process.exitcode}")
    return (end - start) / 1000


def private_kib(pid):
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
        return sum(int(number) for number in re.findall(r"^Private_\w+: +(\d+) kB", file.read(), re.M))


def measure_memory(of_server):
    context = multiprocessing.get_context("forkserver")
    process = context.Process(target=sleep)
    process.start()
    time.sleep(0.2)
    server = multiprocessing.forkserver._forkserver._forkserver_pid
    value = private_kib(server if of_server else process.pid)
    process.kill()
    process.join()
    return value


def measure_worker(context):
    with context.Pool(2) as pool:
        pids = set(pool.map(worker_pid, range(1000)))
        time.sleep(0.2)
        return private_kib(min(pids))


def measure(what, count):
    if what.endswith("worker"):
        return measure_worker(multiprocessing.get_context("fork" if "forked" in what else "forkserver"))
    if what.startswith("memory"):
        return measure_memory(what == "memory-server")
    context = multiprocessing.get_context(what)
    return statistics.median(start_and_join(context) for _ in range(count))


def main():
    print("ready", flush=True)
    # Read by readline(): children must not inherit lines that were read ahead.
    for line in iter(sys.stdin.readline, ""):
        what, count = line.split()
        try:
            value = measure(what, int(count))
        except (OSError, ValueError, RuntimeError, AttributeError):
            value = 0
        print(f"{value:.3f}", flush=True)


if __name__ == "__main__":
    main()
