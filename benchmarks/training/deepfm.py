# SPDX-License-Identifier: Apache-2.0
"""Samples a second of training a DeepFM: 26 sparse features, dim 16 and a bias, MLP 256-128-64, batch 2048, Adagrad.

python -m benchmarks.training.deepfm [--ids 40000 400000] [--peers ceiling ours ...] [--rounds 1] [--steps 128]
  [--tfra_python VENV/bin/python]

Every peer trains the same model on the same synthetic clicks, ids by Zipf's law, in a process of its own, one after
the other; the clock starts after every batch has been seen once. `share` is the rate over that of the same network
without embeddings, trained through `local_train` as ours is. All but the overlapped one, whose gradients come a step
late, compute the same numbers: their mean losses must agree, or the run fails. `ops` are those of the training graph,
`start` the seconds from the call of `local_train` to the end of the first step. At the end, for every peer, what a
million more fids took: how the peak memory of the process differs between two numbers of ids.
"""

from __future__ import annotations

import argparse
import math
import os
import sys

from benchmarks import report
from benchmarks.tables import throughput
from benchmarks.training import worker

PEERS = {
  "ceiling": "the network on fixed matrices, through local_train",
  "ours": "local_train, num_ps=0: one op looks up and combines, one takes the step",
  "separate": "the same, fuse_lookups=False: embeddings of single fids",
  "overlapped": "the same, with prefetched lookups and late pushes, local_train's default",
  "ps1": "local_train, num_ps=1",
  "ps2": "local_train, num_ps=2",
  "files": "ours, read from a file of ExampleBatch records: the trainer chooses layouts",
  "files_ps2": "the same, num_ps=2",
  "parsed": "files, enable_fused_layout=False: records are parsed to fids, which one op combines",
  "parsed_ps2": "the same, num_ps=2",
  "reader": "reading and parsing that file alone",
  "dense": "tf.Variable, one a field and slice, TensorFlow's Adagrad, in a plain session",
  "tfra": "tensorflow-recommenders-addons from --tfra_python, in a plain session",
  "tf_keras": "Embedding layers, tf_keras fit",
  "keras3": "Embedding layers, Keras 3 fit",
}
COMPUTE_SOMETHING_ELSE = ("ceiling", "overlapped", "reader")
TARGETS = {40000: 0.65, 400000: 0.60}  # share of the ceiling, of ours
READER_TARGET = 5.0  # the reader's rate over ours
TOLERANCE = 1e-3


def command_of(peer: str, num_ids: int, steps: int, tfra_python: str | None) -> list[str]:
  """The command that measures a peer.

  Raises:
    BenchmarkError: what it needs is not there.
  """
  python = throughput.tfra_interpreter(tfra_python) if peer == "tfra" else sys.executable
  return [python, "-m", "benchmarks.training.worker", "--peer", peer, "--ids", str(num_ids), "--steps", str(steps)]


def check_losses(rows: dict[str, dict[str, float]]) -> None:
  """Raises BenchmarkError, naming all of them, if the peers' mean losses do not agree."""
  losses = {peer: row["loss"] for peer, row in rows.items() if peer not in COMPUTE_SOMETHING_ELSE}
  throughput.check_agreement("loss", losses, TOLERANCE)


def print_rows(rows: dict[str, dict[str, float]], num_ids: int) -> None:
  ceiling = rows.get("ceiling", {}).get("rate", math.nan)
  print(f"{'':12}{'samples/s':>12}{'ms a step':>11}{'share':>8}{'peak MB':>9}{'ops':>7}{'start s':>9}{'mean loss':>12}")
  for peer, row in rows.items():
    line = f"{peer:12}{row['rate']:12.0f}{worker.workload.BATCH / row['rate'] * 1e3:11.2f}{row['rate'] / ceiling:8.3f}"
    line += f"{row['peak'] / 1e6:9.0f}{row['ops']:7.0f}{row['start']:9.1f}{row['loss']:12.6f}"
    if peer == "ours" and num_ids in TARGETS and "ceiling" in rows:
      met = row["rate"] / ceiling >= TARGETS[num_ids]
      line += f"   target {TARGETS[num_ids]:.2f}: {'met' if met else 'MISSED'}"
    print(line)
  if "reader" in rows and "ours" in rows:
    times = rows["reader"]["rate"] / rows["ours"]["rate"]
    print(f"reader over ours {times:.2f}, target {READER_TARGET}: {'met' if times >= READER_TARGET else 'MISSED'}")
  sys.stdout.flush()


def print_memory(cases: list[dict[str, dict[str, float]]]) -> None:
  """Megabytes that a million fids take, from the first and the last case of each peer with embeddings."""
  first, last = cases[0], cases[-1]
  for peer in first:
    if peer in last and peer not in ("ceiling", "reader") and last[peer]["fids"] > first[peer]["fids"]:
      fids = last[peer]["fids"] - first[peer]["fids"]
      print(
        f"{peer:12}{(last[peer]['peak'] - first[peer]['peak']) / fids:9.0f} MB a million fids, over {fids:.0f} fids"
      )


def run_case(
  num_ids: int, peers: list[str], rounds: int, steps: int, tfra_python: str | None
) -> tuple[dict[str, dict[str, float]], dict[str, str]]:
  """Runs the peers in turns; returns the rows of those that ran, and the reasons of those that could not."""

  def measure(peer: str) -> dict[str, float]:
    return throughput.run_command(command_of(peer, num_ids, steps, tfra_python))

  return throughput.run_turns(peers, rounds, measure)


def parse_arguments() -> argparse.Namespace:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--ids", type=int, nargs="+", default=[40000, 400000], help="ids a field")
  parser.add_argument("--peers", nargs="+", choices=PEERS, default=list(PEERS))
  parser.add_argument("--rounds", type=int, default=1, help="turns of every peer; numbers are medians over them")
  parser.add_argument("--steps", type=int, default=128, help="timed steps of a turn")
  parser.add_argument("--tfra_python", help="interpreter with tensorflow-recommenders-addons")
  return parser.parse_args()


def main() -> int:
  arguments = parse_arguments()
  report.header("benchmarks.training.deepfm")
  print(f"  {os.cpu_count()} threads; peers:")
  for peer in arguments.peers:
    print(f"  {peer:12}{PEERS[peer]}")
  status, cases = 0, []
  for num_ids in arguments.ids:
    print(f"\n{num_ids} ids a field", flush=True)
    rows, failed = run_case(num_ids, arguments.peers, arguments.rounds, arguments.steps, arguments.tfra_python)
    print_rows(rows, num_ids)
    cases.append(rows)
    status = max(status, throughput.finish_case(rows, failed, check_losses))
  print_memory(cases)
  return status


if __name__ == "__main__":
  sys.exit(main())
