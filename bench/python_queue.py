#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures multiprocessing's queues for bench/queue: one request a line.

  QUEUE/SIZE:PLAYERS:PLACE COUNT       so many items from half of the processes
                                       to the others
  QUEUE/back:PLAYERS:PLACE COUNT       an item of 64 B there and back

QUEUE is "queue" or "simple". Each answer is one line with the nanoseconds of
one item. The other processes are forked once, and stay. Works with Python 3.8
and later.
"""
import multiprocessing
import os
import sys
import time

PLAYERS = 8
CAPACITIES = {64: 1024, 4096: 64, 1 << 20: 4}

context = multiprocessing.get_context("fork")
arrived = context.RawValue("I")
opened = context.RawValue("I")
start_time = context.RawValue("d")
gate = context.Lock()
queues = {f"queue/{size}": (context.Queue(capacity),) for size, capacity in CAPACITIES.items()}
queues.update((f"simple/{size}", (context.SimpleQueue(),)) for size in CAPACITIES)
queues["queue/back"] = context.Queue(CAPACITIES[64]), context.Queue(CAPACITIES[64])
queues["simple/back"] = context.SimpleQueue(), context.SimpleQueue()
give_way = getattr(os, "sched_yield", lambda: time.sleep(0))
cpus = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def meet(players):
    was = opened.value
    with gate:
        arrived.value += 1
        is_last = arrived.value == players
    if is_last:
        arrived.value = 0
        start_time.value = time.perf_counter_ns()
        opened.value = was + 1
        return
    while opened.value == was:
        give_way()


def get(queue, size):
    if len(queue.get()) != size:
        raise ValueError("an item of another size came")


def play(player, what, players, place, count):
    if cpus:
        ours = cpus if place == "anywhere" else [cpus[0 if place == "together" else player % len(cpus)]]
        os.sched_setaffinity(0, ours)
    size = 64 if what.endswith("/back") else int(what.partition("/")[2])
    data = bytes(size)
    meet(players)
    there, back = queues[what] if what.endswith("/back") else queues[what] * 2
    if what.endswith("/back"):
        for _ in range(count):
            if player == 0:
                there.put(data)
                get(back, size)
            else:
                get(there, size)
                back.put(data)
    else:
        for _ in range(count // (players // 2)):
            if player < players // 2:
                there.put(data)
            else:
                get(there, size)
    return time.perf_counter_ns()


def serve(player, conn):
    while True:
        task = conn.recv()
        if task is None:
            return
        conn.send(play(player, *task))


def measure(conns, request, count):
    what, players, place = request.split(":")
    players = int(players)
    task = what, players, place, count
    for conn in conns[1:players]:
        conn.send(task)
    ends = [play(0, *task)] + [conn.recv() for conn in conns[1:players]]
    return (max(ends) - start_time.value) / count


def main():
    conns = [None]
    for player in range(1, PLAYERS):
        ours, theirs = context.Pipe()
        context.Process(target=serve, args=(player, theirs), daemon=True).start()
        conns.append(ours)
    print("ready", flush=True)
    for line in iter(sys.stdin.readline, ""):
        request, count = line.split()
        try:
            measure(conns, request, int(count) // 4 + PLAYERS)  # to warm up
            value = measure(conns, request, int(count))
        except (OSError, ValueError, EOFError) as error:
            print(error, file=sys.stderr)
            value = 0
        print(f"{value:.3f}", flush=True)
    for conn in conns[1:]:
        conn.send(None)


if __name__ == "__main__":
    main()
