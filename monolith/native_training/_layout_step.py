# SPDX-License-Identifier: Apache-2.0
"""The tables' part of a step by layouts: records in, layouts out and, in training, gradients back into the tables."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional, Tuple

import tensorflow as tf

from idl.matrix.proto import example_pb2
from monolith.native_training import distributed_ps_factory, graph_meta, hash_table_utils, prefetch_queue
from monolith.native_training._collect_pass import FeatureConfigs
from monolith.native_training._feature_slices import add_to_reduced
from monolith.native_training._layout_factory import EmbeddingLayoutFactory
from monolith.native_training._partitioned_hash_table import PartitionedHashTable
from monolith.native_training._sparse_step import Filters, configs_for_graph
from monolith.native_training._training_config import CpuTrainingConfig
from monolith.native_training.data import parsers
from monolith.native_training.model_export import export_context

__all__ = [
  "LayoutLookup",
  "create_partitioned_tables",
  "has_records",
  "parser_type_of_graph",
  "remember_parser",
  "split_records",
]

_PARSER_CTX = "layout_parser_ctx"


def remember_parser(ctx: parsers.ParserCtx) -> None:
  """Keeps for the default graph what the parser of its input left in `ctx`."""
  _parser_of_graph()[0] = ctx


def parser_type_of_graph() -> Optional[str]:
  """Which records the parser of the default graph's input took; None where none did."""
  return _parser_of_graph()[0].parser_type


def _parser_of_graph() -> List[parsers.ParserCtx]:
  return graph_meta.get_meta(_PARSER_CTX, lambda: [parsers.ParserCtx()])


def has_records(features: Any) -> bool:
  """Whether the parser of a batch left records in it."""
  return isinstance(features, Mapping) and parsers.SPARSE_FEATURES_KEY in features


def split_records(features: Any) -> Tuple[tf.Tensor, Dict[str, Any]]:
  """The records that `enable_fused_layout` left in a batch, and its dense features.

  Raises:
    ValueError: there are none.
  """
  if not has_records(features):
    raise ValueError(
      "enable_fused_layout: the batch has no records to shard; parse it by parse_examples, parse_example_batch or "
      "parse_instances, or switch enable_fused_layout off."
    )
  dense = {
    name: value
    for name, value in features.items()
    if name != parsers.SPARSE_FEATURES_KEY and not isinstance(value, tf.RaggedTensor)
  }
  return features[parsers.SPARSE_FEATURES_KEY], dense


def create_partitioned_tables(
  config: CpuTrainingConfig,
  configs: FeatureConfigs,
  layouts: Mapping[str, example_pb2.OutConfig],
  filters: Filters,
  trains: bool = True,
) -> PartitionedHashTable:
  """Makes the tables of the default graph; of the features, those that a layout uses are looked up.

  Args:
    config: the job's settings.
    configs: what the dry run learned.
    layouts: {layout: how one lookup joins slices}.
    filters: from `create_filters`.
    trains: whether the graph updates the tables.

  Raises:
    ValueError: it does, but one needs more than the gradients of layouts for that.
  """
  for table, instance in sorted(configs.table_to_config.items()):
    if trains and hash_table_utils.needs_looked_up(instance):
      raise ValueError(
        f"enable_fused_layout: table {table!r} has a DcOptimizer, which takes the embeddings of single fids beside "
        "their gradients, and layouts have none; train without enable_fused_layout, or use another optimizer."
      )
  used = {part.feature_name for out_config in layouts.values() for part in out_config.slice_configs}
  params = PartitionedHashTable.gen_op_params(
    config.num_ps,
    configs_for_graph(config, configs),
    {name: table for name, table in configs.feature_to_table.items() if name in used},
    layouts,
    configs.feature_to_unmerged_slice_dims,
    configs.feature_to_combiner,
    # Measured (benchmarks.serving.requests): to read fids that repeat costs less than to find them out.
    unique=lambda: not export_context.is_exporting(),
  )
  return distributed_ps_factory.create_partitioned_hash_table(
    config.num_ps, True, hash_filters=filters.handles, op_params=params
  )


class LayoutLookup:
  """Looks a batch up by layouts.

  Args:
    tables: from `create_partitioned_tables`.
    records: of the batch; what they are the parser of the default graph's input has left (`remember_parser`).

  Raises:
    KeyError: the model looks up what the parser was not asked for, and fids of version 1 leave no room for it.
  """

  def __init__(self, tables: PartitionedHashTable, records: tf.Tensor):
    self._tables = tables
    (ctx,) = _parser_of_graph()
    is_instance = ctx.parser_type == "instance"
    a_record_a_row = records.shape.rank == 1 and ctx.parser_type != "example_batch"
    self._rows = records.shape[0] if a_record_a_row else None
    keep_v1 = is_instance and ctx.keeps_v1
    unknown = sorted(set(tables.feature_names) - set(ctx.v1_columns)) if keep_v1 else []
    if unknown:
      raise KeyError(
        f"the model looks up feature {unknown[0]!r}, which the input lacks; parse_instances has fidv1_features "
        f"{sorted(ctx.v1_columns)}."
      )
    v1_columns = {name: ctx.v1_columns.get(name, -1) for name in tables.feature_names} if is_instance else None
    self._sharded = tables.shard(records, ctx.parser_type or "example", v1_columns=v1_columns, keep_v1=keep_v1)
    self._embeddings = tables.lookup_sharded(self._sharded)

  def prefetched(self, dense: Dict[str, Any], labels: Any, capacity: int) -> Tuple[Dict[str, Any], Any, Any]:
    """Dense features, labels and the queue (or None) between the lookup and the step."""
    sharded = self._sharded._asdict()
    (self._embeddings, sharded, dense, labels), queue = prefetch_queue.enqueue_dicts_with_queue_return(
      (self._embeddings, sharded, dense, labels), capacity=capacity
    )
    self._sharded = parsers.ShardedFids(**sharded)
    return dense, labels, queue

  def factory(
    self, manager: prefetch_queue.AsyncFunctionMgr, postpush: bool, req_time: Optional[tf.Tensor]
  ) -> EmbeddingLayoutFactory:
    """The factory for the model."""
    embeddings: List[tf.Tensor] = list(self._embeddings)
    bundle = {"embeddings": embeddings, "sharded": self._sharded, "req_time": req_time}
    layouts = self._tables.to_layouts(embeddings, self._sharded)
    for tensor in self._tables.flatten_layout(layouts):
      tensor.set_shape([self._rows, *tensor.shape[1:]])
      add_to_reduced(tensor)
    return EmbeddingLayoutFactory(self._tables, layouts, bundle, manager, async_push=postpush)

  @property
  def batch_size(self) -> tf.Tensor:
    """Rows of the batch, an int32 scalar."""
    return self._sharded.batch_size[0]
