# SPDX-License-Identifier: Apache-2.0
"""Training by layouts, from records whose fids are never parsed into columns, against training as usual."""

from __future__ import annotations

import numpy as np
import pytest

import event_files

from idl.matrix.proto import example_pb2, proto_parser_pb2
from monolith.native_training import cpu_training, embedding_combiners, entry, native_model
from monolith.native_training import distributed_ps, distributed_ps_factory, test_utils
from monolith.native_training._local_training import LocalTraining
from monolith.native_training.cpu_training import CpuTrainingConfig
from monolith.native_training.data import parsers
from monolith.native_training.runtime.hash_table import embedding_hash_table_pb2

import tensorflow as tf  # isort: skip

_BATCH, _STEPS = 16, 12
_FEATURES = ("genres", "history", "shared", "tags", "user")


def _record(random):
  example = example_pb2.Example(label=[float(random.integers(0, 2))])
  for name in _FEATURES:
    count = 1 if name == "user" else random.integers(0, 5)
    column = example.named_feature.add(name=name)
    column.feature.fid_v2_list.value.extend(random.integers(0, 30, count).tolist())
  example.line_id.req_time = 1000
  return example.SerializeToString()


class _Model(native_model.MonolithModel):
  def input_fn(self, mode):
    random = np.random.default_rng(1)
    records = [_record(random) for _ in range(_BATCH * _STEPS)]

    def parse(serialized):
      found = parsers.parse_examples(serialized, list(_FEATURES), ["label"], extra_features=["req_time"])
      return {**found, "label": tf.reshape(found["label"], [-1])}

    return tf.data.Dataset.from_tensor_slices(records).batch(_BATCH, drop_remainder=True).map(parse)

  def serving_input_receiver_fn(self):
    raise NotImplementedError

  def model_fn(self, features, mode):
    self.create_embedding_feature_column("history", max_seq_length=3)
    self.create_embedding_feature_column("tags")
    self.create_embedding_feature_column("shared", shared_name="tags")
    self.create_embedding_feature_column("genres", combiner="reduce_mean")
    arguments = (entry.RandomUniformInitializer(-0.3, 0.3), entry.AdagradOptimizer(0.2, 0.1), entry.Fp32Compressor())
    pooled = ["user", "tags", "shared", "genres"]
    deep = self.lookup_embedding_slice(pooled, "deep", 4, *arguments, out_type="concat")
    stacked = self.lookup_embedding_slice(pooled[:2], "deep", 4, *arguments, out_type="stack")
    (history,) = self.lookup_embedding_slice(["history"], "deep", 4, *arguments)
    bias = self.lookup_embedding_slice(pooled, "bias", 1, *arguments, out_type="add_n")
    logits = (
      tf.reduce_sum(tf.sin(3 * deep), 1)
      + tf.reduce_sum(stacked[:, 0] * stacked[:, 1], 1)
      + tf.reduce_sum(tf.cos(history), [1, 2])
      + bias[:, 0]
    )
    logits *= tf.compat.v1.get_variable("w", initializer=1.0)
    loss = tf.reduce_sum(tf.nn.sigmoid_cross_entropy_with_logits(features["label"], logits))
    return native_model.EstimatorSpec(
      label=features["label"], pred=tf.sigmoid(logits), loss=loss, optimizer=tf.compat.v1.train.AdagradOptimizer(0.1)
    )


def _model(model_class=_Model):
  params = model_class.params()
  params.clip_norm = None
  params.train.per_replica_batch_size = _BATCH
  return params.instantiate()


class _OpTypes(tf.compat.v1.train.SessionRunHook):
  def begin(self):
    operations = tf.compat.v1.get_default_graph().get_operations()
    self.types = {op.type for op in operations}
    # Tensors that go from one process to another.
    self.messages = {
      (value.name, reader.device)
      for op in operations
      for value in op.outputs
      for reader in value.consumers()
      if "/job:" in op.device and op.device.split("/device")[0] != reader.device.split("/device")[0]
    }


def _train(model_dir, model_class=_Model, **settings):
  hook = _OpTypes()
  config = CpuTrainingConfig(save_summary_steps=1, **settings)
  cpu_training.local_train_internal(_model(model_class), config, str(model_dir), steps=None, user_hooks=[hook])
  return event_files.losses(model_dir), hook


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
  directory = tmp_path_factory.mktemp("plain")
  losses, graph = _train(directory, fuse_lookups=False)
  assert "ShardingSparseFidsV5" not in graph.types
  return directory, losses


def _predictions(model_dir, num_ps):
  with LocalTraining(_model(), CpuTrainingConfig(num_ps=num_ps), str(model_dir)) as local:
    return np.array(list(local.predict()))


@pytest.mark.parametrize("num_ps", [0, 2])
def test_layouts_train_as_single_lookups_do(tmp_path, plain, num_ps):
  directory, expected = plain
  losses, graph = _train(tmp_path, num_ps=num_ps, enable_fused_layout=True)
  assert {"ShardingSparseFidsV5", "MonolithEmbeddingToLayoutV5", "MonolithEmbeddingToLayoutGradV3"} <= graph.types
  assert len(losses) == _STEPS
  np.testing.assert_allclose(losses, expected, rtol=1e-5)
  # Its checkpoints are those of every other path.
  np.testing.assert_allclose(_predictions(tmp_path, num_ps), _predictions(directory, 0), rtol=1e-4)


def test_prefetch_and_postpush_train_every_batch(tmp_path):
  losses, _ = _train(tmp_path, enable_fused_layout=True, embedding_prefetch_capacity=2, enable_embedding_postpush=True)
  assert len(losses) == _STEPS


@pytest.mark.slow
def test_messages_between_worker_and_servers_do_not_grow_with_features(tmp_path):
  class Many(_Model):
    def model_fn(self, features, mode):
      adagrad = entry.AdagradOptimizer(0.2, 0.1)
      embedding = self.lookup_embedding_slice(list(_FEATURES[: self.count]), "vec", 2, None, adagrad, out_type="add_n")
      logits = embedding[:, 0] * tf.compat.v1.get_variable("w", initializer=1.0)
      optimizer = tf.compat.v1.train.GradientDescentOptimizer(0.1)
      return native_model.EstimatorSpec(
        label=features["label"], pred=tf.sigmoid(logits), loss=tf.reduce_sum(logits), optimizer=optimizer
      )

  counts = []
  for Many.count in (1, 5):
    _, graph = _train(tmp_path / str(Many.count), Many, num_ps=2, enable_fused_layout=True)
    assert sum("MonolithMultiHashTableLookup" in name for name, _ in graph.messages) == 2
    counts.append(len(graph.messages))
  assert counts[0] == counts[1]


def test_parsed_batches_are_refused(tmp_path):
  class Parsed(_Model):
    def input_fn(self, mode):
      with parsers.ParserCtx():
        return super().input_fn(mode)

  with pytest.raises(ValueError, match="the batch has no records to shard; parse it by parse_examples"):
    _train(tmp_path / "b", Parsed, enable_fused_layout=True)


@pytest.mark.parametrize("kind", ["example", "example_batch", "instance"])
def test_parsers_leave_records_alone(kind):
  with parsers.ParserCtx(enable_fused_layout=True) as ctx:
    if kind == "example":
      records = tf.constant([_record(np.random.default_rng(1))])
      found = parsers.parse_examples(records, list(_FEATURES), ["label"])
    elif kind == "example_batch":
      records = tf.constant(example_pb2.ExampleBatch(batch_size=2).SerializeToString())
      found = parsers.parse_example_batch(records, ["user"])
    else:
      records = tf.constant([proto_parser_pb2.Instance(label=[1.0], fid=[1 << 54]).SerializeToString()])
      found = parsers.parse_instances(records, fidv1_features=[1], dense_features=["label"])
  assert ctx.parser_type == kind
  expected = set() if kind == "example_batch" else {"label"}
  assert set(found) == expected | {parsers.SPARSE_FEATURES_KEY}
  assert found[parsers.SPARSE_FEATURES_KEY] is records


def _instance(dims):
  config = embedding_hash_table_pb2.EmbeddingHashTableConfig()
  config.cuckoo.SetInParent()
  for number, dim in enumerate(dims):
    optimizer = entry.FtrlOptimizer() if number == 0 else entry.AdagradOptimizer()
    config.entry_config.segments.append(
      entry.CombineAsSegment(dim, entry.ZerosInitializer(), optimizer, entry.Fp32Compressor())
    )
  return entry.HashTableConfigInstance(config, [1.0] * len(dims))


def _partitioned():
  """uid of dims 1, 4; gid and cid of dims 1, 4, 8, in one table."""
  layouts = {}
  for name, slices in {
    "bias": [("uid", 0, 1), ("gid", 0, 1), ("cid", 0, 1)],
    "deep": [("gid", 5, 13), ("cid", 5, 13)],
    "vec": [("uid", 1, 5), ("gid", 1, 5), ("cid", 1, 5)],
  }.items():
    layouts[name] = example_pb2.OutConfig(out_type=example_pb2.OutType.CONCAT)
    for feature, start, end in slices:
      layouts[name].slice_configs.add(feature_name=feature, start=start, end=end)
  dims = {"uid": [1, 4], "gid": [1, 4, 8], "cid": [1, 4, 8]}
  return distributed_ps.PartitionedHashTable.gen_op_params(
    2,
    {"t_uid": _instance(dims["uid"]), "t_other": _instance(dims["gid"])},
    {"uid": "t_uid", "gid": "t_other", "cid": "t_other"},
    layouts,
    dims,
    dict.fromkeys(dims, embedding_combiners.ReduceSum()),
  )


def test_numeric_case_of_two_servers():
  rows = []
  for i in range(6):
    example = example_pb2.Example()
    for number, name in enumerate(("uid", "gid", "cid")):
      example.named_feature.add(name=name).feature.fid_v2_list.value.append(3 * i + number)
    rows.append(example.SerializeToString())
  servers, session_config = test_utils.create_test_ps_cluster(2)
  with tf.Graph().as_default(), tf.compat.v1.Session(servers[0].target, config=session_config) as session:
    table = distributed_ps_factory.create_partitioned_hash_table(2, True, op_params=_partitioned())
    session.run([server_table.initializer for server_table in table._tables])
    dims = {"t_uid": 5, "t_other": 13}

    def values(number):
      return {
        p: {
          name: (tf.constant([p + 2 * j for j in range(dim)], tf.int64), tf.fill([dim, dim], number))
          for name, dim in dims.items()
        }
        for p in range(2)
      }

    session.run(table.assign(values(2.0)).as_op())
    sharded = table.shard(tf.constant(rows), "example")
    embeddings = table.lookup_sharded(sharded)
    found = session.run(table.to_layouts(embeddings, sharded))
    bias, vec, deep = found["bias"], found["vec"], found["deep"]
    np.testing.assert_allclose(bias[:, 0], [2, 2, 2, 2, 0, 0])
    np.testing.assert_allclose(bias[:, 1:], np.full([6, 2], 2.0))
    assert vec.shape == (6, 12) and deep.shape == (6, 16)
    np.testing.assert_allclose(vec[4:, :4], 0)
    np.testing.assert_allclose(vec[:4], 2)
    np.testing.assert_allclose(deep, 2)

    session.run(table.assign(values(3.0)).as_op())
    layouts = table.to_layouts(embeddings, sharded)
    grads = [tf.fill(tf.shape(t), 2.0) for t in table.flatten_layout(layouts)]
    session.run(table.apply_layout_gradients(grads, embeddings, sharded, tf.constant(0, tf.int64)))
    after = session.run(table.to_layouts(table.lookup_sharded(sharded), sharded))
  np.testing.assert_allclose(after["bias"][:4], 1.543749, rtol=1e-5)
  np.testing.assert_allclose(after["vec"][:4], 2.012270, rtol=1e-5)
  np.testing.assert_allclose(after["deep"], 2.012270, rtol=1e-5)
