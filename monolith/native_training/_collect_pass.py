# SPDX-License-Identifier: Apache-2.0
"""The dry run: builds a task's model once in a throw-away graph to learn which tables it needs.

Features and tables: every feature that has a slot of its own gets a table under the feature's name. Features that share
one slot share one table, which bears the slot's name (with `shared_name` that is the feature whose slot is shared);
their vectors of equal fids are then one and the same.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Dict, List, Mapping, Tuple

import tensorflow as tf

from monolith.native_training import embedding_combiners, entry, tf_estimator
from monolith.native_training._estimator_inputs import call_with_accepted, features_and_labels
from monolith.native_training._feature_collect import RecordedLookups
from monolith.native_training._input_records import InputColumns, input_columns
from monolith.native_training._watched_features import WatchedFeatures
from monolith.native_training.feature import DummyFeatureFactory, TableConfig
from monolith.native_training.prefetch_queue import AsyncFunctionMgr
from monolith.native_training.runtime.hash_table import embedding_hash_table_pb2

__all__ = ["FeatureConfigs", "collect_feature_configs", "single_element"]


@dataclasses.dataclass
class FeatureConfigs:
  """What the dry run learned.

  Attributes:
    table_to_config: {table: its slices, optimizers and learning rates}.
    feature_to_table: {feature: the table of its fids}.
    feature_to_unmerged_slice_dims: {feature: widths of its slices as the model asked for them}.
    feature_to_combiner: {feature: combiner}.
    slot_to_occurrence_threshold: {slot number: sightings before a fid gets an entry}, for those above 0.
    slot_to_expire_time: {slot number: days without an update before eviction}, where it is not the default.
    lookups: what the model looks up, in order.
    columns: where the features of the training input come from.
  """

  table_to_config: Dict[str, entry.HashTableConfigInstance] = dataclasses.field(default_factory=dict)
  feature_to_table: Dict[str, str] = dataclasses.field(default_factory=dict)
  feature_to_unmerged_slice_dims: Dict[str, List[int]] = dataclasses.field(default_factory=dict)
  feature_to_combiner: Dict[str, embedding_combiners.Combiner] = dataclasses.field(default_factory=dict)
  slot_to_occurrence_threshold: Dict[int, int] = dataclasses.field(default_factory=dict)
  slot_to_expire_time: Dict[int, int] = dataclasses.field(default_factory=dict)
  lookups: RecordedLookups = dataclasses.field(default_factory=RecordedLookups)
  columns: InputColumns = InputColumns({}, {}, [])

  def table_to_features(self) -> Dict[str, List[str]]:
    """{table: features that draw on it, sorted}."""
    result: Dict[str, List[str]] = {}
    for feature in sorted(self.feature_to_table):
      result.setdefault(self.feature_to_table[feature], []).append(feature)
    return result


def collect_feature_configs(task: Any, hashtable_init_capacity: int = 0) -> FeatureConfigs:
  """Builds `task`'s model in a throw-away graph and records its tables.

  Args:
    task: a NativeTask; its context is used and reset.
    hashtable_init_capacity: entries that each table reserves; 0 keeps the table's own setting.

  Raises:
    ValueError: a feature draws on two slots, or a table's name collides with a feature's.
  """
  factory = DummyFeatureFactory(task.p.train.per_replica_batch_size)
  ragged_reads: List[str] = []
  graph = tf.Graph()
  graph.dry_run = True
  with graph.as_default():
    tf.compat.v1.get_variable_scope().set_use_resource(True)
    tf.compat.v1.train.get_or_create_global_step()
    task.ctx.feature_factory = factory
    task.ctx.async_function_mgr = AsyncFunctionMgr(is_async=False)
    # Evaluation and prediction read the tables that training wrote, so those of training are collected in any case.
    task_mode, task.p.mode = task.p.mode, tf_estimator.ModeKeys.TRAIN
    try:
      result = call_with_accepted(task.create_input_fn(tf_estimator.ModeKeys.TRAIN), mode=tf_estimator.ModeKeys.TRAIN)
      columns = input_columns(result)
      features, labels = single_element(result)
      call_with_accepted(
        task.create_model_fn(),
        features=WatchedFeatures(features, ragged_reads) if isinstance(features, Mapping) else features,
        labels=labels,
        mode=tf_estimator.ModeKeys.TRAIN,
        config=tf_estimator.RunConfig(),
      )
    finally:
      task.p.mode = task_mode
      task.ctx.feature_factory = None
      task.ctx.async_function_mgr = None
    return _to_feature_configs(factory, hashtable_init_capacity, ragged_reads, columns)


def single_element(result: Any) -> Tuple[Any, Any]:
  """(features, labels) of what an input function returned, in a graph that is not going to run."""
  if isinstance(result, tf.data.Dataset):
    result = result.get_single_element()
  return features_and_labels(result)


def _to_feature_configs(
  factory: DummyFeatureFactory, init_capacity: int, ragged_reads: List[str], columns: InputColumns
) -> FeatureConfigs:
  configs = FeatureConfigs(
    lookups=factory.lookups,
    columns=columns,
    slot_to_occurrence_threshold={slot: n for slot, n in factory.slot_to_occurrence_threshold.items() if n > 0},
    slot_to_expire_time={
      slot: days
      for slot, days in factory.slot_to_expire_time.items()
      if days != embedding_hash_table_pb2.SlotExpireTimeConfig().default_expire_time
    },
  )
  for slot_name, table_config in factory.get_table_name_to_table_config().items():
    _add_slot(configs, slot_name, table_config, init_capacity)
  # Under an embedding feature's own name a model finds the embeddings of its single fids.
  configs.lookups.uncombined.extend(
    f"model_fn reads features[{name!r}]" for name in ragged_reads if name in configs.feature_to_table
  )
  return configs


def _add_slot(configs: FeatureConfigs, slot_name: str, table_config: TableConfig, init_capacity: int) -> None:
  features = table_config.feature_names
  if not features:
    return
  table = features[0] if len(features) == 1 else slot_name
  if table in configs.table_to_config:
    raise ValueError(
      f"two tables would be called {table!r}: slot {slot_name!r} with features {features}, and the "
      f"table of {configs.table_to_features()[table]}; rename the slot."
    )
  configs.table_to_config[table] = _table_instance(configs, table_config, init_capacity)
  for feature in features:
    if feature in configs.feature_to_table:
      raise ValueError(
        f"feature {feature!r} draws on slot {slot_name!r} and on table "
        f"{configs.feature_to_table[feature]!r}; a feature belongs to one slot."
      )
    configs.feature_to_table[feature] = table
    configs.feature_to_unmerged_slice_dims[feature] = list(table_config.unmerged_slice_dims)
    configs.feature_to_combiner[feature] = table_config.feature_to_combiners[feature]


def _table_instance(
  configs: FeatureConfigs, table_config: TableConfig, init_capacity: int
) -> entry.HashTableConfigInstance:
  proto = embedding_hash_table_pb2.EmbeddingHashTableConfig()
  table_config.hashtable_config.mutate_table(proto)
  if init_capacity > 0:
    proto.initial_capacity = init_capacity
  for slice_config in table_config.slice_configs:
    proto.entry_config.segments.append(slice_config.segment)
  _set_expire_times(proto, configs.slot_to_expire_time)
  rates = [slice_config.learning_rate_fn for slice_config in table_config.slice_configs]
  return entry.HashTableConfigInstance(proto, rates)


def _set_expire_times(
  proto: embedding_hash_table_pb2.EmbeddingHashTableConfig, slot_to_days: Mapping[int, int]
) -> None:
  # Slots are in the fids, so every table may carry the whole list.
  for slot in sorted(slot_to_days):
    proto.slot_expire_time_config.slot_expire_times.add(slot=slot, expire_time=slot_to_days[slot])
