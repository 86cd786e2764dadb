# SPDX-License-Identifier: Apache-2.0
"""How near layers come to what the memory and the call of a function allow.

python -m benchmarks.layers.roofline [--cases ffm_multiply ...] [--batch 2048] [--steps 200] [--seconds 1]

Three bounds, in milliseconds: the bytes that a pass has to move at least (inputs, weights and what comes in from behind
read once, outputs and gradients written once) at the rate of copies larger than the cache, the same at the rate of
copies within it, and a compiled function that does nothing. Beside them the median and the best time of the pass. Two
threads, as in speed.py.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks import report
from benchmarks.layers import registry, worker

import numpy as np
import tensorflow as tf

LARGE, SMALL = 1 << 28, 1 << 18  # bytes that a thread copies: beyond any cache, and within its own
MEMORY_BOUND = ("ffm_multiply", "ffm_dot", "feature_insight", "irazor")


def times_of(function: Callable[[], Any], calls: int, seconds: float = 1.0) -> list[float]:
  """Seconds of each call: at most so many, and of those that begin in time."""
  times: list[float] = []
  end = time.perf_counter() + seconds
  while len(times) < calls and (len(times) < 3 or time.perf_counter() < end):
    begin = time.perf_counter()
    function()
    times.append(time.perf_counter() - begin)
  return times


def copy_rate(num_bytes: int, repeats: int) -> float:
  """Bytes read and written a second by threads that copy arrays of so many bytes, each its own; the best of some."""
  pairs = [(np.ones(num_bytes, np.uint8), np.zeros(num_bytes, np.uint8)) for _ in range(worker.THREADS)]

  def copy(pair: tuple[np.ndarray, np.ndarray]) -> None:
    for _ in range(repeats):
      np.copyto(pair[1], pair[0])

  with concurrent.futures.ThreadPoolExecutor(worker.THREADS) as pool:
    best = min(times_of(lambda: list(pool.map(copy, pairs)), 10, 5.0))
  return 2 * worker.THREADS * repeats * num_bytes / best


def empty_call() -> float:
  """Seconds that a compiled function takes which returns its input."""
  function, x = tf.function(tf.identity), tf.zeros([4])
  function(x)
  return statistics.median(times_of(lambda: function(x), 2000))


def num_bytes(tensors: Any) -> int:
  return sum(t.dtype.size * t.shape.num_elements() for t in tf.nest.flatten(tensors) if t is not None)


def moved_bytes(case: registry.Case, batch: int, which: str, results: Any, weights: Any) -> int:
  """What a pass reads and writes, once each; the backward pass reads what the forward pass read, and seeds."""
  read = num_bytes(tf.nest.map_structure(tf.constant, case.inputs(batch))) + num_bytes(weights)
  if which == "forward":
    return read + num_bytes(results)
  outputs, gradients = results
  return 2 * read + 2 * num_bytes(outputs) + num_bytes(gradients)


def case_lines(name: str, options: argparse.Namespace, rates: Sequence[float], call: float) -> list[str]:
  """A line for each pass of a case."""
  case, lines = registry.CASES[name], []
  calls, weights = worker.compile_peer(name, "ours", options.batch)
  for which, function in calls.items():
    moved = moved_bytes(case, options.batch, which, function(), weights)
    times = times_of(function, options.steps, options.seconds)
    bounds = [moved / rate for rate in rates]
    shown = [moved / 1e6, *(1e3 * t for t in (*bounds, call, statistics.median(times), min(times)))]
    lines.append(f"{name:16}{which:>8}" + "".join(f"{value:12.2f}" for value in shown))
  return lines


def run(options: argparse.Namespace) -> None:
  """Measures the bounds, then each case, and prints them."""
  rates, call = [copy_rate(options.megabytes << 20, 1), copy_rate(SMALL, 100)], empty_call()
  print(f"copies: {rates[0] / 1e9:.1f} GB/s beyond the cache, {rates[1] / 1e9:.1f} GB/s within it\n")
  print(f"{'ms':24}{'MB moved':>12}{'memory':>12}{'cache':>12}{'call':>12}{'median':>12}{'best':>12}", flush=True)
  for name in options.cases:
    print("\n".join(case_lines(name, options, rates, call)), flush=True)


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
  parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
  parser.add_argument("--cases", nargs="+", choices=registry.CASES, default=list(MEMORY_BOUND))
  parser.add_argument("--batch", type=int, default=2048)
  parser.add_argument("--steps", type=int, default=200, help="timed calls of each pass")
  parser.add_argument("--seconds", type=float, default=1.0, help="after so many a pass begins no more calls")
  parser.add_argument("--megabytes", type=int, default=LARGE >> 20, help="copied by each thread beyond the cache")
  return parser.parse_args(arguments)


def main() -> int:
  options = parse()
  tf.config.threading.set_intra_op_parallelism_threads(worker.THREADS)
  tf.config.threading.set_inter_op_parallelism_threads(worker.THREADS)
  report.header("benchmarks.layers.roofline")
  run(options)
  return 0


if __name__ == "__main__":
  sys.exit(main())
