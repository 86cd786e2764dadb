# SPDX-License-Identifier: Apache-2.0
"""Sharding fids of records and making layouts of their embeddings, against a twin that works row by row."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from idl.matrix.proto import example_pb2, proto_parser_pb2
from monolith.native_training import distribution_ops
from monolith.native_training.data import parsers
from monolith.native_training.runtime.ops import gen_monolith_ops

CONCAT, STACK, ADDN, NONE = (example_pb2.OutType.Value(name) for name in ("CONCAT", "STACK", "ADDN", "NONE"))
SUM, MEAN, FIRSTN = (example_pb2.PoolingType.Value(name) for name in ("SUM", "MEAN", "FIRSTN"))
InvalidArgument = tf.errors.InvalidArgumentError


def _configs(features, layouts):
  """features: {name: (table, dims, pooling, length)}; layouts: {name: (out type, [(feature, start, end)])}."""
  configs = example_pb2.FeatureConfigs()
  for name, (table, dims, pooling, length) in features.items():
    configs.feature_configs[name].CopyFrom(
      example_pb2.FeatureConfig(table=table, slice_dims=dims, pooling_type=pooling, max_sequence_length=length)
    )
  for name, (out_type, slices) in layouts.items():
    configs.out_configs[name].out_type = out_type
    for feature, start, end in slices:
      configs.out_configs[name].slice_configs.add(feature_name=feature, start=start, end=end)
  return configs


def _examples(rows):
  """Serialized Examples of rows {feature: fids}."""
  serialized = []
  for row in rows:
    example = example_pb2.Example()
    for name, fids in row.items():
      example.named_feature.add(name=name).feature.fid_v2_list.value.extend(fid % 2**64 for fid in fids)
    serialized.append(example.SerializeToString())
  return np.array(serialized, object)


def _example_batch(rows, shared=()):
  batch = example_pb2.ExampleBatch(batch_size=len(rows))
  for name in sorted({name for row in rows for name in row}):
    column = batch.named_feature_list.add(name=name)
    if name in shared:
      column.type = example_pb2.SHARED
      column.feature.add().fid_v2_list.value.extend(fid % 2**64 for fid in rows[0][name])
      continue
    for row in rows:
      column.feature.add().fid_v2_list.value.extend(fid % 2**64 for fid in row[name])
  return tf.constant(batch.SerializeToString())


_FEATURES = {"f_a": ("t1", [1, 2], SUM, 0), "f_b": ("t1", [1, 2], MEAN, 0), "f_c": ("t2", [2], FIRSTN, 2)}
_LAYOUTS = {
  "bias": (CONCAT, [("f_a", 0, 1), ("f_b", 0, 1)]),
  "seq": (NONE, [("f_c", 0, 2)]),
  "vec": (ADDN, [("f_a", 1, 3), ("f_b", 1, 3)]),
}
_ROWS = [{"f_a": [2, 3], "f_b": [4], "f_c": [7, 8, 9]}, {"f_a": [2], "f_b": [4, 5], "f_c": []}]
_VECTORS = {2: [1, 2, 3], 4: [10, 20, 30], 3: [4, 5, 6], 5: [40, 50, 60], 8: [8, 8.5], 7: [7, 7.5], 9: [9, 9.5]}


def _constructed():
  configs = _configs(_FEATURES, _LAYOUTS)
  return configs, parsers.sharding_sparse_fids(_examples(_ROWS), 2, configs, lambda: True, "example")


def test_numeric_case_of_sharding():
  _, sharded = _constructed()
  assert {name: fids.numpy().tolist() for name, fids in sharded.shards.items()} == {
    "t1:0": [2, 4], "t1:1": [3, 5], "t2:0": [8], "t2:1": [7, 9]
  }  # fmt: skip
  assert [s.numpy().tolist() for s in sharded.row_splits.values()] == [[0, 1, 2], [0, 1, 2], [0, 1], [0, 2]]
  assert [s.numpy().tolist() for s in sharded.row_splits_size.values()] == [[3], [3], [2], [2]]
  assert sharded.emb_size.numpy().tolist() == [6, 6, 2, 4]
  offsets = [(int(o) >> 32, int(o) & 0xFFFFFFFF) for o in sharded.fid_offset.numpy()]
  assert offsets == [(0, 0), (1, 0), (0, 0), (0, 3), (0, 3), (1, 3), (3, 0), (2, 0), (3, 2)]
  assert sharded.feature_offset.numpy().tolist() == [0, 2, 3, 4, 6, 9, 9]
  assert sharded.nfl_offset.numpy().tolist() == [0, 2, 4, 7]
  sizes = (sharded.nfl_size, sharded.feature_size, sharded.fid_size, sharded.batch_size)
  assert [size.numpy().tolist() for size in sizes] == [[4], [7], [9], [2]]


def _embeddings(sharded, vectors):
  return [
    tf.constant([x for fid in fids.numpy() for x in vectors[fid]], tf.float32) for fids in sharded.shards.values()
  ]


def _layout(embeddings, sharded, configs, version=5):
  sizes = {
    "nfl_size": sharded.nfl_size, "feature_size": sharded.feature_size, "fid_size": sharded.fid_size,
    "emb_size": sharded.emb_size,
  } if version == 5 else {}  # fmt: skip
  return distribution_ops.fused_embedding_to_layout(
    embeddings, None, sharded.fid_offset, sharded.feature_offset, sharded.nfl_offset, sharded.batch_size, "example",
    configs, 2, version=version, **sizes,
  )  # fmt: skip


@pytest.mark.parametrize("version", [3, 5])
def test_numeric_case_of_layouts(version):
  configs, sharded = _constructed()
  embeddings = _embeddings(sharded, _VECTORS)
  with tf.GradientTape() as tape:
    tape.watch(embeddings)
    bias, seq, vec = _layout(embeddings, sharded, configs, version)
    total = tf.add_n([tf.reduce_sum(t) for t in (bias, seq, vec)])
  np.testing.assert_allclose(bias, [[5, 10], [1, 25]])
  np.testing.assert_allclose(vec, [[27, 39], [37, 48]])
  np.testing.assert_allclose(seq, [[[7, 7.5], [8, 8.5]], [[0, 0], [0, 0]]])
  expected = [[2, 2, 2, 1.5, 1.5, 1.5], [1, 1, 1, 0.5, 0.5, 0.5], [1, 1], [1, 1, 0, 0]]
  for gradient, values in zip(tape.gradient(total, embeddings), expected):
    np.testing.assert_allclose(gradient, values)
  ones = [tf.ones_like(t) for t in (bias, seq, vec)]
  scaled = distribution_ops.fused_embedding_to_layout_grad(
    sharded.nfl_offset, sharded.feature_offset, sharded.fid_offset, sharded.batch_size, embeddings, None, ones,
    "example", configs, 2, layout_tensors_grad_scale=0.5,
  )  # fmt: skip
  for gradient, values in zip(scaled, expected):
    np.testing.assert_allclose(gradient, np.multiply(values, 0.5))


_MANY = {
  "f_first": ("t_x", [3, 4], FIRSTN, 3),
  "f_mean": ("t_y", [2, 5], MEAN, 0),
  "f_other": ("t_x", [3, 4], FIRSTN, 3),
  "f_sum": ("t_y", [2, 5], SUM, 0),
  "f_zero": ("t_z", [5], SUM, 0),
}
_MANY_LAYOUTS = {
  "added": (ADDN, [("f_mean", 2, 7), ("f_zero", 0, 5), ("f_sum", 2, 7)]),
  "deep": (CONCAT, [("f_sum", 0, 7), ("f_mean", 2, 7), ("f_sum", 2, 7)]),
  "each": (NONE, [("f_mean", 0, 2), ("f_first", 0, 3)]),
  "history": (CONCAT, [("f_other", 3, 7), ("f_first", 0, 3)]),
  "stacked": (STACK, [("f_sum", 2, 7), ("f_mean", 2, 7), ("f_zero", 0, 5)]),
  "stacked_history": (STACK, [("f_first", 3, 7), ("f_other", 3, 7)]),
}


def _pooled(features, rows, vectors):
  """{feature: [B, width] or [B, L, width]}, and the way back: {(feature, row, position): weight}."""
  found = {}
  for name, (_, dims, pooling, length) in features.items():
    width = sum(dims)
    out = np.zeros([len(rows), length, width] if length else [len(rows), width])
    for b, row in enumerate(rows):
      fids = row.get(name, [])
      for i, fid in enumerate(fids):
        vector = vectors[name, fid]
        if pooling == FIRSTN:
          if i < length:
            out[b, i] = vector
        else:
          out[b] += vector / (len(fids) if pooling == MEAN else 1)
    found[name] = out
  return found


def _tensors(layouts, pooled):
  result = []
  for name in sorted(layouts):
    out_type, slices = layouts[name]
    parts = [pooled[feature][..., start:end] for feature, start, end in slices]
    if out_type == NONE:
      result.extend(parts)
    else:
      result.append(
        np.concatenate(parts, -1) if out_type == CONCAT else np.stack(parts, 1) if out_type == STACK else sum(parts)
      )
  return result


@pytest.mark.parametrize("kind", ["example", "examplebatch"])
@pytest.mark.parametrize(("num_ps", "unique"), [(0, True), (1, False), (3, True), (5, False)])
def test_agrees_with_a_twin(kind, num_ps, unique):
  random = np.random.default_rng(num_ps)
  pool = {name: random.integers(-(2**62), 2**62, 9) for name in _MANY}
  rows = [
    {name: pool[name][random.integers(0, 9, random.integers(0, 6))].tolist() for name in _MANY} for _ in range(700)
  ]
  configs = _configs(_MANY, _MANY_LAYOUTS)
  records = _examples(rows) if kind == "example" else _example_batch(rows)
  sharded = parsers.sharding_sparse_fids(records, num_ps, configs, unique, kind)
  num_shards = max(num_ps, 1)
  vectors = {}
  for name, (_, dims, _, _) in _MANY.items():
    for fid in pool[name].tolist():
      vectors[name, fid] = random.normal(size=sum(dims)).astype(np.float32)
  # Embeddings of each list, feature by feature.
  embeddings = []
  for table in ("t_x", "t_y", "t_z"):
    names = [name for name in sorted(_MANY) if _MANY[name][0] == table]
    for shard in range(num_shards):
      fids = sharded.shards[f"{table}:{shard}"].numpy()
      splits = sharded.row_splits[f"{table}:{shard}"].numpy()
      assert len(splits) == len(names) + 1 and splits[-1] == len(fids)
      assert all(int(fid) % 2**64 % num_shards == shard for fid in fids)
      floats = []
      for i, name in enumerate(names):
        part = fids[splits[i] : splits[i + 1]].tolist()
        if unique:
          assert len(set(part)) == len(part)
        floats.extend(vectors[name, fid] for fid in part)
      embeddings.append(tf.constant(np.concatenate([*floats, np.zeros(0)]), tf.float32))
  assert sharded.emb_size.numpy().tolist() == [len(e) for e in embeddings]

  expected = _tensors(_MANY_LAYOUTS, _pooled(_MANY, rows, vectors))
  weights = [random.normal(size=t.shape).astype(np.float32) for t in expected]
  with tf.GradientTape() as tape:
    tape.watch(embeddings)
    tensors = _layout(embeddings, sharded, configs)
    loss = tf.add_n([tf.reduce_sum(t * w) for t, w in zip(tensors, weights)])
  for tensor, value in zip(tensors, expected, strict=True):
    np.testing.assert_allclose(tensor, value, rtol=1e-5, atol=1e-5)
  # The loss is linear in the embeddings, so moving all of them at random shows every gradient at once.
  moves = [random.normal(size=e.shape).astype(np.float32) for e in embeddings]
  moved = _layout([e + m for e, m in zip(embeddings, moves)], sharded, configs)
  change = sum(float(tf.reduce_sum((b - a) * w)) for a, b, w in zip(tensors, moved, weights))
  gradients = tape.gradient(loss, embeddings)
  assert sum(float(tf.reduce_sum(g * m)) for g, m in zip(gradients, moves)) == pytest.approx(change, rel=1e-3, abs=0.05)


def _norm(configs, sharded, gradients):
  return gen_monolith_ops.monolith_layout_gradient_norm(
    sharded.fid_offset, sharded.feature_offset, sharded.nfl_offset, sharded.batch_size,
    [tf.constant(gradient, tf.float32) for gradient in gradients], feature_cfgs=configs.SerializeToString(),
  )  # fmt: skip


def test_the_norm_is_that_of_every_occurrence():
  configs, sharded = _constructed()
  rows = [[1, 2], [3, 4]]
  # f_a: 2 fids of (1; 1, 2), 1 of (3; 3, 4). f_b: 1 of (2; 1, 2), halves of (4; 3, 4) twice. f_c: 2 positions of a row.
  squares = 2 * 6 + 34 + 9 + 41 / 2 + (1 + 4 + 9 + 16)
  gradients = [rows, [[[1, 2], [3, 4]], [[5, 6], [7, 8]]], rows]
  np.testing.assert_allclose(_norm(configs, sharded, gradients), squares**0.5, rtol=1e-6)
  with pytest.raises(InvalidArgument, match=r"tensors_grad\[2\] has shape \[1,2\], but the tensor has \[2,2\]"):
    _norm(configs, sharded, [*gradients[:2], rows[:1]])
  with pytest.raises(InvalidArgument, match="2 gradients for 3 tensors"):
    _norm(configs, sharded, gradients[:2])
  with pytest.raises(InvalidArgument, match="nfl_offset has 3 elements for 3 features"):
    _norm(configs, sharded._replace(nfl_offset=sharded.nfl_offset[:3]), gradients)
  with tf.Graph().as_default(), pytest.raises(ValueError, match="Shape must be rank 1 but is rank 0"):
    offsets = [tf.compat.v1.placeholder(dtype, []) for dtype in (tf.uint64, tf.int32, tf.uint32, tf.int32)]
    gen_monolith_ops.monolith_layout_gradient_norm(
      *offsets, [tf.zeros([2, 2])], feature_cfgs=configs.SerializeToString()
    )


def test_shared_and_missing_columns_take_one_place():
  rows = [{"f_a": [2, 3], "f_c": [7]}, {"f_a": [2, 3], "f_c": [8, 9]}]
  configs = _configs(_FEATURES, _LAYOUTS)
  sharded = parsers.sharding_sparse_fids(_example_batch(rows, shared=["f_a"]), 2, configs, True, "example_batch")
  shared = 1 << 31
  assert sharded.nfl_offset.numpy().tolist() == [0 | shared, 1 | shared, 2, 5]
  assert sharded.feature_offset.numpy().tolist() == [0, 2, 2, 3, 5]
  bias, seq, vec = _layout(_embeddings(sharded, _VECTORS), sharded, configs)
  np.testing.assert_allclose(bias, [[5, 0], [5, 0]])
  np.testing.assert_allclose(vec, [[7, 9], [7, 9]])
  np.testing.assert_allclose(seq, [[[7, 7.5], [0, 0]], [[8, 8.5], [9, 9.5]]])


def test_instances_give_slots_under_other_names_and_as_they_are():
  names = ("fc_slot_3", "f_user", "slot_2")
  configs = _configs({name: (name, [1], SUM, 0) for name in names}, {})
  instance = proto_parser_pb2.Instance(fid=[(1 << 54) | 100, (2 << 54) | 5, (3 << 54) | 6])
  instance.feature.add(name="fc_slot_3", fid=[(9 << 48) | 7])
  records = tf.constant([instance.SerializeToString()])

  def shard(features=configs, **arguments):
    found = parsers.sharding_sparse_fids(records, 1, features, True, "instance", **arguments)
    return {name[:-2]: fids.numpy().tolist() for name, fids in found.shards.items()}

  assert shard() == {"f_user": [], "fc_slot_3": [(3 << 48) | 6], "slot_2": [(2 << 48) | 5]}
  # The parser knows which column "fc_slot_3" is, and which slot "f_user".
  named = {"f_user": 1, "fc_slot_3": -1}
  assert shard(v1_columns=named) == {
    "f_user": [(1 << 48) | 100], "fc_slot_3": [(9 << 48) | 7], "slot_2": [(2 << 48) | 5]
  }  # fmt: skip
  kept = shard(v1_columns={"f_user": 1}, keep_v1=True)
  assert kept == {"f_user": [(1 << 54) | 100], "fc_slot_3": [(3 << 54) | 6], "slot_2": [(2 << 54) | 5]}
  with pytest.raises(tf.errors.FailedPreconditionError, match="keep_v1, but a feature is a named column"):
    shard(v1_columns=named, keep_v1=True)
  with pytest.raises(InvalidArgument, match=r"slot 2000 is not in \[0, 1024\)"):
    shard(v1_columns={"f_user": 2000})


def test_instances_give_slots_of_version_1():
  configs = _configs({"fc_slot_1": ("a", [1], SUM, 0), "named": ("b", [1], SUM, 0)}, {"o": (CONCAT, [("named", 0, 1)])})
  instance = proto_parser_pb2.Instance(fid=[(1 << 54) | 100, (2 << 54) | 5])
  instance.feature.add(name="named", fid=[(9 << 48) | 7])
  records = tf.constant([instance.SerializeToString()])
  sharded = parsers.sharding_sparse_fids(records, 1, configs, True, "instance", fid_list_ret_list=True)
  assert [fids.numpy().tolist() for fids in sharded.shards] == [[(1 << 48) | 100], [(9 << 48) | 7]]


def test_fids_of_the_upper_half_go_to_the_shard_of_their_unsigned_value():
  configs = _configs({"f": ("t", [1], SUM, 0)}, {"o": (CONCAT, [("f", 0, 1)])})
  for fid, num_ps, shard in ((-1, 3, 0), (-7, 3, 0), (-(2**63), 5, 3), (-1, 4, 3)):
    sharded = parsers.sharding_sparse_fids(_examples([{"f": [fid % 2**64]}]), num_ps, configs, True, "example")
    assert sharded.shards[f"t:{shard}"].numpy().tolist() == [fid]


def test_works_in_a_dataset_and_a_graph():
  configs = _configs(_FEATURES, _LAYOUTS)
  dataset = tf.data.Dataset.from_tensors(_examples(_ROWS)).map(
    lambda records: parsers.sharding_sparse_fids(records, 2, configs, True, "example").shards
  )
  assert next(iter(dataset))["t2:1"].numpy().tolist() == [7, 9]
  with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    records = tf.compat.v1.placeholder(tf.string, [None])
    sharded = parsers.sharding_sparse_fids(records, 2, configs, True, "example")
    embeddings = [tf.compat.v1.placeholder(tf.float32, [None]) for _ in range(4)]
    tensors = _layout(embeddings, sharded, configs)
    assert [t.shape.as_list() for t in tensors] == [[None, 2], [None, 2, 2], [None, 2]]
    gradients = tf.gradients(tf.reduce_sum(tensors[0]), embeddings)
    feeds = dict(zip(embeddings, [np.ones(6), np.ones(6), np.ones(2), np.ones(4)]))
    result = session.run(gradients, {records: _examples(_ROWS), **feeds})
  np.testing.assert_allclose(result[0], [2, 0, 0, 1.5, 0, 0])


def test_batch_without_rows():
  configs = _configs(_FEATURES, _LAYOUTS)
  sharded = parsers.sharding_sparse_fids(tf.constant([], tf.string), 2, configs, True, "example")
  bias, seq, _ = _layout([tf.zeros([0])] * 4, sharded, configs)
  assert bias.shape == (0, 2) and seq.shape == (0, 2, 2)


def test_mistakes_are_named():
  configs, sharded = _constructed()
  with pytest.raises(AssertionError, match="input_type is 'csv'"):
    parsers.sharding_sparse_fids(_examples(_ROWS), 2, configs, True, "csv")
  with pytest.raises(ValueError, match="version is 4; only 5 is built"):
    parsers.sharding_sparse_fids(_examples(_ROWS), 2, configs, True, "example", version=4)
  with pytest.raises(ValueError, match="has no feature_configs"):
    parsers.sharding_sparse_fids(_examples(_ROWS), 2, example_pb2.FeatureConfigs(), True, "example")
  short = [tf.zeros([3]), *_embeddings(sharded, _VECTORS)[1:]]
  with pytest.raises(InvalidArgument, match="of feature 'f_b' points to float 3 of list 0, which is beyond"):
    _layout(short, sharded, configs)
  with pytest.raises(InvalidArgument, match="feature_offset\\[1\\] is 2; offsets grow from 0 to the 1 fids"):
    _layout(_embeddings(sharded, _VECTORS), sharded._replace(fid_offset=sharded.fid_offset[:1]), configs)
  with pytest.raises(InvalidArgument, match="nfl_offset has 3 elements for 3 features"):
    _layout(_embeddings(sharded, _VECTORS), sharded._replace(nfl_offset=sharded.nfl_offset[:3]), configs)
  with pytest.raises(InvalidArgument, match="batch_size is 2 2; pass one number"):
    _layout(_embeddings(sharded, _VECTORS), sharded._replace(batch_size=tf.constant([2, 2])), configs)
  with pytest.raises(AssertionError, match="variant_type is 'csv'"):
    distribution_ops.fused_embedding_to_layout([], None, *sharded[1:5], "csv", configs, 2)
  with pytest.raises(ValueError, match="version 5 needs nfl_size"):
    distribution_ops.fused_embedding_to_layout([], None, *sharded[1:5], "example", configs, 2, version=5)


@pytest.mark.parametrize(
  ("features", "layouts", "message"),
  [
    ({"f": ("t", [], SUM, 0)}, {}, "feature 'f' has no slice_dims"),
    ({"f": ("t", [0], SUM, 0)}, {}, "feature 'f' has a slice of dim 0"),
    ({"f": ("t", [2], FIRSTN, 0)}, {}, "feature 'f' has max_sequence_length 0"),
    ({"f": ("t", [2], SUM, 0)}, {"o": (CONCAT, [("g", 0, 1)])}, "slice of feature 'g', which has no FeatureConfig"),
    ({"f": ("t", [2], SUM, 0)}, {"o": (CONCAT, [("f", 0, 3)])}, r"slice \[0, 3\) is not within feature 'f' of width 2"),
    ({"f": ("t", [2], FIRSTN, 2)}, {"o": (ADDN, [("f", 0, 1)])}, "adds feature 'f', a sequence"),
    ({"f": ("t", [3], SUM, 0)}, {"o": (STACK, [("f", 0, 1), ("f", 1, 3)])}, "slices of dims 1 and 2"),
    (
      {"f": ("t", [3], SUM, 0), "g": ("t", [3], FIRSTN, 2)},
      {"o": (CONCAT, [("f", 0, 1), ("g", 1, 3)])},
      "feature 'g' has 2 positions, others 0",
    ),
  ],
)
def test_configurations_that_make_no_sense_are_refused(features, layouts, message):
  with pytest.raises(tf.errors.FailedPreconditionError, match=message):
    parsers.sharding_sparse_fids(_examples([{}]), 1, _configs(features, layouts), True, "example")
