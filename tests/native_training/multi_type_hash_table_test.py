# SPDX-License-Identifier: Apache-2.0
"""The interface of tables, and tables that slots of equal configuration share."""

import hashlib

from monolith.native_training import distributed_ps_factory
from monolith.native_training import entry
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


def test_merged_slots_share_rows():
  table = _merged().assign_add(
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
