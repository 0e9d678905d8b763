#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures multiprocessing.Pipe for bench/pipe: one request a line.

  round-trip:SIZE COUNT    send_bytes + recv_bytes there and back
  one-way:SIZE COUNT       send_bytes here, recv_bytes there

Each answer is one line with the microseconds of one message. The process at
the other end is forked once, and stays. Works with Python 3.8 and later.
"""
import multiprocessing
import sys
import time


def serve(conn, other):
    other.close()
    while True:
        request = conn.recv()
        if request is None:
            return
        size, count, is_round_trip = request
        for _ in range(count):
            data = conn.recv_bytes()
            if len(data) != size:
                return
            if is_round_trip:
                conn.send_bytes(data)
        if not is_round_trip:
            conn.send_bytes(b"all")


def measure(conn, what, count):
    kind, size = what.split(":")
    is_round_trip = kind == "round-trip"
    data = bytes(int(size))
    conn.send((int(size), count, is_round_trip))
    start = time.perf_counter_ns()
    for _ in range(count):
        conn.send_bytes(data)
        if is_round_trip:
            conn.recv_bytes()
    if not is_round_trip:
        conn.recv_bytes()
    return (time.perf_counter_ns() - start) / 1000 / count


def main():
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=serve, args=(theirs, ours), daemon=True)
    process.start()
    theirs.close()
    print("ready", flush=True)
    for line in iter(sys.stdin.readline, ""):
        what, count = line.split()
        try:
            value = measure(ours, what, int(count))
        except (OSError, ValueError, EOFError):
            value = 0
        print(f"{value:.4f}", flush=True)
    ours.send(None)


if __name__ == "__main__":
    main()
