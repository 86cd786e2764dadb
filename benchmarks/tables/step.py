# SPDX-License-Identifier: Apache-2.0
"""What embeddings add to a training step: 26 fields, one id each, dim 16 and a bias, batch 2048, Adagrad, 2 threads.

python -m benchmarks.tables.step [--ids 40000 400000] [--peers ours dense ...] [--rounds 1]
  [--tfra_python VENV/bin/python]

Every peer trains the same model (step_worker.py) in a process of its own, one after the other. `embeddings` is the
median step less the median step of the same process without embeddings. All start from zeros and see the same ids:
the sums of their losses must agree, or the run fails.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from typing import Any

from benchmarks import report
from benchmarks.tables import step_worker, throughput

PEERS = {
  "ours": "MultiHashTable, one table a field: combined lookup, step through its gradient",
  "ours_separate": "the same tables: lookup, TensorFlow ops, apply_gradients with dedup",
  "dense": "tf.Variable, one a field and slice: tf.nn.embedding_lookup, TensorFlow's Adagrad",
  "tfra": "tensorflow-recommenders-addons from --tfra_python, one variable a field and slice",
}
# The most that our embeddings may take, as a share of a peer's.
TARGETS = {"tfra": 1 / 4, "dense": 1 / 3}
CHECKSUM_TOLERANCE = 1e-4


def command_of(peer: str, num_ids: int, steps: int, tfra_python: str | None) -> list[str]:
  """The command that measures a peer.

  Raises:
    BenchmarkError: what it needs is not there.
  """
  python = throughput.tfra_interpreter(tfra_python) if peer == "tfra" else sys.executable
  return [python, "-m", "benchmarks.tables.step_worker", "--peer", peer, "--ids", str(num_ids), "--steps", str(steps)]


def summarise(result: dict[str, Any]) -> dict[str, float]:
  """Milliseconds of a step, of one without embeddings, and of the difference, beside the checksum."""
  step, without = (1e3 * statistics.median(result[name]) for name in ("step", "without"))
  return {"step": step, "without": without, "embeddings": step - without, "checksum": result["checksum"]}


def check_sums(rows: dict[str, dict[str, float]]) -> None:
  """Raises BenchmarkError, naming all of them, if the peers' losses do not agree."""
  throughput.check_agreement("checksum", {peer: row["checksum"] for peer, row in rows.items()}, CHECKSUM_TOLERANCE)


def ratio_lines(rows: dict[str, dict[str, float]]) -> list[str]:
  """Our embeddings' share of every peer's, beside the targets."""
  lines = []
  for peer, row in rows.items():
    if peer == "ours" or "ours" not in rows:
      continue
    share = rows["ours"]["embeddings"] / row["embeddings"]
    line = f"  ours / {peer:14}{share:6.3f}"
    if peer in TARGETS:
      line += f", target {TARGETS[peer]:.3f}: {'met' if share <= TARGETS[peer] else 'MISSED'}"
    lines.append(line)
  return lines


def print_rows(rows: dict[str, dict[str, float]]) -> None:
  print(f"{'ms':15}{'step':>10}{'without':>10}{'embeddings':>12}{'checksum':>15}")
  for peer, row in rows.items():
    print(f"{peer:15}{row['step']:10.2f}{row['without']:10.2f}{row['embeddings']:12.2f}{row['checksum']:15.8g}")
  for line in ratio_lines(rows):
    print(line)
  sys.stdout.flush()


def run_case(
  num_ids: int, peers: list[str], rounds: int, steps: int, tfra_python: str | None
) -> tuple[dict[str, dict[str, float]], dict[str, str]]:
  """Runs the peers in turns; returns the rows of those that ran, and the reasons of those that could not."""

  def measure(peer: str) -> dict[str, float]:
    return summarise(throughput.run_command(command_of(peer, num_ids, steps, tfra_python)))

  return throughput.run_turns(peers, rounds, measure)


def parse_arguments() -> argparse.Namespace:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--ids", type=int, nargs="+", default=[40000, 400000], help="ids a field")
  parser.add_argument("--peers", nargs="+", choices=PEERS, default=list(PEERS))
  parser.add_argument("--rounds", type=int, default=1, help="turns of every peer; numbers are medians over them")
  parser.add_argument("--steps", type=int, default=100, help="timed steps of a turn")
  parser.add_argument("--tfra_python", help="interpreter with tensorflow-recommenders-addons")
  return parser.parse_args()


def main() -> int:
  arguments = parse_arguments()
  report.header("benchmarks.tables.step")
  for peer in arguments.peers:
    print(f"  {peer:15}{PEERS[peer]}")
  status = 0
  for num_ids in arguments.ids:
    print(
      f"\n{step_worker.FIELDS} fields of {num_ids} ids, dim {step_worker.DIM} and 1, batch {step_worker.BATCH}, "
      f"{step_worker.THREADS} threads",
      flush=True,
    )
    rows, failed = run_case(num_ids, arguments.peers, arguments.rounds, arguments.steps, arguments.tfra_python)
    print_rows(rows)
    status = max(status, throughput.finish_case(rows, failed, check_sums))
  return status


if __name__ == "__main__":
  sys.exit(main())
