# SPDX-License-Identifier: Apache-2.0
"""Examples a second and MB/s of reading and parsing files, ours and TensorFlow's, all in one run.

python -m benchmarks.data.reader [--batches 24] [--copies 12] [--batch_size 2048] [--rounds 5] [--peers example ...]

Every peer reads the same rows (26 sparse slots, 13 floats, a label) from a file in the page cache into tensors of
batches, with parallel map calls and a prefetch as tf.data tunes them. Peers take turns; numbers are medians of rounds
after one that does not count. Checksums over all fids, floats and labels are taken in that first round and must agree,
or the run fails. MB/s are of the file's own bytes, so compare examples a second across kinds.
"""

from __future__ import annotations

import argparse
import pathlib
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import monolith  # noqa: F401  (selects Keras 2 before TensorFlow is imported)
import numpy as np
import tensorflow as tf

from benchmarks import report
from benchmarks.data import files
from monolith.native_training.data import PBDataset, PbType, parse_example_batch, parse_examples, parse_instances

Parse = Callable[[tf.Tensor], dict[str, Any]]

_DENSE: tuple[list[str], list[int]] = (["floats", "label"], [files.NUM_FLOATS, 1])
# Peer: the kind of file, and what it is.
PEERS = {
  "example_batch": ("example_batch", "ExampleBatch records, parse_example_batch"),
  "batch_by_rows": ("example_batch", "ExampleBatch records as rows, batched, parse_examples"),
  "example": ("example", "Example records, batched, parse_examples"),
  "instance": ("instance", "Instance records, batched, parse_instances"),
  "tf_ragged": ("tfrecord", "TFRecord, batched, tf.io.parse_example with RaggedFeature"),
  "tf_sparse": ("tfrecord", "TFRecord, batched, tf.io.parse_example with VarLenFeature"),
}


def _tf_features(sparse: bool) -> dict[str, Any]:
  features: dict[str, Any] = {
    name: tf.io.VarLenFeature(tf.int64) if sparse else tf.io.RaggedFeature(tf.int64, row_splits_dtype=tf.int64)
    for name in files.SLOTS
  }
  features["floats"] = tf.io.FixedLenFeature([files.NUM_FLOATS], tf.float32)
  features["label"] = tf.io.FixedLenFeature([1], tf.float32)
  return features


def dataset_of(peer: str, path: str, batch_size: int) -> tf.data.Dataset:
  """Parsed batches of a file, as one peer reads them."""
  if peer == "example_batch":
    records = PBDataset(path, input_pb_type=PbType.EXAMPLEBATCH, output_pb_type=PbType.EXAMPLEBATCH)
    parse: Parse = lambda record: parse_example_batch(record, files.SLOTS, *_DENSE)  # noqa: E731
  elif peer in ("example", "batch_by_rows"):
    input_type = PbType.EXAMPLE if peer == "example" else PbType.EXAMPLEBATCH
    records = PBDataset(path, input_pb_type=input_type).batch(batch_size)
    parse = lambda batch: parse_examples(batch, files.SLOTS, *_DENSE)  # noqa: E731
  elif peer == "instance":
    records = PBDataset(path, input_pb_type=PbType.INSTANCE).batch(batch_size)
    parse = lambda batch: parse_instances(batch, None, files.SLOTS, *_DENSE)  # noqa: E731
  else:
    features = _tf_features(peer == "tf_sparse")
    records = tf.data.TFRecordDataset(path).batch(batch_size)
    parse = lambda batch: tf.io.parse_example(batch, features)  # noqa: E731
  return records.map(parse, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)


def checksum(dataset: tf.data.Dataset) -> tuple[int, int, float]:
  """(rows, a wrapping sum of all fids weighted by slot and place, a sum of floats and labels)."""
  rows, total, floats = 0, 0, 0.0
  for batch in dataset:
    label = batch["label"].numpy()
    for slot, name in enumerate(files.SLOTS):
      column = batch[name]
      values = (column.values if isinstance(column, tf.SparseTensor) else column.flat_values).numpy()
      places = (np.arange(len(values), dtype=np.uint64) % np.uint64(97) + np.uint64(1)) * np.uint64(slot + 1)
      total += int((values.astype(np.uint64) * places).sum(dtype=np.uint64))
    rows += len(label)
    floats += float(label.sum(dtype=np.float64)) + float(batch["floats"].numpy().sum(dtype=np.float64))
  return rows, total % 2**64, floats


def seconds_of(dataset: tf.data.Dataset) -> float:
  """The time of one pass, from a fresh iterator to its end."""
  begin = time.perf_counter()
  iterator = iter(dataset)
  for _ in iterator:
    pass
  seconds = time.perf_counter() - begin
  del iterator  # outside the clock: it waits up to seconds for tf.data's tuning thread
  return seconds


def check_agreement(sums: dict[str, tuple[int, int, float]]) -> None:
  """Raises ValueError, naming all of them, if peers read different rows."""
  first = next(iter(sums.values()))
  if any(s[:2] != first[:2] or abs(s[2] - first[2]) > 1e-6 * (1 + abs(first[2])) for s in sums.values()):
    raise ValueError("checksums differ: " + ", ".join(f"{peer} {value}" for peer, value in sums.items()))


def measure(peers: list[str], paths: dict[str, pathlib.Path], batch_size: int, rounds: int) -> dict[str, list[float]]:
  """Seconds of every pass of every peer, in turns.

  Raises:
    ValueError: peers read different rows.
  """
  datasets = {peer: dataset_of(peer, str(paths[PEERS[peer][0]]), batch_size) for peer in peers}
  check_agreement({peer: checksum(dataset) for peer, dataset in datasets.items()})
  seconds: dict[str, list[float]] = {peer: [] for peer in peers}
  for _ in range(rounds):
    for peer, dataset in datasets.items():
      seconds[peer].append(seconds_of(dataset))
  return seconds


def print_rows(seconds: dict[str, list[float]], paths: dict[str, pathlib.Path], rows: int) -> None:
  against = statistics.median(seconds["tf_ragged"]) if "tf_ragged" in seconds else None
  print(f"{'peer':15}{'k examples/s':>14}{'min':>8}{'max':>8}{'MB/s':>8}{'B/example':>11}{'/ tf_ragged':>13}")
  for peer, taken in seconds.items():
    middle, size = statistics.median(taken), paths[PEERS[peer][0]].stat().st_size
    rates = [rows / s / 1e3 for s in (middle, max(taken), min(taken))]
    ratio = f"{against / middle:13.2f}" if against else ""
    print(
      f"{peer:15}{rates[0]:14.0f}{rates[1]:8.0f}{rates[2]:8.0f}{size / middle / 1e6:8.0f}{size / rows:11.0f}{ratio}",
      flush=True,
    )


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--batches", type=int, default=24, help="different batches")
  parser.add_argument("--copies", type=int, default=12, help="times that they are in a file")
  parser.add_argument("--batch_size", type=int, default=2048)
  parser.add_argument("--rounds", type=int, default=5)
  parser.add_argument("--peers", nargs="+", choices=PEERS, default=list(PEERS))
  return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
  options = parse_arguments(arguments)
  report.header("benchmarks.data.reader")
  for peer in options.peers:
    print(f"  {peer:15}{PEERS[peer][1]}")
  rows = files.Rows(options.batches * options.batch_size)
  with tempfile.TemporaryDirectory() as name:
    paths = files.write(rows, options.batch_size, options.copies, pathlib.Path(name))
    total = rows.count * options.copies
    print(f"\n{total} examples, batches of {options.batch_size}, {options.rounds} rounds", flush=True)
    try:
      seconds = measure(options.peers, paths, options.batch_size, options.rounds)
    except ValueError as error:
      print(f"error: {error}", file=sys.stderr)
      return 1
    print_rows(seconds, paths, total)
  return 0


if __name__ == "__main__":
  sys.exit(main())
