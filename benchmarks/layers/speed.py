# SPDX-License-Identifier: Apache-2.0
"""Layers against straightforward compositions: time forward, and forward and backward, and peak memory; 2 threads.

python -m benchmarks.layers.speed [--cases ffm_dot ...] [--batch 2048] [--steps 40] [--rounds 1]

A layer and its composition (registry.py) take turns call by call, in one process. Times are medians; a ratio is the
composition's time by ours; memory is what a process of the layer's own, or the composition's, grew by at its peak.
Outputs and gradients of both must agree, or the run fails.

No layer is to be slower than SLOWEST of its composition, and some are to be faster by a factor (their target). Ratios
of calls of less than a millisecond vary by a few percent from run to run.
"""

from __future__ import annotations

import argparse
import statistics
import sys

from benchmarks import report
from benchmarks.layers import registry, worker
from benchmarks.tables import throughput

CHECKSUM_TOLERANCE = 1e-4
SLOWEST = 1.05

Rows = dict[str, dict[str, float]]


def summarise(times: dict[str, list[float]], weight: dict[str, float]) -> dict[str, float]:
  """Milliseconds of both passes and MiB, beside the checksum."""
  medians = {name: 1e3 * statistics.median(times[name]) for name in ("forward", "both")}
  return {**medians, "peak": weight["peak"] / 2**20, "checksum": weight["checksum"]}


def check_sums(rows: Rows) -> None:
  """Raises BenchmarkError if the layer and its composition disagree."""
  throughput.check_agreement("checksum", {peer: row["checksum"] for peer, row in rows.items()}, CHECKSUM_TOLERANCE)


def run_case(name: str, batch: int, steps: int, rounds: int) -> Rows:
  """Runs both peers in turns; returns their rows.

  Raises:
    BenchmarkError: one fails.
  """
  command = [sys.executable, "-m", "benchmarks.layers.worker", "--case", name, "--batch", str(batch)]
  weights = {peer: throughput.run_command([*command, "--peer", peer]) for peer in worker.PEERS}
  done: dict[str, list[dict[str, float]]] = {}
  for _ in range(rounds):
    times = throughput.run_command([*command, "--steps", str(steps)])
    for peer in worker.PEERS:
      done.setdefault(peer, []).append(summarise(times[peer], weights[peer]))
  return {peer: throughput.merge_rounds(rows) for peer, rows in done.items()}


def header_line() -> str:
  passes = "".join(f" |{name + ' ms':>13}{'composition':>12}{'ratio':>7}" for name in ("forward", "both"))
  return f"{'layer':17}{passes} |{'peak MiB':>9}{'composition':>12} | checksum"


def row_line(name: str, rows: Rows, target: float | None) -> str:
  """One line of the table, with the verdict where there is a target, or where a pass is too slow."""
  ours, other = rows["ours"], rows["composition"]
  passes = "".join(f" |{ours[p]:13.2f}{other[p]:12.2f}{other[p] / ours[p]:7.2f}" for p in ("forward", "both"))
  line = f"{name:17}{passes} |{ours['peak']:9.1f}{other['peak']:12.1f} | {ours['checksum']:.6g}"
  if target is not None:
    line += f"  target {target:g}: {'met' if other['both'] / ours['both'] >= target else 'MISSED'}"
  slow = [p for p in ("forward", "both") if ours[p] > SLOWEST * other[p]]
  return f"{line}  SLOW: {', '.join(slow)}" if slow else line


def main() -> int:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--cases", nargs="+", choices=registry.CASES, default=list(registry.CASES))
  parser.add_argument("--batch", type=int, default=2048)
  parser.add_argument("--steps", type=int, default=40, help="timed calls of each pass")
  parser.add_argument("--rounds", type=int, default=1, help="processes that time both; numbers are medians over them")
  arguments = parser.parse_args()
  report.header("benchmarks.layers.speed")
  print(f"batch {arguments.batch}, {worker.THREADS} threads\n\n{header_line()}", flush=True)
  status = 0
  for name in arguments.cases:
    try:
      rows = run_case(name, arguments.batch, arguments.steps, arguments.rounds)
      print(row_line(name, rows, registry.CASES[name].target), flush=True)
      check_sums(rows)
    except throughput.BenchmarkError as error:
      print(f"error: {name}: {error}", file=sys.stderr)
      status = 1
  return status


if __name__ == "__main__":
  sys.exit(main())
