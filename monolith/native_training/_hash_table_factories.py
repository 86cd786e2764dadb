# SPDX-License-Identifier: Apache-2.0
"""Making single tables: from a config, and small ones for tests and vocabularies."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any, Optional

from monolith.native_training import distributed_serving_ops
from monolith.native_training import entry
from monolith.native_training import hash_filter_ops
from monolith.native_training import hash_table_utils
from monolith.native_training._hash_table import HashTable
from monolith.native_training._table_arguments import (
  check_learning_rates,
  current_learning_rates,
  graph_seed,
  unique_eager_name,
)
from monolith.native_training.model_export import export_context
from monolith.native_training.runtime.hash_table import embedding_hash_table_pb2
from monolith.native_training.runtime.ops import gen_monolith_ops

import tensorflow as tf

SHARED_NAME_PREFIX = "MonolithHashTable_"
_CPU = "/device:CPU:0"
# What a table of `test_hash_table` counts fids in; a test has few of them.
_TEST_FILTER_CAPACITY = 1000000


def _checked_config(
  name: str, config: entry.HashTableConfigInstance
) -> embedding_hash_table_pb2.EmbeddingHashTableConfig:
  """A copy of the table config, with serving entries while a model is exported."""
  table_config = embedding_hash_table_pb2.EmbeddingHashTableConfig()
  table_config.CopyFrom(config.table_config)
  if table_config.WhichOneof("type") is None:
    raise ValueError(f"table {name!r}: the table type is unset; set it with entry.CuckooHashTableConfig.")
  check_learning_rates(name, config)
  if export_context.is_exporting():
    table_config.entry_config.entry_type = embedding_hash_table_pb2.EntryConfig.SERVING
  return table_config


def hash_table_from_config(
  config: entry.HashTableConfigInstance,
  hash_filter: Optional[tf.Tensor] = None,
  name_suffix: str = "",
  sync_client: Optional[tf.Tensor] = None,
  saver_parallel: int = -1,
) -> HashTable:
  """Makes the table of a config; while a model is exported, with serving entries.

  Args:
    config: its slices, expire times, learning rates and names to restore from.
    hash_filter: handle of the occurrence filter; default one that admits everything.
    name_suffix: the resource is shared as `MonolithHashTable_<suffix>`, which is also the name of its files.
    sync_client: handle of the parameter-sync client; default one that sends nothing.
    saver_parallel: number of files of a save; below 1 the save decides by size.

  Raises:
    ValueError: the table type is unset, there is not one learning rate for each slice, or the graph has the name.
  """
  name = SHARED_NAME_PREFIX + name_suffix
  table_config = _checked_config(name, config)
  if tf.executing_eagerly():
    name = unique_eager_name(name)
  with tf.device(_CPU):
    if hash_filter is None:
      hash_filter = hash_filter_ops.create_dummy_hash_filter()
    if sync_client is None:
      sync_client = distributed_serving_ops.create_dummy_sync_client()
    handle = gen_monolith_ops.monolith_hash_table(
      hash_filter, sync_client, config=table_config.SerializeToString(), seed=graph_seed(), shared_name=name
    )
    # Eagerly a schedule goes on, so it is called at every step.
    in_graph = not tf.executing_eagerly() and not export_context.is_exporting()
    rates: Any = current_learning_rates(config) if in_graph else lambda: current_learning_rates(config)
  return HashTable(
    handle,
    name,
    hash_table_utils.infer_dim_size(config),
    slot_expire_time_config=table_config.slot_expire_time_config.SerializeToString(),
    learning_rate_tensor=rates,
    saver_parallel=saver_parallel,
    extra_restore_names=config.extra_restore_names,
  )


def _unused_suffix(suffix: str) -> str:
  """`suffix`, or `<suffix>_1`, `<suffix>_2` and so on where the graph has it already."""
  names = HashTable.get_metadata().name_set
  candidates = itertools.chain([suffix], (f"{suffix}_{i}" for i in itertools.count(1)))
  return next(c for c in candidates if SHARED_NAME_PREFIX + c not in names)


def _test_config(
  dim_size: int, learning_rate: entry.LearningRate, use_adagrad: bool, expire_time: int, restore_names: Iterable[str]
) -> entry.HashTableConfigInstance:
  table_config = embedding_hash_table_pb2.EmbeddingHashTableConfig()
  entry.CuckooHashTableConfig().mutate_table(table_config)
  optimizer = entry.AdagradOptimizer() if use_adagrad else entry.SgdOptimizer()
  table_config.entry_config.segments.append(
    entry.CombineAsSegment(dim_size, entry.ZerosInitializer(), optimizer, entry.Fp32Compressor())
  )
  table_config.slot_expire_time_config.default_expire_time = expire_time
  return entry.HashTableConfigInstance(table_config, [learning_rate], restore_names)


def _small_filter(suffix: str, threshold: int) -> tf.Tensor:
  """A filter of one table."""
  config = embedding_hash_table_pb2.SlotOccurrenceThresholdConfig(default_occurrence_threshold=threshold)
  if tf.executing_eagerly():
    suffix = unique_eager_name(suffix)
  with tf.device(_CPU):
    return hash_filter_ops.create_hash_filter(
      _TEST_FILTER_CAPACITY, hash_filter_ops.HASH_FILTER_SPLIT_NUM, config.SerializeToString(), f"_{suffix}"
    )


def test_hash_table(
  dim_size: int,
  enable_hash_filter: bool = False,
  name_suffix: Optional[str] = None,
  learning_rate: entry.LearningRate = 1.0,
  occurrence_threshold: int = 0,
  use_adagrad: bool = False,
  expire_time: int = 36500,
  sync_client: Optional[tf.Tensor] = None,
  extra_restore_names: Optional[Iterable[str]] = None,
  use_gpu: bool = False,
) -> HashTable:
  """Makes a table for tests: one slice that starts at zero and is stored as it is.

  Args:
    dim_size: the width of its embeddings.
    enable_hash_filter: let a filter count fids.
    name_suffix: default `test`, or `test_<n>` where the graph has that.
    learning_rate: a number or a function that returns one.
    occurrence_threshold: sightings that the filter drops.
    use_adagrad: AdaGrad in place of SGD.
    expire_time: days without an update after which a save leaves an entry out.
    sync_client: handle of the parameter-sync client; default one that sends nothing.
    extra_restore_names: other names under which a checkpoint may hold the table.
    use_gpu: must be False.

  Raises:
    ValueError: `use_gpu`, or the graph has the name.
  """
  if use_gpu:
    raise ValueError("test_hash_table: use_gpu is True, but tables live in host memory; leave it False.")
  suffix = _unused_suffix("test") if name_suffix is None else name_suffix
  config = _test_config(dim_size, learning_rate, use_adagrad, expire_time, extra_restore_names or ())
  hash_filter = _small_filter(suffix, occurrence_threshold) if enable_hash_filter else None
  return hash_table_from_config(config, hash_filter, suffix, sync_client)


# Not a test, whatever a collector takes the name for.
test_hash_table.__test__ = False  # type: ignore[attr-defined]


def vocab_hash_table(
  vocab_size: int, dim_size: int, enable_hash_filter: bool = False, learning_rate: entry.LearningRate = 1.0
) -> HashTable:
  """Makes a table for the words of a vocabulary: as `test_hash_table`, named `vocab`.

  Args:
    vocab_size: not used: a table grows with its fids.
    dim_size: the width of its embeddings.
    enable_hash_filter: let a filter count fids; it drops none.
    learning_rate: a number or a function that returns one.
  """
  del vocab_size
  return test_hash_table(dim_size, enable_hash_filter, _unused_suffix("vocab"), learning_rate)
