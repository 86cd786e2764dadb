# SPDX-License-Identifier: Apache-2.0
"""The same rows in four kinds of files, for the readers' benchmark.

A row has 26 slots with one to three fids each (skewed towards one, as columns of ids are), 13 floats and a label.
"""

from __future__ import annotations

import pathlib
import struct
from collections.abc import Iterator
from typing import Any

import monolith  # noqa: F401  (selects Keras 2 before TensorFlow is imported)
import numpy as np
import tensorflow as tf

from idl.matrix.proto import example_pb2, proto_parser_pb2

SLOTS = [f"f_{slot}" for slot in range(26)]
NUM_FLOATS = 13
_LENGTHS = (1, 1, 1, 2, 3)


class Rows:
  """`count` rows; the fids of slot s and row r are `fids[s][splits[s][r] : splits[s][r + 1]]`."""

  def __init__(self, count: int, seed: int = 1):
    rng = np.random.default_rng(seed)
    self.count = count
    self.splits, self.fids = [], []
    for slot in range(len(SLOTS)):
      splits = np.concatenate([[0], np.cumsum(rng.choice(_LENGTHS, count))])
      self.splits.append(splits)
      self.fids.append((slot + 1) << 48 | rng.integers(0, 2**47, splits[-1]))
    self.floats = rng.normal(size=[count, NUM_FLOATS]).astype(np.float32)
    self.labels = rng.integers(0, 2, count).astype(np.float32)

  def row(self, slot: int, row: int) -> list[int]:
    """The fids of a slot in a row."""
    begin, end = self.splits[slot][row : row + 2]
    return self.fids[slot][begin:end].tolist()


def _examples(rows: Rows) -> Iterator[Any]:
  for row in range(rows.count):
    example = example_pb2.Example(label=[rows.labels[row]])
    for slot, name in enumerate(SLOTS):
      example.named_feature.add(name=name, id=slot + 1).feature.fid_v2_list.value.extend(rows.row(slot, row))
    example.named_feature.add(name="floats").feature.float_list.value.extend(rows.floats[row].tolist())
    yield example


def _instances(rows: Rows) -> Iterator[Any]:
  for row in range(rows.count):
    instance = proto_parser_pb2.Instance(label=[rows.labels[row]])
    for slot, name in enumerate(SLOTS):
      instance.feature.add(name=name, fid=rows.row(slot, row))
    instance.feature.add(name="floats", float_value=rows.floats[row].tolist())
    yield instance


def _batches(rows: Rows, batch_size: int) -> Iterator[Any]:
  for begin in range(0, rows.count, batch_size):
    batch = example_pb2.ExampleBatch(batch_size=batch_size)
    members = range(begin, begin + batch_size)
    for slot, name in enumerate(SLOTS):
      column = batch.named_feature_list.add(name=name, id=slot + 1)
      for row in members:
        column.feature.add().fid_v2_list.value.extend(rows.row(slot, row))
    floats = batch.named_feature_list.add(name="floats")
    labels = batch.named_feature_list.add(name="__LABEL__")
    for row in members:
      floats.feature.add().float_list.value.extend(rows.floats[row].tolist())
      labels.feature.add().float_list.value.append(rows.labels[row])
    yield batch


def _tf_examples(rows: Rows) -> Iterator[Any]:
  for row in range(rows.count):
    example = tf.train.Example()
    features = example.features.feature
    for slot, name in enumerate(SLOTS):
      features[name].int64_list.value.extend(rows.row(slot, row))
    features["floats"].float_list.value.extend(rows.floats[row].tolist())
    features["label"].float_list.value.append(rows.labels[row])
    yield example


def write(rows: Rows, batch_size: int, copies: int, directory: pathlib.Path) -> dict[str, pathlib.Path]:
  """Writes every kind of file, with the rows `copies` times.

  Args:
    rows: a whole number of batches.
    batch_size: rows of an ExampleBatch.
    copies: how often the rows are in a file.
    directory: where the files go.

  Returns:
    Paths by kind: example_batch, example, instance, tfrecord.
  """
  kinds = {"example_batch": _batches(rows, batch_size), "example": _examples(rows), "instance": _instances(rows)}
  paths = {}
  for kind, messages in kinds.items():
    paths[kind] = directory / f"{kind}.pb"
    content = b"".join(struct.pack("<QQ", 0, len(m)) + m for m in (m.SerializeToString() for m in messages))
    with paths[kind].open("wb") as file:
      for _ in range(copies):
        file.write(content)
  paths["tfrecord"] = directory / "examples.tfrecord"
  serialized = [message.SerializeToString() for message in _tf_examples(rows)]
  with tf.io.TFRecordWriter(str(paths["tfrecord"])) as writer:
    for _ in range(copies):
      for record in serialized:
        writer.write(record)
  return paths
