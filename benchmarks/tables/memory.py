# SPDX-License-Identifier: Apache-2.0
"""Bytes per entry: how much the process grows when a table is filled, against the bytes of the entry itself.

python -m benchmarks.tables.memory [--keys 1000000]
"""

from __future__ import annotations

import argparse

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


def fill(table: multi_hash_table_ops.MultiHashTable, dim: int, num_keys: int) -> float:
  """Inserts random fids in batches; returns the sum of what a sample of them reads back."""
  random = np.random.default_rng(0)
  batch = 65536
  for begin in range(0, num_keys, batch):
    fids = random.integers(-(2**63), 2**63 - 1, min(batch, num_keys - begin), dtype=np.int64)
    table.assign({"slot": (tf.constant(fids), tf.ones([len(fids), dim]))})
  return float(tf.reduce_sum(table.lookup({"slot": tf.constant(fids)})["slot"]))


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--keys", type=int, default=1000000)
  keys = parser.parse_args().keys
  report.header("benchmarks.tables.memory")
  fill(make_table(4, OPTIMIZERS["sgd"][0]), 4, 1000)  # what the framework allocates once
  print(f"{'optimizer':10}{'dim':>5}{'entry':>8}{'measured':>10}{'overhead':>10}   bytes per entry, {keys} entries")
  for name, (optimizer, state_floats) in OPTIMIZERS.items():
    for dim in (16, 64):
      table = make_table(dim, optimizer)
      before = report.resident_bytes()
      checksum = fill(table, dim, keys)
      measured = (report.resident_bytes() - before) / keys
      size = 4 * (dim + state_floats(dim))
      print(f"{name:10}{dim:5}{size:8}{measured:10.1f}{measured - size:10.1f}   checksum {checksum:.0f}", flush=True)


if __name__ == "__main__":
  main()
