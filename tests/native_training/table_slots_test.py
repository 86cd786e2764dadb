# SPDX-License-Identifier: Apache-2.0
"""Lookups and steps with a tensor of ids a slot: the same numbers as the stacked ops, and what is refused."""

from monolith.native_training import entry, multi_hash_table_ops
from monolith.native_training.runtime.hash_table import embedding_hash_table_pb2
from monolith.native_training.runtime.ops import gen_monolith_ops

import numpy as np
import pytest
import tensorflow as tf

DIMS = {"a": 2, "b": 3, "c": 1}
IDS = {"c": [7, 7, 8], "a": [1, 2, 1, 3, 1], "b": [9]}
NO_TIME, STEP = tf.constant(5, tf.int64), tf.constant(1, tf.int64)


def _config(dim):
  config = embedding_hash_table_pb2.EmbeddingHashTableConfig()
  config.cuckoo.SetInParent()
  config.entry_config.segments.append(
    entry.CombineAsSegment(dim, entry.ZerosInitializer(), entry.AdagradOptimizer(0.1, 0.5), entry.Fp32Compressor())
  )
  return entry.HashTableConfigInstance(config, [0.1 * dim])


def _tables():
  return multi_hash_table_ops.MultiHashTable.from_configs({name: _config(dim) for name, dim in DIMS.items()})


def _gradients():
  random = np.random.default_rng(3)
  return {slot: random.normal(size=(len(ids), DIMS[slot])).astype(np.float32) for slot, ids in IDS.items()}


def _train(tables, dedup):
  grads = _gradients()
  pairs = {slot: (tf.constant(ids, tf.int64), tf.constant(grads[slot])) for slot, ids in IDS.items()}
  return tables.apply_gradients(pairs, STEP, req_time=NO_TIME, enable_dedup=dedup)


def _train_stacked(tables, dedup):
  grads = _gradients()
  ragged = tables.get_ragged_id({slot: tf.constant(ids, tf.int64) for slot, ids in IDS.items()})
  flat = tables.get_flat_value({slot: tf.constant(grads[slot]) for slot in IDS})
  return tables.raw_apply_gradients(ragged, flat, STEP, req_time=NO_TIME, enable_dedup=dedup)


def _rows(tables):
  return {
    slot: rows.numpy() for slot, rows in tables.lookup({s: tf.constant(i, tf.int64) for s, i in IDS.items()}).items()
  }


@pytest.mark.parametrize("dedup", [False, True])
def test_gives_what_the_stacked_ops_give(dedup):
  slots, stacked = _tables(), _tables()
  _train(slots, dedup)
  _train_stacked(stacked, dedup)
  rows, expected = _rows(slots), _rows(stacked)
  assert list(rows) == list(IDS)
  for slot, ids in IDS.items():
    assert rows[slot].shape == (len(ids), DIMS[slot])
    np.testing.assert_array_equal(rows[slot], expected[slot])
    assert np.all(rows[slot] != 0)


def test_a_step_agrees_with_numpy():
  tables = _tables()
  _train(tables, dedup=True)
  gradient = _gradients()["a"]
  summed = gradient[0] + gradient[2] + gradient[4]
  np.testing.assert_allclose(_rows(tables)["a"][0], -0.2 * summed / np.sqrt(0.5 + summed**2), rtol=1e-6)


def test_no_slots_no_op():
  tables = _tables()
  assert tables.lookup({}) == {}
  assert tables.apply_gradients({}, STEP) is tables


def test_a_graph_knows_the_shapes():
  tables = _tables()

  @tf.function(input_signature=[tf.TensorSpec([None], tf.int64), tf.TensorSpec([4], tf.int64)])
  def look(a, b):
    rows = tables.lookup({"b": b, "a": a})
    assert rows["a"].shape.as_list() == [None, 2]
    assert rows["b"].shape.as_list() == [4, 3]
    return rows

  assert look(tf.zeros([0], tf.int64), tf.zeros([4], tf.int64))["a"].shape == [0, 2]


def test_ids_of_another_rank_are_read_flat():
  tables = _tables()
  _train(tables, dedup=True)
  rows = tables.lookup({"a": tf.constant([[1, 2], [1, 3]], tf.int32)})["a"]
  np.testing.assert_array_equal(rows, _rows(tables)["a"][[0, 1, 0, 3]])


def _lookup(tables, positions, dims, num_ids=1):
  ids = [tf.zeros([num_ids], tf.int64)] * len(positions)
  return gen_monolith_ops.monolith_multi_hash_table_lookup_slots(tables.handle, ids, tables=positions, dims=dims)


def _optimize(tables, positions=(0,), ids=1, floats=2, rates=3, time=NO_TIME, step=STEP, looked_up=()):
  return gen_monolith_ops.monolith_multi_hash_table_optimize_slots(
    tables.handle,
    [tf.zeros([ids], tf.int64)] * len(positions),
    [tf.zeros([floats])] * len(positions),
    tf.zeros([rates]),
    time,
    step,
    [tf.zeros([n]) for n in looked_up],
    tables=list(positions),
  )


MISTAKES = {
  "no such table": (lambda t: _lookup(t, [3], [2]), "slot 0 asks for table 3, but there are 3 tables"),
  "negative table": (lambda t: _optimize(t, [-1]), "slot 0 asks for table -1"),
  "another width": (lambda t: _lookup(t, [0, 1], [2, 4]), "dims of slot 1 is 4, but table 'b' has dim 3"),
  "too few tables": (
    lambda t: gen_monolith_ops.monolith_multi_hash_table_lookup_slots(
      t.handle, [tf.zeros([1], tf.int64)] * 2, tables=[0], dims=[2, 2]
    ),
    "tables has 1 elements for 2 slots",
  ),
  "too few dims": (lambda t: _lookup(t, [0, 1], [2]), "dims has 1 elements for 2 slots"),
  "a table twice": (lambda t: _optimize(t, [1, 1]), "tables has 1 twice; put all ids of a table into one slot"),
  "too few floats": (
    lambda t: _optimize(t, ids=3, floats=5),
    "the gradients of slot 0 have 5 floats, but 3 ids of table 'a' need 6",
  ),
  "rates": (lambda t: _optimize(t, rates=2), "learning_rate has 2 elements, but the tables have 3 slices"),
  "looked up": (
    lambda t: _optimize(t, looked_up=[5]),
    "looked_up has 5 floats, but the gradients have 2; pass what the same ids were looked up as",
  ),
  "too much looked up": (
    lambda t: _optimize(t, looked_up=[2, 2]),
    "looked_up has 2 tensors; pass none or one for each of 1 slots",
  ),
  "time": (lambda t: _optimize(t, time=tf.zeros([1], tf.int64)), r"update_time has shape \[1\]; pass a scalar"),
  "step": (lambda t: _optimize(t, step=tf.zeros([2], tf.int64)), r"global_step has shape \[2\]; pass a scalar"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_refuses_and_changes_nothing(mistake):
  tables = _tables()
  _train(tables, dedup=False)
  before = _rows(tables)
  call, message = MISTAKES[mistake]
  with pytest.raises(tf.errors.InvalidArgumentError, match=message):
    call(tables)
  for slot, rows in _rows(tables).items():
    np.testing.assert_array_equal(rows, before[slot])


@pytest.mark.parametrize(
  ("ids", "attributes", "message"),
  [
    ([2, 2], {"tables": [0], "dims": [2]}, "rank 1 but is rank 2"),
    ([2], {"tables": [0, 1], "dims": [2]}, "tables has 2 elements for 1 slots"),
    ([2], {"tables": [0], "dims": []}, "dims has 0 elements for 1 slots"),
  ],
)
def test_a_graph_refuses_when_it_is_made(ids, attributes, message):
  with tf.Graph().as_default(), pytest.raises(ValueError, match=message):
    handle = tf.compat.v1.placeholder(tf.resource, [])
    gen_monolith_ops.monolith_multi_hash_table_lookup_slots(handle, [tf.zeros(ids, tf.int64)], **attributes)
