# SPDX-License-Identifier: Apache-2.0
"""Tables as tensors and back."""

from monolith.native_training import entry
from monolith.native_training import multi_hash_table_ops
from monolith.native_training.runtime.hash_table import embedding_hash_table_pb2
from monolith.native_training.runtime.ops import gen_monolith_ops

import numpy as np
import pytest
import tensorflow as tf

MultiHashTable = multi_hash_table_ops.MultiHashTable
InvalidArgument = tf.errors.InvalidArgumentError


def _config(dim):
  config = embedding_hash_table_pb2.EmbeddingHashTableConfig()
  entry.CuckooHashTableConfig().mutate_table(config)
  adagrad = entry.AdagradOptimizer(initial_accumulator_value=0.5)
  config.entry_config.segments.append(
    entry.CombineAsSegment(dim, entry.ZerosInitializer(), adagrad, entry.Fp32Compressor())
  )
  return entry.HashTableConfigInstance(config, [0.1])


def _ids(*values):
  return tf.constant(values, tf.int64)


def _table():
  return MultiHashTable.from_configs({"a": _config(1), "b": _config(2)})


def _filled(count=3000):
  ids = tf.range(count, dtype=tf.int64) - 5
  values = tf.reshape(tf.range(2.0 * count), [count, 2])
  table = _table().apply_gradients({"b": (ids, values)}, tf.constant(0, tf.int64), tf.constant(77, tf.int64))
  return table.assign({"a": (_ids(9), tf.constant([[3.0]]))}), ids


def _entries(table, ids):
  found = table.lookup_entry({"a": ids, "b": ids})
  return [found[name].numpy().tolist() for name in ("a", "b")]


def test_import_brings_back_every_entry_and_drops_what_was_there():
  table, ids = _filled()
  names, counts, entries = table.export_entries()
  assert names.numpy().tolist() == [b"a", b"b"] and counts.numpy().tolist() == [1, 3000] and entries.shape == [3001]
  other = _table().assign({"a": (_ids(123456), tf.constant([[1.0]]))})
  other = other.import_entries(names, counts, entries)
  assert _entries(other, ids) == _entries(table, ids)
  assert other.lookup_entry({"a": _ids(123456)})["a"].numpy().tolist() == [b""]


def test_tables_that_are_not_named_end_up_empty():
  table, ids = _filled(10)
  table = table.import_entries(tf.constant([], tf.string), _ids(), tf.constant([], tf.string))
  assert table.export_entries()[1].numpy().tolist() == [0, 0]
  assert _entries(table, ids) == [[b""] * 10] * 2


def test_order_of_names_does_not_matter():
  table, ids = _filled(10)
  names, counts, entries = (t.numpy() for t in table.export_entries())
  turned = np.concatenate([entries[1:], entries[:1]])
  other = _table().import_entries(tf.constant(names[::-1]), tf.constant(counts[::-1]), tf.constant(turned))
  assert _entries(other, ids) == _entries(table, ids)


def test_in_a_graph():
  with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    table = MultiHashTable.from_configs({"a": _config(1)})
    exported = table.export_entries()
    assert [t.shape.as_list() for t in exported] == [[None], [None], [None]]
    written = table.assign({"a": (_ids(7), tf.constant([[4.0]]))})
    session.run(table.initializer)
    session.run(written.as_op())
    names, counts, entries = session.run(exported)
    session.run(table.assign({"a": (_ids(7), tf.constant([[5.0]]))}).as_op())
    session.run(table.import_entries(names, counts, entries).as_op())
    assert session.run(table.lookup({"a": _ids(7)})["a"]) == 4
    with pytest.raises(ValueError, match="must be equal, but are 2 and 1"):
      table.import_entries(tf.constant(["a", "b"]), _ids(1), tf.constant(["x"]))
    with pytest.raises(ValueError, match="must be rank 1"):
      table.import_entries(tf.constant("a"), _ids(1), tf.constant(["x"]))
    with pytest.raises(ValueError, match="must be rank 0"):
      gen_monolith_ops.monolith_multi_hash_table_export(tf.stack([table.handle]))


@pytest.mark.parametrize(
  "names, counts, entries, message",
  [
    (["a"], (1, 0), [b""], "1 table_names for 2 counts; give one count each"),
    (["c"], (0,), [], "there is no table 'c'; import into tables of the same names"),
    (["a"], (2,), [b""], "table 'a' has 2 entries, but 1 are left of 1; pass what was exported together"),
    (["a"], (-1,), [b""], "table 'a' has -1 entries, but 1 are left of 1"),
    (["a"], (0,), [b""], "1 of 1 entries belong to no table; pass what was exported together"),
    (["a"], (1,), [b"\xff\xff"], "table 'a': a saved entry of 2 bytes is damaged"),
  ],
)
def test_wrong_imports_are_refused_and_change_nothing(names, counts, entries, message):
  table, ids = _filled(10)
  before = _entries(table, ids)
  with pytest.raises(InvalidArgument, match=message):
    table.import_entries(tf.constant(names), _ids(*counts), tf.constant(entries, tf.string))
  assert _entries(table, ids) == before
