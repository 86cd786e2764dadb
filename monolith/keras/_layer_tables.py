# SPDX-License-Identifier: Apache-2.0
"""The tables of a layer as an object that TensorFlow's checkpoints and SavedModels know how to keep."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from typing import Any

from monolith.native_training import distributed_serving_ops
from monolith.native_training import entry
from monolith.native_training import hash_filter_ops
from monolith.native_training import multi_hash_table_ops
from monolith.native_training.runtime.hash_table import embedding_hash_table_pb2
from monolith.native_training.runtime.ops import gen_monolith_ops

import numpy as np
import tensorflow as tf

_number = itertools.count()
_FILTER_SPLITS = 7


class LayerTables(tf.saved_model.experimental.TrackableResource):
  """Tables made eagerly.

  A checkpoint holds all their entries as tensors. A SavedModel makes tables of its own when it is loaded and fills them
  from the checkpoint inside it; they have no occurrence filter.

  Args:
    configs: table name -> its config.
    occurrence_threshold: sightings of a fid, one a step, before it gets an entry; 0: all get one.
    filter_capacity: fids that the filter remembers, about.
  """

  def __init__(
    self, configs: Mapping[str, entry.HashTableConfigInstance], occurrence_threshold: int, filter_capacity: int
  ):
    super().__init__()
    self._shared_name = f"MonolithKerasTables_{next(_number)}"
    self._cached = multi_hash_table_ops.convert_to_cached_config(dict(configs))
    hash_filter = None
    if occurrence_threshold:
      config = embedding_hash_table_pb2.SlotOccurrenceThresholdConfig(default_occurrence_threshold=occurrence_threshold)
      hash_filter = hash_filter_ops.create_hash_filter(
        filter_capacity, _FILTER_SPLITS, config.SerializeToString(), name_suffix=f"/{self._shared_name}"
      )
    self.table = multi_hash_table_ops.MultiHashTable.from_cached_config(
      self._cached, hash_filter, name_suffix=self._shared_name
    )
    self._resource_handle = self.table.handle

  def _create_resource(self) -> tf.Tensor:
    """Makes the tables of a SavedModel, whose loader makes the shared name unique."""
    return gen_monolith_ops.create_monolith_multi_hash_table(
      tf.constant(self._cached.mconfig),
      hash_filter_ops.create_dummy_hash_filter(),
      distributed_serving_ops.create_dummy_sync_client(),
      shared_name=self._shared_name,
    )

  def _destroy_resource(self) -> None:
    tf.raw_ops.DestroyResourceOp(resource=self.resource_handle, ignore_lookup_error=True)

  def _serialize_to_tensors(self) -> dict[str, tf.Tensor]:
    names, counts, entries = gen_monolith_ops.monolith_multi_hash_table_export(self.resource_handle)
    return {"table_names": names, "counts": counts, "entries": entries}

  def _restore_from_tensors(self, restored_tensors: Mapping[str, tf.Tensor]) -> tf.Tensor:
    return gen_monolith_ops.monolith_multi_hash_table_import(
      self.resource_handle,
      restored_tensors["table_names"],
      restored_tensors["counts"],
      restored_tensors["entries"],
    )

  def to_arrays(self) -> dict[str, np.ndarray]:
    """All entries as arrays of bytes and int64, which any file format can hold."""
    names, counts, entries = (tensor.numpy() for tensor in self.table.export_entries())
    return {
      "table_names": np.frombuffer(json.dumps([name.decode() for name in names]).encode(), np.uint8),
      "table_counts": counts,
      "entry_lengths": np.array([len(each) for each in entries], np.int64),
      "entry_bytes": np.frombuffer(b"".join(entries), np.uint8),
    }

  def from_arrays(self, arrays: Mapping[str, Any]) -> None:
    """Replaces what the tables hold by what `to_arrays` gave.

    Raises:
      tf.errors.InvalidArgumentError: they are of other tables, or damaged.
    """
    content = np.asarray(arrays["entry_bytes"]).tobytes()
    ends = np.cumsum(np.asarray(arrays["entry_lengths"]))
    begins = ends - np.asarray(arrays["entry_lengths"])
    entries = [content[begin:end] for begin, end in zip(begins, ends, strict=True)]
    names = json.loads(np.asarray(arrays["table_names"]).tobytes())
    self.table.import_entries(
      tf.constant(names, tf.string), tf.constant(np.asarray(arrays["table_counts"])), tf.constant(entries, tf.string)
    )
