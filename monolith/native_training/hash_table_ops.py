# SPDX-License-Identifier: Apache-2.0
"""Single embedding tables.

A write returns a shallow copy of the table; reads made through the copy are ordered after the write:

    table = hash_table_from_config(config, name_suffix="user")
    table = table.assign_add(ids, values)
    embeddings = table.lookup(ids)          # [len(ids), dim_size], after the write

A table exists once its handle has been made: there is nothing to initialise. For many tables at once, prefer
`multi_hash_table_ops`, which reads or writes all of them with one op.
"""

from __future__ import annotations

from monolith.native_training._fused_table_ops import fused_apply_gradient, fused_lookup
from monolith.native_training._hash_table import HASH_TABLE_GRAPH_KEY, BaseHashTable, HashTable, HashTableMetadata
from monolith.native_training._hash_table_factories import hash_table_from_config, test_hash_table, vocab_hash_table
from monolith.native_training._hash_table_listeners import (
  HashTableCheckpointRestorerListener,
  HashTableCheckpointSaverListener,
  HashTableRestorerSaverListener,
  table_tensor_prefix,
)
from monolith.native_training._table_listeners import TIMEOUT_IN_MS
from monolith.native_training.runtime.ops import gen_monolith_ops

import tensorflow as tf

__all__ = [
  "BaseHashTable",
  "HashTable",
  "HashTableCheckpointRestorerListener",
  "HashTableCheckpointSaverListener",
  "HashTableMetadata",
  "HashTableRestorerSaverListener",
  "extract_slot_from_entry",
  "fused_apply_gradient",
  "fused_lookup",
  "hash_table_from_config",
  "test_hash_table",
  "vocab_hash_table",
]

# Names that other modules know.
_HASH_TABLE_GRAPH_KEY = HASH_TABLE_GRAPH_KEY
_TIMEOUT_IN_MS = TIMEOUT_IN_MS
_table_tensor_prefix = table_tensor_prefix


def extract_slot_from_entry(entry: tf.Tensor, fid_v2: bool = True) -> tf.Tensor:
  """Reads the slot from the fid of every entry.

  Args:
    entry: serialized EntryDumps, string `[n]`.
    fid_v2: whether fids have version 2 (bits 48 to 62) or 1 (the upper 10 bits).

  Returns:
    int32 `[n]`; what is no entry counts as fid 0.
  """
  return gen_monolith_ops.monolith_extract_slot_from_entry(entry, fid_v2=fid_v2)
