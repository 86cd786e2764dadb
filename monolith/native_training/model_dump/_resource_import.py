# SPDX-License-Identifier: Apache-2.0
"""Tables of a dumped graph: nothing that reads them needs what makes and fills them, so that is imported beside it."""

from __future__ import annotations

from typing import Any, Callable, Iterable, List

import tensorflow as tf

from monolith.native_training import multi_hash_table_ops, multi_hash_table_ops_pb2
from monolith.native_training.model_dump._node_names import node_name, tensor_name
from monolith.native_training.runtime.hash_table import embedding_hash_table_pb2

__all__ = ["register_tables", "table_makers"]

_TABLES = multi_hash_table_ops._MULTI_HASH_TABLE_GRAPH_KEY
_READ, _CREATE = "ReadMonolithMultiHashTable", "CreateMonolithMultiHashTable"
# TensorFlow's own, which are filled once.
_LOOKUP_TABLE = "HashTableV2"
_FILL = ("InitializeTableV2", "InitializeTableFromTextFileV2", "LookupTableImportV2")


def table_makers(helper: Any, nodes: Iterable[tf.compat.v1.NodeDef]) -> List[str]:
  """The nodes of a helper's graph that make or fill the tables that `nodes` read."""
  shared, lookups = set(), set()
  for node in nodes:
    if node.op == _READ:
      shared.add(node.attr["shared_name"].s)
    elif node.op == _LOOKUP_TABLE:
      lookups.add(node.name)
  makers = [node.name for node in helper.nodes(_CREATE) if node.attr["shared_name"].s in shared]
  return makers + [node.name for node in helper.nodes(*_FILL) if node_name(node.input[0]) in lookups]


def register_tables(graph_def: tf.compat.v1.GraphDef, makers: Iterable[str], imported: Callable[[str], Any]) -> None:
  """Has the default graph's tables initialized with its session, and embedding tables restored with its checkpoints.

  Args:
    graph_def: what was imported.
    makers: nodes of it, from `table_makers`.
    imported: finds an imported tensor or operation.
  """
  reads = {node.attr["shared_name"].s: node.name for node in graph_def.node if node.op == _READ}
  for name in makers:
    operation = imported(name)
    tf.compat.v1.add_to_collection(tf.compat.v1.GraphKeys.TABLE_INITIALIZERS, operation)
    if operation.type == _CREATE:
      _register(operation, imported(tensor_name(reads[operation.get_attr("shared_name")])))


def _register(create: tf.Operation, handle: tf.Tensor) -> None:
  shared_name = create.get_attr("shared_name").decode()
  if any(table.shared_name == shared_name for table in tf.compat.v1.get_collection(_TABLES)):
    return
  text = tf.get_static_value(create.inputs[0])
  config = embedding_hash_table_pb2.MultiEmbeddingHashTableConfig.FromString(bytes(text.item()))
  proto = multi_hash_table_ops_pb2.MultiHashTableProto(
    dims=[sum(s.dim_size for s in table.entry_config.segments) for table in config.configs],
    table_names=list(config.names),
    shared_name=shared_name,
    saver_parallel=-1,
    initializer_op=create.name,
    handle_tensor=handle.name,
  )
  expire_times = {table.slot_expire_time_config.SerializeToString(deterministic=True) for table in config.configs}
  if len(expire_times) == 1:
    proto.slot_expire_time_config = expire_times.pop()
  tf.compat.v1.add_to_collection(_TABLES, multi_hash_table_ops.MultiHashTable.from_proto(proto))
