# SPDX-License-Identifier: Apache-2.0
"""Tables spread over parameter servers that run in this process."""

import contextlib

from monolith.native_training import distributed_ps
from monolith.native_training import distributed_ps_factory
from monolith.native_training import entry
from monolith.native_training import hash_filter_ops
from monolith.native_training import learning_rate_functions
from monolith.native_training import multi_hash_table_ops
from monolith.native_training import test_utils
from monolith.native_training.runtime.hash_table import embedding_hash_table_pb2

import numpy as np
import pytest
import tensorflow as tf


@contextlib.contextmanager
def _cluster(num_ps=2):
  """A fresh graph and a maker of its session, on servers or local with num_ps 0."""
  with tf.Graph().as_default():
    tf.compat.v1.train.create_global_step()

    @contextlib.contextmanager
    def session():
      with test_utils.ps_session(num_ps) if num_ps else tf.compat.v1.Session() as sess:
        sess.run(tf.compat.v1.global_variables_initializer())
        sess.run([table.initializer for table in tf.compat.v1.get_collection("monolith_multi_hash_tables")])
        yield sess

    yield session


def _table(configs, num_ps=2):
  filters = hash_filter_ops.create_hash_filters(num_ps, False)
  return distributed_ps_factory.create_native_multi_hash_table(num_ps, configs, filters)


def _one(dim=1):
  return {"1": test_utils.generate_test_hash_table_config(dim)}


def _ids(*values):
  return tf.constant(values, tf.int64)


def _rows(*values):
  return tf.constant([[float(v)] for v in values])


def _step():
  return tf.constant(0, tf.int64)


@pytest.mark.parametrize(
  "fid, num_shards, shard",
  [(-1, 3, 0), (-7, 3, 0), (-(2**63), 5, 3), (-1, 4, 3), (7, 3, 1), (2**63 - 1, 10, 7), (5, 1, 0)],
)
def test_fid_to_shard(fid, num_shards, shard):
  assert distributed_ps.fid_to_shard(_ids(fid), num_shards).numpy().tolist() == [shard]


def test_fid_to_shard_agrees_with_python():
  fids = np.random.RandomState(0).randint(-(2**63), 2**63 - 1, 1000)
  for num_shards in (1, 2, 3, 7, 64, 1000):
    expected = [int(fid) % 2**64 % num_shards for fid in fids]
    actual = distributed_ps.fid_to_shard(tf.constant(fids), num_shards)
    assert actual.numpy().tolist() == expected


@pytest.mark.parametrize("num_ps", [0, 1, 2, 3])
def test_assign_add_and_lookup(num_ps):
  with _cluster(num_ps) as session:
    table = _table(_one(), num_ps).assign_add({"1": (_ids(1, 2, 3), _rows(1, 2, 3))})
    rows = table.lookup({"1": _ids(1, 1, 3)})["1"]
    assert rows.shape.as_list() == [3, 1]
    with session() as sess:
      np.testing.assert_array_equal(sess.run(rows), [[1], [1], [3]])


@pytest.mark.parametrize("num_ps", [0, 2])
def test_assign_overwrites(num_ps):
  with _cluster(num_ps) as session:
    table = _table(_one(), num_ps).assign({"1": (_ids(1, 2, 3), _rows(1, 2, 3))})
    table = table.assign({"1": (_ids(2, 3, 4), _rows(1, 2, 3))})
    with session() as sess:
      rows = sess.run(table.lookup({"1": _ids(1, 2, 3, 4)}))["1"]
  np.testing.assert_array_equal(rows, [[1], [1], [2], [3]])


@pytest.mark.parametrize("num_ps", [0, 1, 2])
@pytest.mark.parametrize("ids, expected", [((0, 1), [-2, -2]), ((0, 3, 0, 1), [-4, -2, -4, -2])])
def test_apply_gradients_of_the_looked_up_rows(num_ps, ids, expected):
  with _cluster(num_ps) as session:
    table = _table(_one(), num_ps)
    rows = table.lookup({"1": _ids(*ids)})["1"]
    grad = tf.gradients(2 * rows, rows)[0]
    table = table.apply_gradients({"1": (_ids(*ids), grad)}, _step())
    with session() as sess:
      np.testing.assert_array_equal(sess.run(table.lookup({"1": _ids(*ids)}))["1"][:, 0], expected)


@pytest.mark.parametrize("num_ps", [0, 2])
def test_apply_gradients_to_other_ids_than_looked_up(num_ps):
  with _cluster(num_ps) as session:
    table = _table(_one(), num_ps)
    table = table.apply_gradients({"1": (_ids(1, 1), _rows(-2, -2))}, _step())
    with session() as sess:
      rows = sess.run(table.lookup({"1": _ids(1, 0)}))["1"]
  np.testing.assert_array_equal(rows, [[4], [0]])


def _adagrad(dim=1):
  config = embedding_hash_table_pb2.EmbeddingHashTableConfig()
  entry.CuckooHashTableConfig().mutate_table(config)
  config.entry_config.segments.append(
    entry.CombineAsSegment(dim, entry.ZerosInitializer(), entry.AdagradOptimizer(0.1, 1.0), entry.Fp32Compressor())
  )
  return entry.HashTableConfigInstance(config, [0.1])


@pytest.mark.parametrize("num_ps", [0, 1, 2])
def test_gradients_of_a_repeated_id_are_summed_before_one_step(num_ps):
  with _cluster(num_ps) as session:
    table = _table({"1": _adagrad()}, num_ps)
    table = table.apply_gradients({"1": (_ids(5, 5), _rows(1, 2))}, _step())
    with session() as sess:
      row = sess.run(table.lookup({"1": _ids(5)}))["1"]
  np.testing.assert_allclose(row, [[-0.0948683]], atol=1e-6)


@pytest.mark.parametrize("num_ps", [0, 2])
def test_learning_rate_decay(num_ps):
  with _cluster(num_ps) as session:
    config = test_utils.generate_test_hash_table_config(1)
    config = entry.HashTableConfigInstance(config.table_config, [learning_rate_functions.PolynomialDecay(1.0, 10, 2.0)])
    table = _table({"1": config}, num_ps)
    step = tf.compat.v1.train.get_or_create_global_step()
    update = table.apply_gradients({"1": (_ids(0, 1), _rows(2, 2))}, step).as_op()
    look = table.lookup({"1": _ids(0, 1)})["1"]
    with session() as sess:
      sess.run(update)
      np.testing.assert_allclose(sess.run(look), [[-2], [-2]], rtol=1e-6)
      sess.run(tf.compat.v1.assign_add(step, 1))
      sess.run(update)
      np.testing.assert_allclose(sess.run(look), [[-4.2], [-4.2]], rtol=1e-6)


@pytest.mark.parametrize("num_ps", [0, 2])
def test_two_slots(num_ps):
  with _cluster(num_ps) as session:
    configs = {
      "slot1": test_utils.generate_test_hash_table_config(1),
      "slot2": test_utils.generate_test_hash_table_config(2),
    }
    table = _table(configs, num_ps)
    table = table.assign({"slot1": (_ids(1, 2), _rows(-1, -2)), "slot2": (_ids(3), tf.constant([[-3.0, -3.0]]))})
    ids = {"slot1": _ids(1, 2), "slot2": _ids(3)}
    rows = table.lookup(ids)
    pushed = table.apply_gradients({k: (ids[k], v / 2) for k, v in rows.items()}, _step())
    assert table.get_table_dim_sizes() == [1, 2]
    with session() as sess:
      before, after = sess.run(rows), sess.run(pushed.lookup(ids))
  np.testing.assert_array_equal(before["slot2"], [[-3, -3]])
  np.testing.assert_array_equal(after["slot1"], [[-0.5], [-1]])
  np.testing.assert_array_equal(after["slot2"], [[-1.5, -1.5]])


def test_unknown_slots_are_ignored_and_absent():
  with _cluster() as session:
    table = _table(_one())
    table = table.assign({"1": (_ids(1), _rows(5)), "nobody": (_ids(1), _rows(5))})
    table = table.apply_gradients({"nobody": (_ids(1), _rows(5))}, _step())
    rows = table.lookup({"1": _ids(1), "nobody": _ids(1)})
    assert sorted(rows) == ["1"] and table.lookup({"nobody": _ids(1)}) == {}
    with session() as sess:
      np.testing.assert_array_equal(sess.run(rows)["1"], [[5]])


def test_unknown_numbers_of_ids_and_empty_calls():
  with _cluster() as session:
    ids = tf.compat.v1.placeholder(tf.int64, [None])
    rows = _table(_one(3)).lookup({"1": ids})["1"]
    assert rows.shape.as_list() == [None, 3]
    with session() as sess:
      assert sess.run(rows, {ids: []}).shape == (0, 3)
      assert sess.run(rows, {ids: [4, 4, 9]}).tolist() == [[0] * 3] * 3


def test_reinitialize():
  with _cluster() as session:
    table = _table({"slot1": test_utils.generate_test_hash_table_config(1)})
    table = table.assign({"slot1": (_ids(1, 2), _rows(7, 7))})
    table, status = table.reinitialize("slot1", _ids(1, 2, 3))
    with tf.control_dependencies([status]):
      rows = table.lookup({"slot1": _ids(1, 2, 3)})["slot1"]
    unknown, unknown_status = table.reinitialize("other", _ids(1, 2, 3))
    with session() as sess:
      rows, status = sess.run((rows, status))
      np.testing.assert_array_equal(rows, [[0], [0], [0]])
      assert status.tolist() == [1, 1, 0]  # server 0 has 2, server 1 has 1 and 3
      assert sess.run((unknown.as_op(), unknown_status))[1].tolist() == [-1, -1, -1]


def test_negative_fids_live_on_their_unsigned_shard():
  with _cluster(3) as session:
    fids = _ids(-1, -7, -(2**63), 5)
    table = _table(_one(), 3).assign({"1": (fids, _rows(1, 2, 3, 4))})
    held = []
    for i, inner in enumerate(table._tables):
      with distributed_ps.ps_device(i):
        held.append(inner.lookup({"1": fids})["1"][:, 0])
    with session() as sess:
      held = sess.run(held)
  for i, own in enumerate(held):
    expected = [v if int(f) % 2**64 % 3 == i else 0 for f, v in zip((-1, -7, -(2**63), 5), (1, 2, 3, 4), strict=True)]
    np.testing.assert_array_equal(own, expected)


@pytest.mark.parametrize("seed", [0, 1])
def test_any_number_of_servers_trains_the_same_tables(seed):
  rng = np.random.RandomState(seed)
  batches = [(rng.randint(-20, 20, 30), rng.randn(30, 2).astype(np.float32)) for _ in range(4)]
  results = []
  for num_ps in (0, 1, 3):
    with _cluster(num_ps) as session:
      table = _table({"a": _adagrad(2), "b": _adagrad(2)}, num_ps)
      ids = tf.compat.v1.placeholder(tf.int64, [None])
      grads = tf.compat.v1.placeholder(tf.float32, [None, 2])
      update = table.apply_gradients({"a": (ids, grads), "b": (ids + 1, grads)}, _step()).as_op()
      look = table.lookup({"a": tf.range(-25, 25, dtype=tf.int64), "b": tf.range(-25, 25, dtype=tf.int64)})
      with session() as sess:
        for batch_ids, batch_grads in batches:
          sess.run(update, {ids: batch_ids, grads: batch_grads})
        results.append(sess.run(look))
  for other in results[1:]:
    for name in "ab":
      np.testing.assert_allclose(other[name], results[0][name], atol=1e-6)
  np.testing.assert_allclose(results[0]["b"][1:], results[0]["a"][:-1], atol=1e-6)
  assert np.abs(results[0]["a"]).max() > 0.05


def test_ops_of_the_tables_sit_on_their_servers():
  with _cluster():
    table = _table(_one())
    table.lookup({"1": _ids(1)})
    devices = {op.device for op in tf.compat.v1.get_default_graph().get_operations() if "MultiHashTable" in op.type}
    assert devices == {"/job:ps/task:0/device:CPU:0", "/job:ps/task:1/device:CPU:0"}


def test_rows_travel_as_halves():
  """What is looked up is rounded once; what is stored, and the gradients, are not."""
  values = [1 / 3, 1e-3, 65519.0, 1e6]
  with _cluster() as session:
    filters = hash_filter_ops.create_hash_filters(2, False)
    table = distributed_ps.DistributedMultiTypeHashTable(
      2, _one(), distributed_ps_factory.MultiHashTableFactory(filters, None), transfer_float16=True
    )
    ids = _ids(1, 2, 3, 4, 5)
    table = table.assign({"1": (ids[:4], _rows(*values))})
    table = table.apply_gradients({"1": (ids[4:], _rows(-1e-9))}, _step())
    rows = table.lookup({"1": ids})["1"]
    assert rows.dtype == tf.float32
    whole = distributed_ps.DistributedMultiTypeHashTable(2, _one(), lambda i, _: table._tables[i])
    ops = tf.compat.v1.get_default_graph().get_operations()
    sent = [op for op in ops if op.type == "Cast" and "/job:ps" in op.device]
    assert {op.outputs[0].dtype for op in sent} == {tf.float16} and len(sent) == 2
    with session() as sess:
      found, stored = sess.run([rows, whole.lookup({"1": ids})["1"]])
  with np.errstate(over="ignore"):
    np.testing.assert_array_equal(found[:, 0], np.float32(np.float16([*values, 0])))
  assert np.isinf(found[3, 0]) and found[0, 0] != np.float32(1 / 3)
  np.testing.assert_array_equal(stored[:, 0], np.array([*values, 1e-9], np.float32))


def test_what_is_not_supported_is_refused_by_name():
  def make(i, configs):
    return None

  with pytest.raises(ValueError, match="num_ps is 0; give at least 1"):
    distributed_ps.DistributedMultiTypeHashTable(0, _one(), make)
  with tf.Graph().as_default(), pytest.raises(ValueError, match="NoneType has no raw_lookup"):
    distributed_ps.DistributedMultiTypeHashTable(1, _one(), make)
  with pytest.raises(ValueError, match="3 hash filters for 2 parameter servers"):
    distributed_ps_factory.create_native_multi_hash_table(2, _one(), [None] * 3)


@pytest.mark.parametrize("saved_by, restored_by", [(2, 3), (3, 2), (2, 0), (0, 2), (2, 2)])
def test_checkpoint_restores_onto_another_number_of_servers(saved_by, restored_by, tmp_path):
  expected = np.arange(1.0, 41.0)
  save_path = str(tmp_path / "model.ckpt")
  with _cluster(saved_by) as session:
    table = _table({"1": _adagrad()}, saved_by).assign(
      {"1": (tf.range(-20, 20, dtype=tf.int64), tf.range(1.0, 41.0)[:, None])}
    )
    listener = multi_hash_table_ops.MultiHashTableCheckpointSaverListener(save_path)
    listener.begin()
    saver = tf.compat.v1.train.Saver()
    with session() as sess:
      sess.run(table.as_op())
      listener.before_save(sess, 7)
      saver.save(sess, save_path, 7)
  with _cluster(restored_by) as session:
    table = _table({"1": _adagrad()}, restored_by)
    rows = table.lookup({"1": tf.range(-20, 20, dtype=tf.int64)})["1"][:, 0]
    updated = table.apply_gradients({"1": (_ids(3), _rows(1))}, _step()).lookup({"1": _ids(3)})
    listener = multi_hash_table_ops.MultiHashTableCheckpointRestorerListener(save_path)
    listener.begin()
    with session() as sess:
      listener.before_restore(sess)
      np.testing.assert_array_equal(sess.run(rows), expected)
      np.testing.assert_allclose(sess.run(updated)["1"], [[24 - 0.1 / 2**0.5]], rtol=1e-6)
