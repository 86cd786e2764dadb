# SPDX-License-Identifier: Apache-2.0
"""The tables' part of a step: fids in, embeddings out, and gradients back into the tables."""

from __future__ import annotations

from typing import Any, Dict, Iterable, List, Mapping, NamedTuple, Optional, Tuple, Union

import tensorflow as tf

from monolith.native_training import (
  distributed_ps_factory,
  entry,
  feature,
  hash_filter_ops,
  hash_table_utils,
  utils,
)
from monolith.native_training._collect_pass import FeatureConfigs
from monolith.native_training._table_updates import TableUpdates
from monolith.native_training._training_config import CpuTrainingConfig
from monolith.native_training.model_export import export_context
from monolith.native_training.prefetch_queue import AsyncFunctionMgr
from monolith.native_training.runtime.hash_table import embedding_hash_table_pb2

__all__ = [
  "Filters",
  "SplitFeatures",
  "TableFeatureFactory",
  "configs_for_graph",
  "create_filters",
  "create_tables",
  "lookup_features",
  "split_features",
]


class Filters(NamedTuple):
  """Occurrence filters, one a parameter server, and whether they keep counts that belong into checkpoints."""

  handles: List[tf.Tensor]
  keep_counts: bool


class SplitFeatures(NamedTuple):
  """A batch: fids of embedding features, and the dense rest."""

  fids: Dict[str, tf.RaggedTensor]
  dense: Dict[str, Any]


def split_features(features: Mapping[str, Any], feature_configs: FeatureConfigs) -> SplitFeatures:
  """Separates embedding features from dense ones; ragged tensors that are no embedding features are dropped.

  Raises:
    KeyError: an embedding feature is missing.
    ValueError: one is not a ragged tensor of int64 fids, or the features are no dict.
  """
  if not isinstance(features, Mapping):
    raise ValueError(f"input_fn gave features of type {type(features).__name__}; a model with embeddings needs a dict.")
  fids = {}
  for name in sorted(feature_configs.feature_to_table):
    if name not in features:
      raise KeyError(f"the model looks up feature {name!r}, which the input lacks; it has {sorted(features)}.")
    value = features[name]
    if not isinstance(value, tf.RaggedTensor) or value.dtype != tf.int64 or value.ragged_rank != 1:
      raise ValueError(f"feature {name!r} is {value}; an embedding feature is a ragged int64 tensor [B, None] of fids.")
    fids[name] = value
  dense = {
    name: value for name, value in features.items() if name not in fids and not isinstance(value, tf.RaggedTensor)
  }
  return SplitFeatures(fids, dense)


def create_filters(config: CpuTrainingConfig, feature_configs: FeatureConfigs) -> Filters:
  """Makes the occurrence filters of the default graph, in this process or on the parameter servers."""
  thresholds = embedding_hash_table_pb2.SlotOccurrenceThresholdConfig()
  for slot, threshold in sorted(feature_configs.slot_to_occurrence_threshold.items()):
    thresholds.slot_occurrence_thresholds.add(slot=slot, occurrence_threshold=threshold)
  enabled = bool(feature_configs.slot_to_occurrence_threshold) and not export_context.is_exporting()
  handles = hash_filter_ops.create_hash_filters(
    config.num_ps,
    enable_hash_filter=enabled,
    config=thresholds.SerializeToString(),
    filter_capacity=config.filter_capacity,
    filter_split_num=config.filter_split_num,
    filter_equal_probability=config.filter_equal_probability,
    filter_type=config.filter_type,
  )
  return Filters(handles, enabled and config.filter_type == hash_filter_ops.FilterType.SLIDING_HASH_FILTER)


def create_tables(config: CpuTrainingConfig, feature_configs: FeatureConfigs, filters: Filters) -> Any:
  """Makes the tables of the default graph, in this process or on the parameter servers."""
  create: Any = distributed_ps_factory.create_native_multi_hash_table
  if config.use_native_multi_hash_table is False:
    create = distributed_ps_factory.create_multi_type_hash_table
  return create(
    config.num_ps,
    configs_for_graph(config, feature_configs),
    filters.handles,
    max_rpc_deadline_millis=config.max_rpc_deadline_millis,
  )


def configs_for_graph(
  config: CpuTrainingConfig, feature_configs: FeatureConfigs
) -> Dict[str, entry.HashTableConfigInstance]:
  """{table: what its entries are made of} in the default graph: while exporting, as `config` serves them."""
  if not (export_context.is_exporting() and config.skip_zero_embedding_when_serving):
    return feature_configs.table_to_config
  result = {}
  for name, instance in feature_configs.table_to_config.items():
    proto = type(instance.table_config)()
    proto.CopyFrom(instance.table_config)
    proto.skip_zero_embedding = True
    result[name] = entry.HashTableConfigInstance(proto, instance.learning_rate_fns, instance.extra_restore_names)
  return result


def lookup_features(
  tables: Any, fids: Mapping[str, tf.RaggedTensor], feature_configs: FeatureConfigs
) -> Dict[str, tf.Tensor]:
  """Looks all features up in one call.

  Returns:
    {feature: float32 [number of its fids, D]}; a fid that no table holds gives zeros. Each is the output of an op of
    its own: of an op with several outputs, tf.gradients gives zeros for those that the loss does not depend on.
  """
  table_to_features = feature_configs.table_to_features()
  values = {name: ragged.values for name, ragged in fids.items()}
  found = tables.lookup(_by_table(table_to_features, values))
  result = {}
  for table, names in table_to_features.items():
    if len(names) == 1:
      result[names[0]] = found[table]
    else:
      sizes = [tf.size(values[name]) for name in names]
      result.update(zip(names, tf.split(found[table], sizes), strict=True))
  return {name: tf.identity(rows) for name, rows in result.items()}


def _by_table(table_to_features: Mapping[str, List[str]], values: Mapping[str, tf.Tensor]) -> Dict[str, tf.Tensor]:
  """{table: the values of its features one after the other}, for tables of which any feature is given."""
  result = {}
  for table, names in table_to_features.items():
    given = [values[name] for name in names if name in values]
    if given:
      result[table] = given[0] if len(given) == 1 else tf.concat(given, axis=0)
  return result


class TableFeatureFactory(feature.FeatureFactoryFromEmbeddings):
  """The factory of a training graph: answers lookups from looked-up embeddings, applies gradients to the tables.

  The gradients of one fid in one table are summed over all its occurrences, in all features that share the table,
  before its one optimizer step.

  Args:
    tables: from `create_tables`.
    fids: {feature: ragged int64 [B, None]}.
    embeddings: {feature: [number of fids, D]}.
    feature_configs: what the dry run learned.
    async_function_mgr: runs the update.
    postpush: run it one step later.
    req_time: the batch's time, int64 seconds, or None.
  """

  def __init__(
    self,
    tables: Any,
    fids: Mapping[str, tf.RaggedTensor],
    embeddings: Mapping[str, tf.Tensor],
    feature_configs: FeatureConfigs,
    async_function_mgr: AsyncFunctionMgr,
    postpush: bool,
    req_time: Optional[tf.Tensor],
  ):
    slices = feature.create_embedding_slices(
      embeddings,
      fids,
      feature_configs.feature_to_combiner,
      feature_configs.feature_to_unmerged_slice_dims,
    )
    super().__init__(embeddings, slices)
    self._tables = tables
    self._fids = dict(fids)
    self._embeddings = dict(embeddings)
    self._table_to_features = feature_configs.table_to_features()
    self._taking_looked_up = {
      table: names
      for table, names in self._table_to_features.items()
      if hash_table_utils.needs_looked_up(feature_configs.table_to_config[table])
    }
    self._updates = TableUpdates(async_function_mgr, postpush, req_time)

  def apply_gradients(
    self,
    grads_and_vars: Iterable[Tuple[Optional[tf.Tensor], tf.Tensor]],
    req_time: Optional[tf.Tensor] = None,
    scale: Union[int, float, tf.Tensor] = 1,
  ) -> tf.Operation:
    """Updates the tables; returns the op that does, or that queues the update.

    Raises:
      RuntimeError: a gradient is not with respect to `FeatureColumn.get_all_embeddings_concat()`.
    """
    pairs = [(grad, v) for grad, v in grads_and_vars if grad is not None]
    if not pairs:
      return tf.no_op()
    by_feature = utils.propagate_back_dict_gradients(
      pairs,
      {embedding.ref(): name for name, embedding in self._embeddings.items()},
      self._embeddings.values(),
    )
    grads = {name: tf.convert_to_tensor(found[0][0]) for name, found in by_feature.items()}
    fids = {name: self._fids[name].values for name in grads}
    table_to_fids = _by_table(self._table_to_features, fids)
    table_to_grads = _by_table(self._table_to_features, grads)
    looked_up = _by_table(self._taking_looked_up, {name: self._embeddings[name] for name in grads})
    return self._updates.run(self._update_tables, (table_to_fids, looked_up), table_to_grads, scale, req_time)

  def _update_tables(
    self,
    fids_and_looked_up: Tuple[Dict[str, tf.Tensor], Dict[str, tf.Tensor]],
    table_to_grads: Dict[str, tf.Tensor],
    global_step: tf.Tensor,
    req_time: Optional[tf.Tensor],
  ) -> tf.Operation:
    table_to_fids, looked_up = fids_and_looked_up
    fids_and_grads = {name: (fids, table_to_grads[name]) for name, fids in table_to_fids.items()}
    return self._tables.apply_gradients(
      fids_and_grads, global_step=global_step, req_time=req_time, looked_up=looked_up
    ).as_op()
