#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures multiprocessing's objects of synchronisation for bench/sync: one request a line.

  OBJECT:PLAYERS:PLACE COUNT    as bench/sync_team.h says

Each answer is one line with the nanoseconds of one operation. The other
processes are forked once, and stay. Works with Python 3.8 and later.
"""
import multiprocessing
import os
import sys
import time

PLAYERS = 4

context = multiprocessing.get_context("fork")
counter = context.RawValue("Q")
arrived = context.RawValue("I")
opened = context.RawValue("I")
start_time = context.RawValue("d")
turn = context.RawValue("I")
gate = context.Lock()
lock, recursive, semaphore = context.Lock(), context.RLock(), context.Semaphore(1)
barriers = {parties: context.Barrier(parties) for parties in range(2, PLAYERS + 1)}
events = context.Event(), context.Event()
condition = context.Condition()
give_way = getattr(os, "sched_yield", lambda: time.sleep(0))
cpus = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def hold(it, count):
    acquire, release = it.acquire, it.release
    for _ in range(count):
        acquire()
        counter.value += 1
        release()


def hear(event):
    event.wait()
    event.clear()


def play_event(player, _players, count):
    for _ in range(count):
        if player == 1:
            hear(events[0])
        events[player].set()
        if player == 0:
            hear(events[1])


def play_barrier(_player, players, count):
    for _ in range(count):
        barriers[players].wait()


def play_condition(player, players, count):
    for _ in range(count):
        with condition:
            while turn.value != player:
                condition.wait()
            turn.value = (player + 1) % players
            condition.notify()


PLAYS = {
    "lock": lambda player, players, count: hold(lock, count),
    "recursive": lambda player, players, count: hold(recursive, count),
    "semaphore": lambda player, players, count: hold(semaphore, count),
    "barrier": play_barrier,
    "event": play_event,
    "condition": play_condition,
}
COUNTED = ("lock", "recursive", "semaphore")


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


def play(player, what, players, place, count):
    if cpus:
        os.sched_setaffinity(0, {cpus[0 if place == "together" else player % len(cpus)]})
    meet(players)
    PLAYS[what](player, players, count)
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
    counter.value = 0
    for conn in conns[1:players]:
        conn.send(task)
    ends = [play(0, *task)] + [conn.recv() for conn in conns[1:players]]
    operations = count
    if what in COUNTED:
        operations *= players
        if counter.value != operations:
            raise ValueError(f"{counter.value} operations were counted, of {operations}")
    return (max(ends) - start_time.value) / operations


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
            value = measure(conns, request, int(count))
        except (OSError, ValueError, EOFError) as error:
            print(error, file=sys.stderr)
            value = 0
        print(f"{value:.3f}", flush=True)
    for conn in conns[1:]:
        conn.send(None)


if __name__ == "__main__":
    main()
