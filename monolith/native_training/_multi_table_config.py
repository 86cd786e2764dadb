# SPDX-License-Identifier: Apache-2.0
"""The configuration of several tables, serialized once for all that create them."""

from __future__ import annotations

from typing import NamedTuple

import monolith  # noqa: F401  (selects Keras 2 before TensorFlow is imported)
import tensorflow as tf

from monolith.native_training import entry
from monolith.native_training._table_arguments import check_learning_rates
from monolith.native_training.model_export import export_context
from monolith.native_training.runtime.hash_table import embedding_hash_table_pb2

Configs = dict[str, entry.HashTableConfigInstance]


class CachedConfig(NamedTuple):
  """What creating the tables takes.

  Attributes:
    configs: table name -> its config.
    table_names: sorted.
    mconfig: a serialized MultiEmbeddingHashTableConfig.
    mconfig_tensor: the same as a string tensor of the graph in which it was made.
    dims: embedding widths in the order of `table_names`.
    slot_expire_time_config: the serialized SlotExpireTimeConfig if all tables have the same one, else empty.
  """

  configs: Configs
  table_names: list[str]
  mconfig: bytes
  mconfig_tensor: tf.Tensor
  dims: list[int]
  slot_expire_time_config: bytes


def infer_dims(configs: Configs) -> list[int]:
  """Returns the embedding width of each table, in sorted order of the names.

  Raises:
    ValueError: a table has no slices.
  """
  dims = []
  for name in sorted(configs):
    segments = configs[name].table_config.entry_config.segments
    if not segments:
      raise ValueError(f"table {name!r} has no slices; add at least one with entry.CombineAsSegment.")
    dims.append(sum(segment.dim_size for segment in segments))
  return dims


def convert_to_cached_config(configs: Configs) -> CachedConfig:
  """Serializes configs; while a model is exported, as tables of serving entries.

  Raises:
    ValueError: there are no tables, a table has no slices, or not one learning rate for each.
  """
  if not configs:
    raise ValueError("configs is empty: a multi hash table needs at least one table; give the config of one.")
  names = sorted(configs)
  dims = infer_dims(configs)
  multi_config = embedding_hash_table_pb2.MultiEmbeddingHashTableConfig()
  expire_configs = set()
  for name in names:
    check_learning_rates(name, configs[name])
    table_config = embedding_hash_table_pb2.EmbeddingHashTableConfig()
    table_config.CopyFrom(configs[name].table_config)
    if export_context.is_exporting():
      table_config.entry_config.entry_type = embedding_hash_table_pb2.EntryConfig.SERVING
    expire_configs.add(table_config.slot_expire_time_config.SerializeToString(deterministic=True))
    multi_config.names.append(name)
    multi_config.configs.append(table_config)
  mconfig = multi_config.SerializeToString(deterministic=True)
  return CachedConfig(
    configs=configs,
    table_names=names,
    mconfig=mconfig,
    mconfig_tensor=tf.constant(mconfig),
    dims=dims,
    slot_expire_time_config=expire_configs.pop() if len(expire_configs) == 1 else b"",
  )
