#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures Python's pools for bench/pool: one request a line.

    python_pool.py WORKERS LIBRARY

  KIND/ITERATIONS COUNT       so many tasks of so many iterations

The work of a task is busy_work() of the library, called by ctypes, except that
tasks without iterations just add in Python. Each answer is one line with the
nanoseconds of one task. The workers are forked once, and stay. Works with
Python 3.8 and later.
"""
import concurrent.futures
import ctypes
import multiprocessing
import sys
import time

context = multiprocessing.get_context("fork")
work = ctypes.CDLL(sys.argv[2]).busy_work
work.argtypes = ctypes.c_uint64, ctypes.c_uint32
work.restype = ctypes.c_uint64


def trivial(value):
    return value + 1


def short(value):
    return work(value, iterations.value)


def unordered(pool, function, values):
    return sorted(pool.imap_unordered(function, values))


def apply_async(pool, function, values):
    results = [pool.apply_async(function, (value,)) for value in values]
    return [result.get() for result in results]


def submit(executor, function, values):
    futures = [executor.submit(function, value) for value in values]
    return [future.result() for future in futures]


KINDS = {
    "map-1": lambda function, values: pool.map(function, values, chunksize=1),
    "map": lambda function, values: pool.map(function, values),
    "unordered": lambda function, values: unordered(pool, function, values),
    "apply-async": lambda function, values: apply_async(pool, function, values),
    "apply": lambda function, values: [pool.apply(function, (value,)) for value in values],
    "submit": lambda function, values: submit(executor, function, values),
    "executor-map": lambda function, values: list(executor.map(function, values)),
}


def run(kind, count):
    function = short if iterations.value else trivial
    values = range(count)
    start = time.perf_counter_ns()
    results = KINDS[kind](function, values)
    end = time.perf_counter_ns()
    first = results[0]
    if len(results) != count or any((result - first) % (1 << 64) != i for i, result in enumerate(results)):
        raise ValueError("these are not the results")
    return (end - start) / count


def main():
    print("ready", flush=True)
    for line in iter(sys.stdin.readline, ""):
        request, count = line.split()
        kind, number = request.split("/")
        iterations.value = int(number)
        try:
            run(kind, int(count) // 8 + 1)  # to warm up
            value = run(kind, int(count))
        except (OSError, ValueError, RuntimeError) as error:
            print(error, file=sys.stderr)
            value = 0
        print(f"{value:.3f}", flush=True)
    pool.terminate()
    executor.shutdown()


if __name__ == "__main__":
    iterations = context.RawValue("I")
    pool = context.Pool(int(sys.argv[1]))
    executor = concurrent.futures.ProcessPoolExecutor(int(sys.argv[1]), context)
    executor.submit(trivial, 0).result()
    main()
