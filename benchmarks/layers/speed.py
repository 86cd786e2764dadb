# SPDX-License-Identifier: Apache-2.0
"""Layers against straightforward compositions: time forward, and forward and backward, and peak memory; 2 threads.

python -m benchmarks.layers.speed [--cases ffm_dot ...] [--batch 2048] [--steps 20] [--rounds 1]

Each layer and each composition (registry.py) runs in a process of its own, in turns. Times are medians; a ratio is the
composition's time by ours; memory is what the process grew by at its peak. Outputs and gradients of both must agree,
or the run fails.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from typing import Any

from benchmarks import report
from benchmarks.layers import registry, worker
from benchmarks.tables import throughput

CHECKSUM_TOLERANCE = 1e-4

Rows = dict[str, dict[str, float]]


def summarise(result: dict[str, Any]) -> dict[str, float]:
  """Milliseconds of both passes and MiB, beside the checksum."""
  times = {name: 1e3 * statistics.median(result[name]) for name in ("forward", "both")}
  return {**times, "peak": result["peak"] / 2**20, "checksum": result["checksum"]}


def check_sums(rows: Rows) -> None:
  """Raises BenchmarkError if the layer and its composition disagree."""
  throughput.check_agreement("checksum", {peer: row["checksum"] for peer, row in rows.items()}, CHECKSUM_TOLERANCE)


def run_case(name: str, batch: int, steps: int, rounds: int) -> Rows:
  """Runs both peers in turns; returns their rows.

  Raises:
    BenchmarkError: one fails.
  """
  done: dict[str, list[dict[str, float]]] = {}
  for _ in range(rounds):
    for peer in worker.PEERS:
      command = [sys.executable, "-m", "benchmarks.layers.worker", "--case", name, "--peer", peer]
      result = throughput.run_command([*command, "--batch", str(batch), "--steps", str(steps)])
      done.setdefault(peer, []).append(summarise(result))
  return {peer: throughput.merge_rounds(rows) for peer, rows in done.items()}


def header_line() -> str:
  passes = "".join(f" |{name + ' ms':>13}{'composition':>12}{'ratio':>7}" for name in ("forward", "both"))
  return f"{'layer':17}{passes} |{'peak MiB':>9}{'composition':>12} | checksum"


def row_line(name: str, rows: Rows, target: float | None) -> str:
  """One line of the table, with the verdict where there is a target."""
  ours, other = rows["ours"], rows["composition"]
  passes = "".join(f" |{ours[p]:13.2f}{other[p]:12.2f}{other[p] / ours[p]:7.2f}" for p in ("forward", "both"))
  line = f"{name:17}{passes} |{ours['peak']:9.1f}{other['peak']:12.1f} | {ours['checksum']:.6g}"
  if target is not None:
    line += f"  target {target:g}: {'met' if other['both'] / ours['both'] >= target else 'MISSED'}"
  return line


def main() -> int:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--cases", nargs="+", choices=registry.CASES, default=list(registry.CASES))
  parser.add_argument("--batch", type=int, default=2048)
  parser.add_argument("--steps", type=int, default=20, help="timed calls of each pass")
  parser.add_argument("--rounds", type=int, default=1, help="turns of each peer; numbers are medians over them")
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
