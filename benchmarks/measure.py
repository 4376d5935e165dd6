"""How it is measured: cases run interleaved in rotated order, by CPU time of the process, and medians are compared."""

import gc
import statistics
import time
from collections.abc import Callable

Case = Callable[[int], None]
"""Runs a number of times."""


def interleaved(cases: dict[str, Case], *, rounds: int, number: int) -> dict[str, list[float]]:
    """Return microseconds of CPU time per run and round, by case.

    Args:
        cases: name -> function that does the work the given number of times.
        rounds: how often all cases are run; the order is rotated each time.
        number: how often a case does its work in a round.
    """
    names = list(cases)
    for name in names:
        cases[name](max(number // 10, 1))
    samples: dict[str, list[float]] = {name: [] for name in names}
    for i in range(rounds):
        for name in names[i % len(names) :] + names[: i % len(names)]:
            gc.collect()
            start = time.process_time_ns()
            cases[name](number)
            samples[name].append((time.process_time_ns() - start) / number / 1000)
    return samples


def ratio(samples: dict[str, list[float]], case: str, base: str) -> float:
    """Return the median over rounds of case / base in the same round."""
    return statistics.median(a / b for a, b in zip(samples[case], samples[base], strict=True))


def median(samples: dict[str, list[float]], case: str) -> float:
    """Return the median of a case, in microseconds."""
    return statistics.median(samples[case])
