# SPDX-License-Identifier: Apache-2.0
"""Writing what an input pipeline yields to files, as ExampleBatches."""

from __future__ import annotations

import os
import struct
import uuid
from typing import Any, Dict, List, Mapping, Optional

import numpy as np
import tensorflow as tf

from idl.matrix.proto.example_pb2 import ExampleBatch, Feature

__all__ = ["FeatureEngineeringSaveHook", "to_example_batch"]

_HEADER = struct.Struct("<QQ")


class FeatureEngineeringSaveHook(tf.compat.v1.train.SessionRunHook):
  """Runs an input pipeline and writes its batches to `<model_dir>/features/<worker>_<id>_<n>.pb`.

  A batch is two little-endian uint64, 0 and its size, and a serialized ExampleBatch: what `PBDataset` reads with
  `has_sort_id=True` and ExampleBatches as its input. Ragged int64 features are fids; the others keep their dtype.

  Args:
    config: the job's settings; `index` says which worker writes.
    nxt_elem: {name: tensor or ragged tensor}, rows first: the next batch.
    cap: batches in a file.
    model_dir: directory of the files; `config.model_dir` by default.

  Raises:
    ValueError: cap is not positive, or nxt_elem is no dict.
  """

  def __init__(self, config: Any, nxt_elem: Mapping[str, Any], cap: int = 100, model_dir: Optional[str] = None):
    if cap < 1:
      raise ValueError(f"FeatureEngineeringSaveHook: cap is {cap}; a file holds at least one batch.")
    if not isinstance(nxt_elem, Mapping):
      raise ValueError(f"FeatureEngineeringSaveHook: the input yields {type(nxt_elem).__name__}; it must be a dict.")
    worker = "chief" if config.index == 0 else f"worker{config.index - 1}"
    self._prefix = os.path.join(model_dir or config.model_dir, "features", f"{worker}_{uuid.uuid4().hex}")
    self._nxt_elem = dict(nxt_elem)
    self._cap = cap
    self._batches: List[bytes] = []
    self._files = 0

  def before_run(self, run_context):
    del run_context
    return tf.compat.v1.train.SessionRunArgs(self._nxt_elem)

  def after_run(self, run_context, run_values) -> None:
    del run_context
    self._batches.append(to_example_batch(run_values.results).SerializeToString())
    if len(self._batches) >= self._cap:
      self._write()

  def end(self, session) -> None:
    del session
    self._write()

  def _write(self) -> None:
    if not self._batches:
      return
    path = f"{self._prefix}_{self._files:05d}.pb"
    tf.io.gfile.makedirs(os.path.dirname(path))
    with tf.io.gfile.GFile(path, "wb") as file:
      for batch in self._batches:
        file.write(_HEADER.pack(0, len(batch)) + batch)
    self._batches = []
    self._files += 1


def to_example_batch(values: Mapping[str, Any]) -> ExampleBatch:
  """A batch of arrays and ragged values as a message.

  Args:
    values: {name: array with rows first, or RaggedTensorValue of rank 2 or, for fids, 3}.

  Raises:
    ValueError: a dtype cannot be written, or features differ in their number of rows.
  """
  batch = ExampleBatch()
  rows: Dict[str, int] = {}
  for name, value in values.items():
    features = batch.named_feature_list.add(name=name).feature
    is_ragged = isinstance(value, tf.compat.v1.ragged.RaggedTensorValue)
    listed = value.to_list() if is_ragged else list(np.asarray(value))
    dtype = value.flat_values.dtype if is_ragged else np.asarray(value).dtype
    for row in listed:
      _fill(features.add(), row, dtype, is_fids=is_ragged and dtype == np.int64, name=name)
    rows[name] = len(listed)
  if len(set(rows.values())) > 1:
    raise ValueError(f"features have {rows} rows; those of a batch must have the same number.")
  batch.batch_size = next(iter(rows.values()), 0)
  return batch


def _fill(feature: Feature, row: Any, dtype: np.dtype, is_fids: bool, name: str) -> None:
  if is_fids and any(isinstance(part, list) for part in row):
    for part in row:
      feature.fid_v2_lists.list.add().value.extend(_unsigned(part))
    return
  flat = row if isinstance(row, list) else np.reshape(row, [-1]).tolist()
  if is_fids:
    feature.fid_v2_list.value.extend(_unsigned(flat))
  elif dtype in (np.float32, np.float16):
    feature.float_list.value.extend(flat)
  elif dtype == np.float64:
    feature.double_list.value.extend(flat)
  elif dtype.kind in "iub" and dtype != np.uint64:
    feature.int64_list.value.extend(int(x) for x in flat)
  elif dtype.kind in "OS":
    feature.bytes_list.value.extend(flat)
  else:
    raise ValueError(f"feature {name!r} has dtype {dtype}, which an ExampleBatch has no list for; cast it.")


def _unsigned(fids: Any) -> List[int]:
  return [int(fid) & 0xFFFFFFFFFFFFFFFF for fid in fids]
