# SPDX-License-Identifier: Apache-2.0
"""Dealing the fids of records out to tables and parameter servers, before or without parsing them into columns."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Union

import tensorflow as tf

from idl.matrix.proto import example_pb2
from monolith.core.errors import CallerError
from monolith.native_training.runtime.ops import gen_monolith_ops

__all__ = ["ShardedFids", "sharding_sparse_fids"]

_Lists = Union[Dict[str, tf.Tensor], List[tf.Tensor]]
_INPUT_TYPES = ("example", "examplebatch", "example_batch", "instance")


class ShardedFids(NamedTuple):
  """What `sharding_sparse_fids` returns. N lists: one for each table and shard, table by table."""

  shards: _Lists
  """int64 fids of each list."""
  fid_offset: tf.Tensor
  """uint64 [fids]: of every fid the number of its list << 32 | the first float of its embedding there."""
  feature_offset: tf.Tensor
  """int32: of every row of a feature its first place in fid_offset, and the number of fids."""
  nfl_offset: tf.Tensor
  """uint32: of every feature its first place in feature_offset, and the length of that; bit 31: one for all rows."""
  batch_size: tf.Tensor
  """int32 [1]."""
  nfl_size: tf.Tensor
  """int32 [1]: length of nfl_offset."""
  feature_size: tf.Tensor
  """int32 [1]: length of feature_offset."""
  fid_size: tf.Tensor
  """int32 [1]: length of fid_offset."""
  emb_size: tf.Tensor
  """int32 [N]: floats of the embeddings of each list."""
  row_splits: _Lists
  """int64: of each list where its features begin."""
  row_splits_size: _Lists
  """int32 [1]: of each list the length of its splits."""
  fid_list_emb_row_lenth: Optional[tf.Tensor] = None
  fid_list_table_row_length: Optional[tf.Tensor] = None
  fid_list_shard_row_lenth: Optional[tf.Tensor] = None


def sharding_sparse_fids(
  tensor: tf.Tensor,
  ps_num: int,
  feature_cfgs: example_pb2.FeatureConfigs,
  unique: Union[bool, Any],
  input_type: str,
  parallel_flag: int = 0,
  fid_list_ret_list: bool = False,
  version: int = 5,
  v1_columns: Optional[Mapping[str, int]] = None,
  keep_v1: bool = False,
) -> ShardedFids:
  """Deals the fids of records out: a fid belongs to shard unsigned(fid) mod ps_num of its feature's table.

  Features and tables are taken in the order of their names; fids of version 1 become version 2. In an Instance the flat
  list of fids gives the features `slot_<n>` and `fc_slot_<n>`, named columns the others.

  Args:
    tensor: records, variants or strings: [B] Instances or Examples, or one ExampleBatch.
    ps_num: shards; 0 means 1.
    feature_cfgs: which features there are, with their tables and widths.
    unique: whether a fid comes once in a feature's part of a list; a bool, or a function that gives one.
    input_type: example, examplebatch (example_batch) or instance.
    parallel_flag: kept for compatibility.
    fid_list_ret_list: return lists instead of dicts by `<table>:<shard>`.
    version: of the encoding; 5.
    v1_columns: {feature: slot} of Instances' flat list of fids, besides `slot_<n>` and `fc_slot_<n>`; -1 is a named
      column whatever its name.
    keep_v1: leave the fids of that list version 1, as `parse_instances` does without named columns.

  Returns:
    A `ShardedFids`; what other versions would give is None.

  Raises:
    CallerError: input_type is unknown.
    ValueError: another version is asked for, or there are no features.
    FailedPreconditionError: the configuration does not make sense, or keep_v1 meets a named column.
  """
  if input_type not in _INPUT_TYPES:
    raise CallerError(f"sharding_sparse_fids: input_type is {input_type!r}; it must be one of {_INPUT_TYPES}.")
  if version != 5:
    raise ValueError(f"sharding_sparse_fids: version is {version}; only 5 is built (4 is for GPUs, 1 to 3 are older).")
  if not feature_cfgs.feature_configs:
    raise ValueError("sharding_sparse_fids: feature_cfgs has no feature_configs; add the features to look up.")
  num_shards = max(ps_num, 1)
  tables = sorted({config.table for config in feature_cfgs.feature_configs.values()})
  found = gen_monolith_ops.sharding_sparse_fids_v5(
    tf.convert_to_tensor(tensor),
    ps_num=num_shards,
    feature_cfgs=feature_cfgs.SerializeToString(),
    N=len(tables) * num_shards,
    unique=bool(unique() if callable(unique) else unique),
    input_type=input_type,
    parallel_flag=parallel_flag,
    v1_features=list(v1_columns or {}),
    v1_slots=list((v1_columns or {}).values()),
    keep_v1=keep_v1,
  )
  names = [f"{table}:{shard}" for table in tables for shard in range(num_shards)]

  def lists(values: List[tf.Tensor]) -> _Lists:
    return list(values) if fid_list_ret_list else dict(zip(names, values, strict=True))

  return ShardedFids(
    lists(found.fid_list),
    found.fid_offset,
    found.feature_offset,
    found.nfl_offset,
    found.batch_size,
    found.nfl_size,
    found.feature_size,
    found.fid_size,
    found.emb_size,
    lists(found.fid_list_row_splits),
    lists(found.fid_list_row_splits_size),
  )
