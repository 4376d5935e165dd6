"""How it is measured: cases run interleaved in rotated order, by CPU time of the process, and medians are compared."""

import gc
import multiprocessing
import statistics
import time
from collections.abc import Callable
from pathlib import Path

Case = Callable[[int], None]
"""Runs a number of times."""


def interleaved(cases: dict[str, Case], *, rounds: int, number: int, collect: bool = True) -> dict[str, list[float]]:
    """Return microseconds of CPU time per run and round, by case.

    Args:
        cases: name -> function that does the work the given number of times.
        rounds: how often all cases are run; the order is rotated each time.
        number: how often a case does its work in a round.
        collect: whether to collect garbage before each turn; not where turns are short, which a collection leaves
            with cold caches.
    """
    names = list(cases)
    for name in names:
        cases[name](max(number // 10, 1))
    samples: dict[str, list[float]] = {name: [] for name in names}
    for i in range(rounds):
        for name in names[i % len(names) :] + names[: i % len(names)]:
            if collect:
                gc.collect()
            start = time.process_time_ns()
            cases[name](number)
            samples[name].append((time.process_time_ns() - start) / number / 1000)
    return samples


def in_processes(
    sample: Callable[[str], dict[str, list[float]]], folder: Path, processes: int
) -> list[dict[str, list[float]]]:
    """Call a function in new processes, one after the other: two processes of one program differ by several percent
    (memory layout, hash seed). Each gets a folder of its own.
    """
    context = multiprocessing.get_context("spawn")
    with context.Pool(1, maxtasksperchild=1) as pool:
        return pool.map(sample, [str(folder / str(i)) for i in range(processes)], chunksize=1)


def ratio(samples: dict[str, list[float]], case: str, base: str) -> float:
    """Return the median over rounds of case / base in the same round."""
    return statistics.median(a / b for a, b in zip(samples[case], samples[base], strict=True))


def median(samples: dict[str, list[float]], case: str) -> float:
    """Return the median of a case, in microseconds."""
    return statistics.median(samples[case])
