# SPDX-License-Identifier: Apache-2.0
"""Bytes per entry: how much the process grows when a table is filled, against the bytes of the entry itself.

python -m benchmarks.tables.memory [--keys 1000000] [--dims 16 64]

`peak` is the most that the process held during any one call of the fill, over what a steady table of as many entries
may hold (the entry and 24 bytes); calls before an eighth of the keys are left out, since the framework's own
allocations count there. Every case runs in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys

from benchmarks import report
from monolith.native_training import entry, multi_hash_table_ops
from monolith.native_training.runtime.hash_table import embedding_hash_table_pb2

import numpy as np
import tensorflow as tf

# Optimizer and its state, in floats for an embedding of `dim`.
OPTIMIZERS = {
  "sgd": (entry.SgdOptimizer(0.1), lambda dim: 0),
  "adagrad": (entry.AdagradOptimizer(0.1, 0.1), lambda dim: dim),
  "adam": (entry.AdamOptimizer(0.1), lambda dim: 2 * dim + 2),
}


def make_table(dim: int, optimizer: entry.Optimizer) -> multi_hash_table_ops.MultiHashTable:
  """A table of one slot, zero-initialised."""
  config = embedding_hash_table_pb2.EmbeddingHashTableConfig()
  config.cuckoo.SetInParent()
  config.entry_config.segments.append(
    entry.CombineAsSegment(dim, entry.ZerosInitializer(), optimizer, entry.Fp32Compressor())
  )
  return multi_hash_table_ops.MultiHashTable.from_configs({"slot": entry.HashTableConfigInstance(config, [0.1])})


BATCH = 65536
# What a steady table may hold of each entry beside the entry.
ALLOWED_OVERHEAD = 24


def fill(
  table: multi_hash_table_ops.MultiHashTable, rows: tf.Tensor, num_keys: int, entry_bytes: int
) -> dict[str, float]:
  """Inserts random fids with the same rows in each batch.

  Returns:
    `checksum`: the sum of what the last batch reads back; `peak`: see the module.
  """
  random = np.random.default_rng(0)
  before, peak = report.resident_bytes(), 0.0
  for begin in range(0, num_keys, BATCH):
    fids = random.integers(-(2**63), 2**63 - 1, min(BATCH, num_keys - begin), dtype=np.int64)
    report.forget_peak()
    table.assign({"slot": (tf.constant(fids), rows[: len(fids)])})
    inserted = begin + len(fids)
    if inserted >= num_keys / 8:
      peak = max(peak, (report.peak_bytes() - before) / (inserted * (entry_bytes + ALLOWED_OVERHEAD)))
  return {"checksum": float(tf.reduce_sum(table.lookup({"slot": tf.constant(fids)})["slot"])), "peak": peak}


def measure(name: str, dim: int, keys: int) -> dict[str, float]:
  """Fills one table in this process; bytes are per entry."""
  optimizer, state_floats = OPTIMIZERS[name]
  size = 4 * (dim + state_floats(dim))
  rows = tf.ones([BATCH, dim])
  fill(make_table(dim, optimizer), rows, BATCH, size)  # what the framework allocates once
  table = make_table(dim, optimizer)
  before = report.resident_bytes()
  result = fill(table, rows, keys, size)
  measured = (report.resident_bytes() - before) / keys
  return {"entry": size, "measured": measured, "overhead": measured - size, **result}


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--keys", type=int, default=1000000)
  parser.add_argument("--dims", type=int, nargs="+", default=[16, 64])
  parser.add_argument("--worker", nargs=2, metavar=("OPTIMIZER", "DIM"), help=argparse.SUPPRESS)
  arguments = parser.parse_args()
  if arguments.worker:
    print(json.dumps(measure(arguments.worker[0], int(arguments.worker[1]), arguments.keys)))
    return
  report.header("benchmarks.tables.memory")
  print(
    f"{'optimizer':10}{'dim':>5}{'entry':>8}{'measured':>10}{'overhead':>10}{'peak':>7}   of {arguments.keys} entries"
  )
  command = [sys.executable, "-m", "benchmarks.tables.memory", "--keys", str(arguments.keys), "--worker"]
  for name in OPTIMIZERS:
    for dim in arguments.dims:
      done = subprocess.run([*command, name, str(dim)], capture_output=True, text=True, check=False)
      if done.returncode:
        raise RuntimeError(f"{name} of dim {dim} failed:\n{done.stderr[-2000:]}")
      row = json.loads(done.stdout.splitlines()[-1])
      print(
        f"{name:10}{dim:5}{row['entry']:8}{row['measured']:10.1f}{row['overhead']:10.1f}{row['peak']:7.2f}"
        f"   checksum {row['checksum']:.0f}",
        flush=True,
      )


if __name__ == "__main__":
  main()
