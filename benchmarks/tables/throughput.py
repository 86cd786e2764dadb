# SPDX-License-Identifier: Apache-2.0
"""Million keys a second of the embedding table and its peers, all in one run.

python -m benchmarks.tables.throughput [--keys 1000000 10000000] [--dims 16 64] [--distribution uniform zipf]
  [--peers ours dense ...] [--rounds 1] [--tfra_python VENV/bin/python]

Two threads, 65,536 keys a call, fixed seeds; every peer runs in a process of its own, one after the other, on the same
workload (workload.py), and is timed call by call (measurement.py):

  insert   Adagrad updates of fresh keys, from an empty table; `insert all` has the calls during growth in it
  lookup   reads of present keys; a batch may hold a key twice
  update   Adagrad updates of distinct present keys
  step     a lookup and an update of the same keys, in one call

Rates are medians of calls. Rows that start from zeros compute the same numbers: their checksums must agree, or the run
fails. `bytes/key` is how much the process grew over the fill, `worst` the slowest call of the fill over its median.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from typing import Any

from benchmarks import report
from benchmarks.tables import floor
from benchmarks.tables import workload as workloads

THREADS = 2
METRICS = ("lookup", "update", "step", "insert", "insert_all")
# Peer: what it is. All but the random ones start from zeros and must agree.
PEERS = {
  "ours": "MultiHashTable through its ops",
  "ours_random": "the same, with random-uniform first values",
  "dense": "tf.Variable: tf.gather, ResourceSparseApplyAdagradV2",
  "dense_hash_table": "two tf.lookup.experimental.DenseHashTable, Adagrad in TensorFlow ops",
  "swiss": "swiss_floor.cc: prefetched absl::flat_hash_map, no TensorFlow",
  "table_floor": "table_floor.cc: our C++ table without TensorFlow",
  "tfra": "tensorflow-recommenders-addons from --tfra_python",
  "tfra_random": "the same, with random-uniform first values",
  "dense_tfra": "dense, on the TensorFlow of --tfra_python",
}
RANDOM_PEERS = ("ours_random", "tfra_random")
# What the table is to reach: (metric, peer, least ratio at 1M keys, at 10M). "Lookup + Adagrad" can be read as an
# update, which looks its keys up, or as a step, which also hands the rows out: both are held against it. So are both
# readings of an insert: all calls of the fill, and the median one, in which a table that doubles at once does not grow
# and one that grows shard by shard does.
TARGETS = (
  ("lookup", "tfra", 6.0, 6.0),
  ("lookup", "dense", 1.0, 1.0),
  ("lookup", "swiss", 1.0, 1.3),
  ("update", "tfra", 7.0, 7.0),
  ("update", "dense", 3.0, 3.0),
  ("update", "swiss", 0.9, 0.9),
  ("step", "tfra", 7.0, 7.0),
  ("step", "dense", 3.0, 3.0),
  ("step", "swiss", 0.9, 0.9),
  ("insert", "tfra", 6.0, 6.0),
  ("insert", "swiss", 1.0, 1.0),
  ("insert_all", "tfra", 6.0, 6.0),
  ("insert_all", "swiss", 1.0, 1.0),
)
# Own order of summation aside, all of them do the same arithmetic.
CHECKSUM_TOLERANCE = 1e-5


class BenchmarkError(RuntimeError):
  """A peer cannot run or computes something else; the message says which and why."""


def make_table(peer: str, workload: workloads.Workload) -> Any:
  """Makes a table of this environment's TensorFlow: ours, ours_random, dense or dense_hash_table."""
  from benchmarks.tables import own_table  # TensorFlow after the package that chooses its Keras
  from benchmarks.tables import tensorflow_tables

  if peer in ("ours", "ours_random"):
    return own_table.OwnTable(workload.dim, "zeros" if peer == "ours" else "random")
  if peer == "dense":
    return tensorflow_tables.DenseVariable(workload.keys, workload.dim)
  if peer == "dense_hash_table":
    return tensorflow_tables.DenseHashTable(workload.keys, workload.dim)
  raise ValueError(f"{peer!r} is no table of this process; use ours, ours_random, dense or dense_hash_table.")


def worker(peer: str, directory: pathlib.Path) -> None:
  """The process of one peer: measures it and prints JSON."""
  from benchmarks.tables import measurement, own_table, tensorflow_tables

  del own_table
  tensorflow_tables.use_threads(THREADS)
  workload = workloads.load(directory)
  print(json.dumps(measurement.measure(make_table(peer, workload), workload)))


def tfra_interpreter(path: str | None) -> str:
  """The interpreter given by --tfra_python.

  Raises:
    BenchmarkError: there is none.
  """
  if not path or not pathlib.Path(path).exists():
    raise BenchmarkError(
      "give --tfra_python, an interpreter of an environment of its own with tensorflow==2.16.2 and "
      "tensorflow-recommenders-addons==0.8.1."
    )
  return path


def command_of(peer: str, directory: pathlib.Path, tfra_python: str | None) -> list[str]:
  """The command that measures a peer.

  Raises:
    BenchmarkError: what it needs is not there.
  """
  if peer in ("swiss", "table_floor"):
    try:
      return [str(floor.build_swiss() if peer == "swiss" else floor.build_own()), str(directory)]
    except floor.FloorError as error:
      raise BenchmarkError(str(error)) from error
  if peer in ("tfra", "tfra_random", "dense_tfra"):
    table = "dense" if peer == "dense_tfra" else peer
    return [
      tfra_interpreter(tfra_python),
      "-m",
      "benchmarks.tables.tfra_worker",
      "--directory",
      str(directory),
      "--table",
      table,
    ]
  return [sys.executable, "-m", "benchmarks.tables.throughput", "--worker", peer, "--directory", str(directory)]


def run_peer(peer: str, directory: pathlib.Path, tfra_python: str | None) -> dict[str, Any]:
  """Measures a peer in a process of its own.

  Raises:
    BenchmarkError: it cannot run, or fails.
  """
  return run_command(command_of(peer, directory, tfra_python))


def run_command(command: list[str]) -> dict[str, Any]:
  """Runs a worker; returns the JSON of its last line.

  Raises:
    BenchmarkError: it fails.
  """
  # NumPy's threads would go on spinning on the cores after a checksum.
  environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2", "CUDA_VISIBLE_DEVICES": "-1", "OPENBLAS_NUM_THREADS": "1"}
  done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=floor.ROOT, env=environment)
  if done.returncode:
    raise BenchmarkError(f"it ended with status {done.returncode}:\n{done.stderr[-2000:]}")
  return json.loads(done.stdout.splitlines()[-1])


def summarise(result: dict[str, Any], workload: workloads.Workload) -> dict[str, float]:
  """Million keys a second by metric (NaN where there is none), beside worst, bytes and checksums."""
  row = dict.fromkeys((*METRICS, "worst"), math.nan)
  for metric in ("lookup", "update", "step", "insert"):
    if result[metric]:
      row[metric] = workload.batch / statistics.median(result[metric]) / 1e6
  if result["insert"]:
    row["insert_all"] = workload.batch * len(result["insert"]) / sum(result["insert"]) / 1e6
    row["worst"] = max(result["insert"]) / statistics.median(result["insert"])
  for name in ("bytes_per_key", "lookup_checksum", "update_checksum"):
    row[name] = result[name]
  return row


def merge_rounds(rounds: list[dict[str, float]]) -> dict[str, float]:
  """The median of every number over the rounds."""
  return {name: statistics.median(row[name] for row in rounds) for name in rounds[0]}


def check_sums(rows: dict[str, dict[str, float]]) -> None:
  """Raises BenchmarkError, naming all of them, if rows that start from zeros do not agree."""
  compared = {peer: row for peer, row in rows.items() if peer not in RANDOM_PEERS}
  for name in ("lookup_checksum", "update_checksum"):
    check_agreement(name, {peer: row[name] for peer, row in compared.items()}, CHECKSUM_TOLERANCE)


def check_agreement(name: str, sums: dict[str, float], tolerance: float) -> None:
  """Raises BenchmarkError, naming all of them, if a peer's sum is apart from the median by more than `tolerance`."""
  if not sums:
    return
  middle = statistics.median(sums.values())
  apart = [peer for peer, value in sums.items() if not abs(value - middle) <= tolerance * abs(middle)]
  if apart:
    shown = ", ".join(f"{peer} {value:.9g}" for peer, value in sums.items())
    raise BenchmarkError(f"{name} differs ({shown}): {', '.join(apart)} computed something else.")


def print_rows(rows: dict[str, dict[str, float]]) -> None:
  columns = ("lookup", "update", "step", "insert", "insert all", "worst", "bytes/key")
  print(f"{'M keys/s':17}" + "".join(f"{column:>11}" for column in columns) + f"{'checksums':>30}")
  for peer, row in rows.items():
    numbers = [row[metric] for metric in METRICS] + [row["worst"], row["bytes_per_key"]]
    cells = "".join(f"{'-':>11}" if math.isnan(n) else f"{n:11.1f}" for n in numbers)
    print(f"{peer:17}{cells}{row['lookup_checksum']:>15.8g}{row['update_checksum']:>15.8g}", flush=True)


def print_ratios(rows: dict[str, dict[str, float]], workload: workloads.Workload) -> None:
  """Ours over every peer, and beside the targets what is short of them."""
  if "ours" not in rows:
    return
  print(f"{'ours / peer':17}" + "".join(f"{metric.replace('_', ' '):>11}" for metric in METRICS))
  for peer, row in rows.items():
    if peer == "ours":
      continue
    own = rows["ours_random"] if peer == "tfra_random" and "ours_random" in rows else rows["ours"]
    ratios = [own[metric] / row[metric] for metric in METRICS]
    print(f"{peer:17}" + "".join(f"{'-':>11}" if math.isnan(r) else f"{r:11.2f}" for r in ratios))
  for metric, peer, small, large in TARGETS:
    if peer in rows:
      target, ratio = large if workload.keys > 3_000_000 else small, rows["ours"][metric] / rows[peer][metric]
      verdict = "met" if ratio >= target else "MISSED"
      print(f"  {metric.replace('_', ' '):10} against {peer:6} {ratio:6.2f}x, target {target:.1f}x: {verdict}")
  sys.stdout.flush()


def run_turns(
  peers: list[str], rounds: int, measure: Callable[[str], dict[str, float]]
) -> tuple[dict[str, dict[str, float]], dict[str, str]]:
  """Measures the peers in turns.

  Returns:
    The medians of those that ran, and the reasons of those that could not.
  """
  done: dict[str, list[dict[str, float]]] = {}
  failed: dict[str, str] = {}
  for _ in range(rounds):
    for peer in (p for p in peers if p not in failed):
      try:
        done.setdefault(peer, []).append(measure(peer))
      except BenchmarkError as error:
        failed[peer] = str(error)
  return {peer: merge_rounds(rows) for peer, rows in done.items() if peer not in failed}, failed


def run_case(
  workload: workloads.Workload, peers: list[str], rounds: int, measure: Callable[[str, pathlib.Path], dict[str, Any]]
) -> tuple[dict[str, dict[str, float]], dict[str, str]]:
  """Runs the peers in turns on one workload.

  Returns:
    The rows of those that ran, and the reasons of those that could not.
  """
  with tempfile.TemporaryDirectory() as name:
    directory = pathlib.Path(name)
    workloads.save(workload, directory)
    return run_turns(peers, rounds, lambda peer: summarise(measure(peer, directory), workload))


def finish_case(
  rows: dict[str, dict[str, float]], failed: dict[str, str], check: Callable[[dict[str, dict[str, float]]], None]
) -> int:
  """Prints why peers did not run and whether `check` refuses the rows of the others; returns an exit status."""
  for peer, reason in failed.items():
    print(f"{peer} did not run: {reason}")
  try:
    check(rows)
  except BenchmarkError as error:
    print(f"error: {error}", file=sys.stderr)
    return 1
  return 1 if failed else 0


def parse_arguments() -> argparse.Namespace:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--keys", type=int, nargs="+", default=[1000000, 10000000])
  parser.add_argument("--dims", type=int, nargs="+", default=[16, 64])
  parser.add_argument("--distribution", nargs="+", choices=workloads.DISTRIBUTIONS, default=["uniform", "zipf"])
  parser.add_argument("--peers", nargs="+", choices=PEERS, default=list(PEERS))
  parser.add_argument("--rounds", type=int, default=1, help="turns of every peer; numbers are medians over them")
  parser.add_argument("--tfra_python", help="interpreter with tensorflow-recommenders-addons")
  parser.add_argument("--worker", choices=PEERS, help=argparse.SUPPRESS)
  parser.add_argument("--directory", type=pathlib.Path, help=argparse.SUPPRESS)
  return parser.parse_args()


def main() -> int:
  arguments = parse_arguments()
  if arguments.worker:
    worker(arguments.worker, arguments.directory)
    return 0
  report.header("benchmarks.tables.throughput")
  for peer in arguments.peers:
    print(f"  {peer:17}{PEERS[peer]}")
  status = 0
  cases = [(k, d, name) for k in arguments.keys for d in arguments.dims for name in arguments.distribution]
  for keys, dim, distribution in cases:
    workload = workloads.make(keys, dim, distribution)
    print(f"\n{keys} keys, dim {dim}, {distribution}, {workload.batch} keys a call, {THREADS} threads", flush=True)
    measure = lambda peer, directory: run_peer(peer, directory, arguments.tfra_python)  # noqa: E731
    rows, failed = run_case(workload, arguments.peers, arguments.rounds, measure)
    print_rows(rows)
    print_ratios(rows, workload)
    status = max(status, finish_case(rows, failed, check_sums))
  return status


if __name__ == "__main__":
  sys.exit(main())
