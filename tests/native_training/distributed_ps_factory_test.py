# SPDX-License-Identifier: Apache-2.0
"""Which tables the factory builds."""

from monolith.native_training import distributed_ps
from monolith.native_training import distributed_ps_factory
from monolith.native_training import test_utils
from monolith.native_training.model_export import export_context

import pytest
import tensorflow as tf

CONFIGS = {"slot": test_utils.generate_test_hash_table_config(2)}


def _create(num_ps, filters=None, sync_clients=None):
  return distributed_ps_factory.create_native_multi_hash_table(num_ps, CONFIGS, filters, sync_clients)


def test_names_of_local_and_distributed_tables():
  with tf.Graph().as_default():
    table = _create(0)
    assert isinstance(table, distributed_ps_factory.LocalMultiHashTable)
    assert table.shared_name == "MonolithMultiHashTable_"
  with tf.Graph().as_default():
    table = _create(3)
    assert isinstance(table, distributed_ps.DistributedMultiTypeHashTable)
    assert [t.shared_name for t in table._tables] == [f"MonolithMultiHashTable_{i}" for i in range(3)]


def test_configs_are_serialized_once_for_all_servers(monkeypatch):
  from monolith.native_training import multi_hash_table_ops

  calls = []
  convert = multi_hash_table_ops.convert_to_cached_config
  monkeypatch.setattr(
    multi_hash_table_ops, "convert_to_cached_config", lambda configs: calls.append(configs) or convert(configs)
  )
  with tf.Graph().as_default():
    _create(3)
  assert len(calls) == 1


@pytest.mark.parametrize(
  "num_ps, filters, sync_clients, message",
  [
    (-1, None, None, "num_ps is -1; 0 means local"),
    (2, [None], None, "1 hash filters for 2 parameter servers; give 2"),
    (0, [None, None], None, "2 hash filters for the local table; give 1"),
    (2, None, [None] * 3, "3 sync clients for 2 parameter servers"),
  ],
)
def test_wrong_numbers(num_ps, filters, sync_clients, message):
  with tf.Graph().as_default(), pytest.raises(ValueError, match=message):
    _create(num_ps, filters, sync_clients)


def test_standalone_export_has_no_servers_and_no_filters():
  with tf.Graph().as_default() as graph:
    with export_context.enter_export_mode(export_context.ExportMode.STANDALONE) as context:
      table = _create(2, filters=["never", "used"])
      rows = table.lookup({"slot": tf.constant([1, 2], tf.int64)})["slot"]
    assert rows.shape.as_list() == [2, 2] and context.sub_graph_num == 0
    assert not [op.name for op in graph.get_operations() if "/job:" in op.device]


def test_distributed_export_is_refused_by_name():
  with tf.Graph().as_default(), export_context.enter_export_mode(export_context.ExportMode.DISTRIBUTED):
    with pytest.raises(ValueError, match="ExportMode.DISTRIBUTED is not supported yet"):
      _create(2)


@pytest.mark.parametrize("name", ["create_in_worker_native_multi_hash_table", "create_in_worker_multi_type_hash_table"])
def test_what_is_not_built_says_so(name):
  with pytest.raises(AttributeError, match=f"{name} is not supported yet; use create_native_multi_hash_table"):
    getattr(distributed_ps_factory, name)


def test_a_local_step_sums_a_repeated_id_but_the_bare_table_does_not():
  from monolith.native_training import multi_hash_table_ops

  ids, grads = tf.constant([5, 5], tf.int64), tf.constant([[1.0, 1.0], [2.0, 2.0]])
  local = distributed_ps_factory.LocalMultiHashTable.from_configs({"s": _adagrad()})
  bare = multi_hash_table_ops.MultiHashTable.from_configs({"s": _adagrad()})
  step = tf.constant(0, tf.int64)
  rows = [t.apply_gradients({"s": (ids, grads)}, step).lookup({"s": ids[:1]})["s"].numpy()[0, 0] for t in (local, bare)]
  assert rows == pytest.approx([-0.0948683, -0.1523603], abs=1e-6)


def _adagrad():
  from monolith.native_training import entry
  from monolith.native_training.runtime.hash_table import embedding_hash_table_pb2

  config = embedding_hash_table_pb2.EmbeddingHashTableConfig()
  entry.CuckooHashTableConfig().mutate_table(config)
  config.entry_config.segments.append(
    entry.CombineAsSegment(2, entry.ZerosInitializer(), entry.AdagradOptimizer(0.1, 1.0), entry.Fp32Compressor())
  )
  return entry.HashTableConfigInstance(config, [0.1])
