# SPDX-License-Identifier: Apache-2.0
"""All layers, losses and steps of dense optimizers against straightforward compositions: time and peak memory.

python -m benchmarks.layers.speed [--cases ffm_dot ...] [--batch 2048] [--steps 40] [--seconds 1] [--rounds 1]

Two threads, one run of some minutes: everything is weighed in processes of its own, then one process times it, where a
layer and its composition (registry.py) take turns call by call. Times are medians of `--steps` calls, or of those that
begin within `--seconds`; a ratio is the composition's time by ours; memory is what a process grew by at its peak.
Outputs and gradients of both must agree, or the run fails.

Nothing is to be slower than SLOWEST of its composition in any pass, and some are to be faster by a factor, forward and
backward together (their target). Ratios of calls of less than a millisecond vary by a few percent from run to run.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks import report
from benchmarks.layers import registry, worker
from benchmarks.tables import floor, throughput

CHECKSUM_TOLERANCE, NOISE = 1e-4, 1e-7
SLOWEST = 1.05

Rows = dict[str, dict[str, float]]


def summarise(times: dict[str, list[float]], weight: dict[str, Any]) -> dict[str, float]:
  """Milliseconds of the passes and MiB, beside the sum of checksums."""
  medians = {name: 1e3 * statistics.median(seconds) for name, seconds in times.items()}
  return {**medians, "peak": weight["peak"] / 2**20, "checksum": sum(weight["checksums"])}


def check_sums(weights: dict[str, dict[str, Any]]) -> None:
  """Raises BenchmarkError if the layer and its composition disagree in one of their tensors."""
  for i, sums in enumerate(zip(*(weight["checksums"] for weight in weights.values()), strict=True)):
    # What is rightly 0 comes out as noise.
    found = {peer: value for peer, value in zip(weights, sums, strict=True) if value > NOISE}
    throughput.check_agreement(f"checksum of tensor {i}", found, CHECKSUM_TOLERANCE)


def run_worker(arguments: Sequence[str]) -> Iterator[tuple[str, Any]]:
  """Yields the case and the result of every line of a worker as it comes.

  Raises:
    BenchmarkError: it fails.
  """
  # NumPy's threads would go on spinning on the cores after a checksum.
  environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1", "OPENBLAS_NUM_THREADS": "1"}
  command = [sys.executable, "-m", "benchmarks.layers.worker", *arguments]
  with tempfile.TemporaryFile("w+", encoding="utf-8") as errors:
    with subprocess.Popen(
      command, stdout=subprocess.PIPE, stderr=errors, text=True, cwd=floor.ROOT, env=environment
    ) as process:
      for line in process.stdout or ():
        if line.startswith("{"):
          found = json.loads(line)
          yield found["case"], found["result"]
    if process.returncode:
      errors.seek(0)
      raise throughput.BenchmarkError(f"the worker ended with status {process.returncode}:\n{errors.read()[-2000:]}")


def run_rounds(cases: Sequence[str], batch: int, steps: int, seconds: float, rounds: int) -> Iterator[tuple[str, Rows]]:
  """Yields the cases with the rows of both peers, in the last of the rounds.

  Raises:
    BenchmarkError: a worker fails, or peers disagree, which is found before any is timed.
  """
  common = ["--cases", *cases, "--batch", str(batch)]
  weights = dict(run_worker(["weigh", *common]))
  for case in cases:
    try:
      check_sums(weights[case])
    except throughput.BenchmarkError as error:
      raise throughput.BenchmarkError(f"{case}: {error}") from error
  done: dict[str, dict[str, list[dict[str, float]]]] = {}
  for left in reversed(range(rounds)):
    for case, times in run_worker(["time", *common, "--steps", str(steps), "--seconds", str(seconds)]):
      for peer in worker.PEERS:
        row = summarise(times[peer], weights[case][peer])
        done.setdefault(case, {}).setdefault(peer, []).append(row)
      if not left:
        yield case, {peer: throughput.merge_rounds(rows) for peer, rows in done[case].items()}


def header_line() -> str:
  passes = "".join(f" |{name + ' ms':>13}{'composition':>12}{'ratio':>7}" for name in registry.PASSES)
  return f"{'layer':30}{passes} |{'peak MiB':>9}{'composition':>12} |{'checksum':>10} | target"


def verdict(rows: Rows, target: float | None) -> str:
  """What is asked for, and whether it is met."""
  ours, other = rows["ours"], rows["composition"]
  passes = [p for p in registry.PASSES if p in ours]
  slow = [p for p in passes if ours[p] > SLOWEST * other[p]]
  missed = [f"SLOW: {', '.join(slow)}"] if slow else []
  if target is not None and other[passes[-1]] < target * ours[passes[-1]]:
    missed.insert(0, "MISSED")
  return f"{target or 1 / SLOWEST:.2f} {' '.join(missed) or 'met'}"


def row_line(name: str, rows: Rows, target: float | None) -> str:
  """One line of the table; a pass that there is not is left out."""
  ours, other = rows["ours"], rows["composition"]
  times = [
    f" |{ours[p]:13.2f}{other[p]:12.2f}{other[p] / ours[p]:7.2f}" if p in ours else f" |{'-':>13}{'-':>12}{'-':>7}"
    for p in registry.PASSES
  ]
  memory = f" |{ours['peak']:9.1f}{other['peak']:12.1f} |{ours['checksum']:10.5g}"
  return f"{name:30}{''.join(times)}{memory} | {verdict(rows, target)}"


def main(arguments: Sequence[str] | None = None) -> int:
  parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
  parser.add_argument("--cases", nargs="+", choices=registry.CASES, default=list(registry.CASES))
  parser.add_argument("--batch", type=int, default=2048)
  parser.add_argument("--steps", type=int, default=40, help="timed calls of each pass")
  parser.add_argument("--seconds", type=float, default=1.0, help="after so many a pass of a case begins no more calls")
  parser.add_argument("--rounds", type=int, default=1, help="processes that time all; numbers are medians over them")
  options = parser.parse_args(arguments)
  report.header("benchmarks.layers.speed")
  print(f"batch {options.batch}, {worker.THREADS} threads\n\n{header_line()}", flush=True)
  status, met, total = 0, 0, 0
  try:
    for name, rows in run_rounds(options.cases, options.batch, options.steps, options.seconds, options.rounds):
      target = registry.CASES[name].target
      print(row_line(name, rows, target), flush=True)
      met, total = met + verdict(rows, target).endswith("met"), total + 1
  except throughput.BenchmarkError as error:
    print(f"error: {error}", file=sys.stderr)
    status = 1
  print(f"\n{met} of {total} meet their target: a ratio of at least that much, and none below {1 / SLOWEST:.2f}")
  return status


if __name__ == "__main__":
  sys.exit(main())
