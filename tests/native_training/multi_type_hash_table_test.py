# SPDX-License-Identifier: Apache-2.0
"""The interface of tables, and tables that slots of equal configuration share."""

import hashlib

from monolith.native_training import distributed_ps_factory
from monolith.native_training import entry
from monolith.native_training import hash_table_ops
from monolith.native_training import learning_rate_functions
from monolith.native_training import multi_type_hash_table
from monolith.native_training import test_utils

import numpy as np
import pytest
import tensorflow as tf


def _configs():
  return {
    "slot0": test_utils.generate_test_hash_table_config(1),
    "slot1": test_utils.generate_test_hash_table_config(2),
    "slot2": test_utils.generate_test_hash_table_config(2),
  }


def _merged(configs=None):
  return multi_type_hash_table.MergedMultiTypeHashTable(
    configs or _configs(), distributed_ps_factory.LocalMultiHashTable.from_configs
  )


def _ids(*values):
  return tf.constant(values, tf.int64)


def _single(slot, config):
  return hash_table_ops.hash_table_from_config(config, name_suffix=slot)


def _multi_type(*dims):
  configs = {f"slot{i}": test_utils.generate_test_hash_table_config(dim) for i, dim in enumerate(dims)}
  return multi_type_hash_table.MultiTypeHashTable(configs, _single)


def _merged_singles(configs=None):
  return multi_type_hash_table.MergedMultiTypeHashTable(
    configs or _configs(), lambda merged: multi_type_hash_table.MultiTypeHashTable(merged, _single)
  )


def test_tables_are_made_in_the_order_of_sorted_slots():
  seen = []
  config = test_utils.generate_test_hash_table_config(3)

  def factory(slot, given):
    seen.append((slot, given))
    return _single(slot, given)

  table = multi_type_hash_table.MultiTypeHashTable({"b": config, "a": config}, factory)
  assert seen == [("a", config), ("b", config)]
  assert table.get_table_dim_sizes() == [3, 3]


@pytest.mark.parametrize("graph", [False, True])
def test_one_table_a_slot(graph):
  def build():
    table = _multi_type(1, 2, 2)
    ids = _ids(2, 2)
    table = table.apply_gradients(
      {"slot0": (_ids(0), tf.constant([2.0])), "slot1": (ids, tf.constant([[1.1, 3.1], [2.2, 4.2]]))},
      tf.constant(0, tf.int64),
    )
    table = table.assign({"slot2": (_ids(1), tf.constant([[5.0, 6.0]]))}, tf.constant(70, tf.int64))
    table = table.assign_add({"slot2": (_ids(1), tf.ones([1, 2]))}, req_time=tf.constant(70, tf.int64))
    return table.lookup({"slot2": _ids(1), "slot1": _ids(2, 1), "slot0": _ids(0)})

  if graph:
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
      rows = session.run(build())
  else:
    rows = build()
  np.testing.assert_allclose(rows["slot1"], [[-3.3, -7.3], [0, 0]], rtol=1e-6)
  np.testing.assert_array_equal(rows["slot0"], [[-2]])
  np.testing.assert_array_equal(rows["slot2"], [[6, 7]])


def test_a_learning_rate_that_decays():
  with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    global_step = tf.compat.v1.train.get_or_create_global_step()
    rate = learning_rate_functions.PolynomialDecay(0.01, 10, 0.11)
    configs = {
      f"slot{i}": entry.HashTableConfigInstance(test_utils.generate_test_hash_table_config(dim).table_config, [rate])
      for i, dim in enumerate((1, 2))
    }
    table = multi_type_hash_table.MultiTypeHashTable(configs, _single)
    session.run(tf.compat.v1.global_variables_initializer())
    session.run(global_step.assign(9))
    grads = {"slot0": (_ids(0), tf.constant([[2.0]])), "slot1": (_ids(1, 2), tf.constant([[1.0, 3.0], [2.0, 4.0]]))}
    rows = session.run(table.apply_gradients(grads, global_step).lookup({"slot0": _ids(0), "slot1": _ids(1, 2)}))
  np.testing.assert_allclose(rows["slot0"], [[-0.2]], rtol=1e-5)
  np.testing.assert_allclose(rows["slot1"], [[-0.1, -0.3], [-0.2, -0.4]], rtol=1e-5)


def test_further_arguments_go_to_each_table():
  table = _multi_type(1)
  grads = {"slot0": (_ids(1, 1), tf.constant([[1.0], [2.0]]))}
  table = table.apply_gradients(grads, 0, use_multi_threads=True, enable_dedup=True, req_time=tf.constant(5, tf.int64))
  for rows in (table.lookup({"slot0": _ids(1)}, True), table.lookup({"slot0": _ids(1)}, use_multi_threads=True)):
    np.testing.assert_array_equal(rows["slot0"], [[-3]])


def test_the_op_of_all_tables():
  with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    table = _multi_type(1, 1)
    updated = table.assign({"slot0": (_ids(1), tf.ones([1, 1])), "slot1": (_ids(2), tf.ones([1, 1]))})
    assert updated.as_op().name == "mtht_ao/done" and updated.as_op("mine").name == "mine/done"
    session.run(updated.as_op())
    rows = session.run(table.lookup({"slot0": _ids(1), "slot1": _ids(2)}))
  assert rows["slot0"].tolist() == [[1]] and rows["slot1"].tolist() == [[1]]


def test_errors_of_one_table_a_slot():
  table = _multi_type(1)
  for call in (
    lambda: table.lookup({"nobody": _ids(1)}),
    lambda: table.assign({"nobody": (_ids(1), tf.ones([1, 1]))}),
  ):
    with pytest.raises(KeyError, match="slot 'nobody' has no table; there are tables of .*slot0"):
      call()
  with pytest.raises(NotImplementedError, match="single tables cannot; use a MultiHashTable"):
    table.reinitialize("slot0", _ids(1))


@pytest.mark.parametrize("make", [lambda: _merged(), lambda: _merged_singles()])
def test_merged_slots_share_rows(make):
  table = make().assign_add(
    {
      "slot0": (_ids(1), tf.constant([[1.0]])),
      "slot1": (_ids(1), tf.constant([[2.0, 2.0]])),
      "slot2": (_ids(1), tf.constant([[4.0, 4.0]])),
    }
  )
  ids = {"slot0": _ids(1), "slot1": _ids(1), "slot2": _ids(1)}
  rows = table.lookup(ids)
  np.testing.assert_array_equal(rows["slot1"], [[6, 6]])
  np.testing.assert_array_equal(rows["slot2"], [[6, 6]])
  table = table.apply_gradients(
    {
      "slot0": (_ids(1), tf.constant([[-1.0]])),
      "slot1": (_ids(1), tf.ones([1, 2])),
      "slot2": (_ids(1), tf.ones([1, 2])),
    },
    tf.constant(0, tf.int64),
  )
  rows = table.lookup(ids)
  np.testing.assert_array_equal(rows["slot0"], [[2]])
  np.testing.assert_array_equal(rows["slot1"], [[4, 4]])
  np.testing.assert_array_equal(rows["slot2"], [[4, 4]])


def test_rows_go_back_to_their_slots():
  table = _merged().assign({"slot1": (_ids(1, 2), tf.constant([[1.0, 1.0], [2.0, 2.0]]))})
  with_unknown = tf.function(
    lambda a, b: table.lookup({"slot2": a, "slot1": b}), input_signature=[tf.TensorSpec([None], tf.int64)] * 2
  )
  rows = with_unknown(_ids(2, 9), _ids(1))
  np.testing.assert_array_equal(rows["slot2"], [[2, 2], [0, 0]])
  np.testing.assert_array_equal(rows["slot1"], [[1, 1]])


def test_names_do_not_depend_on_the_order():
  seen = []
  for order in (["slot0", "slot1"], ["slot1", "slot0"]):
    configs = {name: test_utils.generate_test_hash_table_config(4) for name in order}
    table = multi_type_hash_table.MergedMultiTypeHashTable(configs, lambda c: seen.append(list(c)))
    assert table.slot_mapping == {n: "e21904dd414d1780e5fc904866dc69c2" for n in order}
  assert seen == [["e21904dd414d1780e5fc904866dc69c2"]] * 2


def test_old_slot_names_are_restored_from_and_the_given_config_stays():
  given = test_utils.generate_test_hash_table_config(4)
  for _ in range(2):
    seen = {}
    multi_type_hash_table.MergedMultiTypeHashTable({"fc_slot_0": given}, seen.update)
    (config,) = seen.values()
    assert config.extra_restore_names == ["cde3ba88ba62b682f84241b273f8100c"]
  assert given.extra_restore_names == []
  seen = {}
  multi_type_hash_table.MergedMultiTypeHashTable({"slot_0": given}, seen.update)
  assert list(seen) == [hashlib.md5(b"slot_0").hexdigest()]
  assert seen[list(seen)[0]].extra_restore_names == []


def test_other_learning_rates_are_other_tables():
  base = test_utils.generate_test_hash_table_config(2)
  other = entry.HashTableConfigInstance(base.table_config, [0.5])
  table = multi_type_hash_table.MergedMultiTypeHashTable({"a": base, "b": other}, lambda c: None)
  assert len(set(table.slot_mapping.values())) == 2
  assert table.get_table_dim_sizes() == [2, 2]


def test_bundle_comes_back_beside_the_rows():
  rows, bundle = _merged().lookup({"slot0": _ids(1)}, auxiliary_bundle={"x": 1})
  assert list(rows) == ["slot0"] and bundle == {"x": 1}


def test_ids_that_the_input_pipeline_merged_are_looked_up_by_the_inner_table():
  class Inner:
    def lookup(self, keys, bundle, pack):
      self.seen = list(keys), pack
      return {key: tf.reshape(tf.range(8.0), [4, 2]) for key in keys}, {**bundle, "inner": 2}

  inner = Inner()
  table = multi_type_hash_table.MergedMultiTypeHashTable(_configs(), lambda c: inner)
  name = table.slot_mapping["slot1"]
  asked = {"slot2": None, "slot1": None}
  rows, bundle = table.lookup(asked, {"x": 1}, early_reorder_indicies_res_pack=({name: [1, 3]}, "pack"))
  assert inner.seen == ([name], "pack") and bundle == {"x": 1, "inner": 2}
  np.testing.assert_array_equal(rows["slot1"], [[0, 1]])
  np.testing.assert_array_equal(rows["slot2"], [[2, 3], [4, 5], [6, 7]])


def test_old_slot_names_reach_the_table_and_its_files(tmp_path):
  """Rows saved as `slot_0` are found by the table of `fc_slot_0`."""
  basename = str(tmp_path / "model.ckpt")

  def build(slot):
    return _merged_singles({slot: test_utils.generate_test_hash_table_config(2)})

  with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    table = build("slot_0").assign({"slot_0": (_ids(1), tf.ones([1, 2]))})
    saver = hash_table_ops.HashTableCheckpointSaverListener(basename)
    saver.begin()
    session.run(table.as_op())
    saver.before_save(session, 1)
  name = "MonolithHashTable_cde3ba88ba62b682f84241b273f8100c"
  assert {p.name.split("-")[0] for p in (tmp_path / "model.ckpt-1.assets").iterdir()} == {name, f"{name}.meta"}
  with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    table = build("fc_slot_0")
    restorer = hash_table_ops.HashTableCheckpointRestorerListener(basename)
    restorer.begin()
    restorer.before_restore(session)
    rows = session.run(table.lookup({"fc_slot_0": _ids(1)}))
  assert rows["fc_slot_0"].tolist() == [[1, 1]]


def test_the_op_of_merged_tables_is_that_of_the_inner_ones():
  def write(table):
    return table.assign({"slot1": (_ids(1), tf.ones([1, 2]))}).as_op()

  with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    merged, singles = _merged(), _merged_singles()
    assert singles.as_op("mine").name == "mine/done"
    written = [write(merged), write(singles)]
    session.run(tf.compat.v1.tables_initializer())
    session.run(written)
    found = session.run([table.lookup({"slot2": _ids(1)}) for table in (merged, singles)])
  assert [rows["slot2"].tolist() for rows in found] == [[[1, 1]]] * 2
  write(_merged())  # eagerly it has been done


def test_gradients_alone_are_merged_without_ids():

  class Inner:
    def apply_gradients(self, merged, **kwargs):
      self.merged, self.kwargs = merged, kwargs
      return self

  inner = Inner()
  table = multi_type_hash_table.MergedMultiTypeHashTable(_configs(), lambda c: inner)
  table.apply_gradients(
    {"slot2": tf.constant([[2.0, 2.0]]), "slot1": tf.constant([[1.0, 1.0]])}, global_step=3, skip_merge_id=True
  )
  (rows,) = inner.merged.values()
  np.testing.assert_array_equal(rows, [[1, 1], [2, 2]])
  assert inner.kwargs == {"global_step": 3, "req_time": None}


def test_errors():
  table = _merged()
  with pytest.raises(KeyError, match="slot 'nobody' has no table; there are tables of"):
    table.lookup({"nobody": _ids(1)})
  with pytest.raises(NotImplementedError, match="other slots may share the rows"):
    table.reinitialize("slot0", _ids(1))
  with pytest.raises(ValueError, match="early_reorder_indicies_res_pack has 0 parts; pass the sizes"):
    table.lookup({"slot0": _ids(1)}, early_reorder_indicies_res_pack=())


def test_queue_hooks_of_inner_tables_come_last_and_copies_do_not_share():
  hook = tf.compat.v1.train.SessionRunHook
  outer, inner = _merged(), _merged()
  outer._table = inner
  first, second, third = hook(), hook(), hook()
  inner.add_queue_hook(second)
  outer.add_queue_hook(first)
  assert outer.get_queue_hooks() == [first, second]
  outer._tables = {"a": inner}
  assert outer.get_queue_hooks() == [first, second, second]
  import copy

  copied = copy.copy(inner)
  copied.add_queue_hook(third)
  assert inner.get_queue_hooks() == [second] and copied.get_queue_hooks() == [second, third]
