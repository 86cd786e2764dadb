# SPDX-License-Identifier: Apache-2.0
"""The fused layout of synchronous training, of single tables and of multi tables."""

from monolith.native_training import hash_table_ops
from monolith.native_training import multi_hash_table_ops
from monolith.native_training import multi_type_hash_table
from monolith.native_training import test_utils
from monolith.native_training.runtime.ops import gen_monolith_ops

import numpy as np
import pytest
import tensorflow as tf


def _ids(*values):
  return tf.constant(values, tf.int64)


def _i32(*values):
  return tf.constant(values, tf.int32)


def _configs(*dims, rate=1.0):
  return {f"slot{i}": test_utils.generate_test_hash_table_config(dim, learning_rate=rate) for i, dim in enumerate(dims)}


def _multi(*dims, **kwargs):
  return multi_hash_table_ops.MultiHashTable.from_configs(_configs(*dims, **kwargs), name_suffix="f")


def _multi_type(*dims, **kwargs):
  return multi_type_hash_table.MultiTypeHashTable(
    _configs(*dims, **kwargs), lambda slot, config: hash_table_ops.hash_table_from_config(config, name_suffix=slot)
  )


MAKERS = [_multi, _multi_type]


def _filled(make, *fills, **kwargs):
  """Tables of which each holds what its dict says: fid -> embedding."""
  dims = [len(next(iter(fill.values()))) for fill in fills]
  table = make(*dims, **kwargs)
  updates = {f"slot{i}": (list(fill), tf.constant(list(fill.values()), tf.float32)) for i, fill in enumerate(fills)}
  return table.assign_add({slot: (_ids(*ids), rows) for slot, (ids, rows) in updates.items()})


def _lists(fused):
  return [t.tolist() if hasattr(t, "tolist") else t.numpy().tolist() for t in fused]


LOOKUPS = [
  (
    [{0: [1], 1: [1]}, {3: [0], 4: [0]}, {6: [1, 1], 7: [1, 1]}],
    ([0, 4, 6, 1, 3, 7], [1] * 6, 2),
    ([1, 0, 1, 1, 1, 0, 1, 1], [4, 4], [0, 1, 2, 3, 4, 5, 6], [0, 1, 2, 4, 5, 6, 8]),
  ),
  (
    [{0: [1]}, {1: [2, 2]}, {2: [4, 4], 3: [8, 8]}],
    ([0, 1, 2, 3], [1, 1, 2], 1),
    ([1, 2, 2, 4, 4, 8, 8], [7], [0, 1, 2, 4], [0, 1, 3, 7]),
  ),
  (
    [{0: [1]}, {1: [2, 2]}, {2: [4, 4], 3: [8, 8]}],
    ([0, 2, 1, 3], [1, 0, 1, 0, 1, 1], 2),
    ([1, 4, 4, 2, 2, 8, 8], [3, 4], [0, 1, 1, 2, 2, 3, 4], [0, 1, 1, 3, 3, 5, 7]),
  ),
  ([{0: [1]}, {1: [2, 2]}], ([], [0, 0, 0, 0], 2), ([], [0, 0], [0] * 5, [0] * 5)),
  ([{0: [1]}, {1: [2, 2]}], ([9, 9], [1, 1], 1), ([0, 0, 0], [3], [0, 1, 2], [0, 1, 3])),
]


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("fills, arguments, expected", LOOKUPS)
@pytest.mark.parametrize("graph", [False, True])
def test_lookup(make, fills, arguments, expected, graph):
  ids, sizes, num_shards = arguments
  if graph:
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
      fused = _filled(make, *fills).fused_lookup(_ids(*ids), _i32(*sizes), num_shards)
      session.run(tf.compat.v1.tables_initializer())
      found = session.run(fused)
  else:
    found = _filled(make, *fills).fused_lookup(_ids(*ids), _i32(*sizes), num_shards)
  assert _lists(found) == [*map(list, expected), ids]
  assert found._fields == ("embeddings", "embedding_splits", "id_offsets", "embedding_offsets", "indices")


def _apply(table, ids, sizes, grads, num_shards, rows_only=True, **kwargs):
  """Steps with the offsets that the lookup gives, to the last or without it."""
  fused = table.fused_lookup(_ids(*ids), _i32(*sizes), num_shards)
  last = -1 if rows_only else None
  return table.fused_apply_gradient(
    fused.indices, fused.indices, _i32(*sizes), tf.constant(grads, tf.float32), fused.id_offsets[:last],
    fused.embedding_offsets[:last], tf.constant(0, tf.int64), None, num_shards, **kwargs,
  )  # fmt: skip


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("rows_only", [True, False])
def test_apply(make, rows_only):
  table = _filled(make, {0: [1], 1: [1]}, {3: [0, 0], 4: [0, 0]}, rate=0.1)
  table = _apply(table, [0, 4, 1, 3], [1, 1, 1, 1], [-1, -2, -2, -1, -2, -2], 2, rows_only)
  found = table.lookup({"slot0": _ids(0, 1), "slot1": _ids(4, 3)})
  np.testing.assert_allclose(found["slot0"], [[1.1], [1.1]], rtol=1e-6)
  np.testing.assert_allclose(found["slot1"], [[0.2, 0.2], [0.2, 0.2]], rtol=1e-6)


@pytest.mark.parametrize("make", MAKERS)
def test_apply_in_one_shard(make):
  table = _apply(make(1, 2), [0, 1, 2], [1, 2], [2, 1, 3, 2, 4], 1)
  found = table.lookup({"slot0": _ids(0), "slot1": _ids(1, 2)})
  np.testing.assert_array_equal(found["slot0"], [[-2]])
  np.testing.assert_array_equal(found["slot1"], [[-1, -3], [-2, -4]])


@pytest.mark.parametrize("make", MAKERS)
def test_apply_with_a_table_that_has_nothing(make):
  table = _apply(make(1, 2), [1, 1], [1, 0, 1, 0], [1, 2], 2)
  np.testing.assert_array_equal(table.lookup({"slot0": _ids(1)})["slot0"], [[-3]])


@pytest.mark.parametrize("make", MAKERS)
def test_accumulation_reaches_over_all_shards(make):
  """Adagrad from norm 1, rate 0.1: gradients 1 and 2 of one id in two shards; the numbers of one batch of a table."""

  def config():
    config = test_utils.generate_test_hash_table_config(1, learning_rate=0.1)
    optimizer = config.table_config.entry_config.segments[0].opt_config
    optimizer.Clear()
    optimizer.adagrad.initial_accumulator_value = 1
    return config

  for accumulate, expected in ((False, -0.1523603), (True, -0.0948683)):
    configs = {"slot0": config(), "slot1": config()}
    if make is _multi:
      table = multi_hash_table_ops.MultiHashTable.from_configs(configs)
    else:
      table = multi_type_hash_table.MultiTypeHashTable(
        configs, lambda slot, c: hash_table_ops.hash_table_from_config(c, name_suffix=slot)
      )
    # Shard 0 has id 5 of slot0 and id 6 of slot1, shard 1 id 5 of slot0.
    table = _apply(table, [5, 6, 5], [1, 1, 1, 0], [1, 7, 2], 2, enable_grad_accumulation=accumulate)
    np.testing.assert_allclose(table.lookup({"slot0": _ids(5)})["slot0"], [[expected]], rtol=1e-6)


def test_threads_and_runs_make_no_difference():
  rng = np.random.default_rng(3)
  sizes = [20000, 3, 20000, 17000]
  ids, grads = rng.integers(0, 500, sum(sizes)), rng.normal(size=20000 + 6 + 20000 + 34000)
  results = []
  for _ in range(3):
    table = _apply(_multi(1, 2), ids.tolist(), sizes, grads.tolist(), 2, enable_grad_accumulation=True)
    results.append(table.lookup({"slot1": _ids(*range(500))})["slot1"].numpy())
  np.testing.assert_array_equal(results[0], results[1])
  np.testing.assert_array_equal(results[0], results[2])


def test_functions_take_tables_and_handles():
  tables = [hash_table_ops.test_hash_table(1), hash_table_ops.test_hash_table(2).table]
  handles = hash_table_ops.fused_apply_gradient(
    tables, _ids(0, 1), _ids(0, 1), _i32(1, 1), [1.0, 2.0, 3.0], _i32(0, 1), _i32(0, 1), [1.0, 10.0],
    tf.constant(5, tf.int64), 0, 1,
  )  # fmt: skip
  found = hash_table_ops.fused_lookup(handles, _ids(0, 1), _i32(1, 1), 1)
  assert found.embeddings.numpy().tolist() == [-1, -20, -30]
  for call in (
    lambda: hash_table_ops.fused_lookup([], _ids(), _i32(), 1),
    lambda: hash_table_ops.fused_apply_gradient([], *[_ids()] * 7, None, 0, 1),
  ):
    with pytest.raises(ValueError, match="tables is empty; pass at least one"):
      call()


def test_update_times_are_written():
  table = hash_table_ops.test_hash_table(1)
  (handle,) = hash_table_ops.fused_apply_gradient(
    [table], _ids(1), _ids(1), _i32(1), [1.0], _i32(0), _i32(0), [1.0], tf.constant(100), 0, 1
  )
  (entry,) = table.table_update(handle).lookup_entry(_ids(1)).numpy()
  assert entry.endswith(b"\x20\x64")


BAD_LAYOUTS = [
  (dict(sizes=[1, 1, 1]), "fused_slot_size has 3 elements, but 2 tables in 1 shards need 2"),
  (dict(sizes=[3, -1]), r"fused_slot_size\[1\] is -1; it must be at least 0"),
  (dict(sizes=[1, 2]), "fused_slot_size adds up to 3, but there are 2 ids"),
]
BAD_UPDATES = [
  *BAD_LAYOUTS,
  (dict(indices=[1]), "indices has 1 elements for 2 ids; pass what the lookup returned"),
  (dict(rates=[1.0]), "learning_rate_tensors has 1 elements, but the tables have 2 slices; pass one rate for each"),
  (dict(rates=[1.0] * 3), "learning_rate_tensors has 3 elements"),
  (dict(id_offsets=[0]), "id_offsets has 1 elements, but there are 2 parts; pass the offsets that the lookup"),
  (dict(id_offsets=[0, 2]), r"id_offsets\[1\] is 2, but part 1 has 1 of the 2 elements of ids"),
  (dict(id_offsets=[-1, 1]), r"id_offsets\[0\] is -1"),
  (dict(grad_offsets=[0, 1, 3, 3]), "grad_offsets has 4 elements"),
  (dict(grad_offsets=[0, 2]), r"grad_offsets\[1\] is 2, but part 1 has 2 of the 3 elements of id_grads"),
  (dict(grads=[1.0, 2.0]), "id_grads has 2 floats, but the ids need 3; pass a row as wide as its table"),
  (dict(grads=[1.0] * 4), "id_grads has 4 floats, but the ids need 3"),
  (dict(time=[0]), r"req_time has shape \[1\]; pass a scalar"),
  (dict(step=[0]), r"global_step has shape \[1\]; pass a scalar"),
]


def _raw(multi, tables, update, ids=(1, 2), indices=(), sizes=(1, 1), grads=(1.0, 2.0, 3.0), id_offsets=(0, 1),
         grad_offsets=(0, 1), rates=(1.0, 1.0), time=0, step=0, num_shards=1):  # fmt: skip
  family = "multi_hash_table" if multi else "hash_table"
  if not update:
    lookup = getattr(gen_monolith_ops, f"monolith_{family}_fused_lookup")
    return lookup(tables, _ids(*ids), _i32(*sizes), time, num_of_shards=num_shards)
  optimize = getattr(gen_monolith_ops, f"monolith_{family}_fused_optimize")
  return optimize(
    tables, _ids(*ids), _ids(*indices), _i32(*sizes), tf.constant(grads, tf.float32), _i32(*id_offsets),
    _i32(*grad_offsets), tf.constant(rates, tf.float32), time, step, num_of_shards=num_shards,
  )  # fmt: skip


@pytest.mark.parametrize("multi", [False, True])
@pytest.mark.parametrize(
  "update, change, message",
  [(False, *case) for case in BAD_LAYOUTS] + [(True, *case) for case in BAD_UPDATES],
)
def test_wrong_layouts_are_named_and_change_nothing(multi, update, change, message):
  singles = [hash_table_ops.test_hash_table(1), hash_table_ops.test_hash_table(2)]
  table = _multi(1, 2)
  with pytest.raises(tf.errors.InvalidArgumentError, match=message):
    _raw(multi, table.handle if multi else [t.table for t in singles], update, **change)
  assert [int(t.size()) for t in singles] == [0, 0]
  assert not table.lookup_entry({"slot0": _ids(1)})["slot0"].numpy()[0]


@pytest.mark.parametrize("multi", [False, True])
def test_a_number_of_shards_below_one_is_refused(multi):
  tables = _multi(1, 2).handle if multi else [hash_table_ops.test_hash_table(1).table]
  for update in (False, True):
    with pytest.raises(tf.errors.InvalidArgumentError, match="num_of_shards"):
      _raw(multi, tables, update, num_shards=0)


def _handles(*dims):
  return tf.compat.v1.placeholder(tf.resource, dims)


@pytest.mark.parametrize("multi", [False, True])
@pytest.mark.parametrize("update", [False, True])
def test_shape_functions(multi, update):
  def call(handle=None, **change):
    handle = _handles() if handle is None else handle
    return _raw(multi, handle if multi else [_handles(), handle], update, **change)

  with tf.Graph().as_default():
    result = call(sizes=[1, 0, 0, 1], num_shards=2)
    if update:
      shapes = [t.shape.as_list() for t in (result if isinstance(result, list) else [result])]
      assert shapes == [[]] if multi else [[], []]
    else:
      assert [t.shape.as_list() for t in result] == [[None], [2], [5], [5], [2]]
    bad = [dict(handle=_handles(1)), dict(time=[0]), dict(step=[0]) if update else dict(time=[[0]])]
    for change in bad:
      with pytest.raises(ValueError, match="must be rank 0"):
        call(**change)
    with pytest.raises(ValueError, match="fused_slot_size has 3 elements, but .*tables in 2 shards need"):
      call(sizes=[1, 1, 1], num_shards=2)


@pytest.mark.parametrize("multi", [False, True])
def test_sizes_must_be_a_vector(multi):
  family = "multi_hash_table" if multi else "hash_table"
  with tf.Graph().as_default():
    handles = _handles() if multi else [_handles()]
    with pytest.raises(ValueError, match="must be rank 1"):
      getattr(gen_monolith_ops, f"monolith_{family}_fused_lookup")(handles, _ids(1), [[1]], 0, num_of_shards=1)
    for bad in range(6):
      arguments = [_ids(1), _ids(1), _i32(1), [1.0], _i32(0), _i32(0), tf.constant([1.0])]
      if bad in (0, 1, 3):
        continue  # read flat
      arguments[bad] = tf.expand_dims(arguments[bad], 0)
      with pytest.raises(ValueError, match="must be rank 1"):
        getattr(gen_monolith_ops, f"monolith_{family}_fused_optimize")(handles, *arguments, 0, 0, num_of_shards=1)


def test_serving_tables_cannot_be_trained():
  from monolith.native_training.model_export import export_context

  with export_context.enter_export_mode(export_context.ExportMode.STANDALONE):
    table = _multi(1, 2)
    single = hash_table_ops.test_hash_table(1)
  with pytest.raises(tf.errors.InvalidArgumentError, match="serving entries, which hold no optimizer state"):
    _raw(True, table.handle, True)
  with pytest.raises(tf.errors.InvalidArgumentError, match="serving entries, which hold no optimizer state"):
    _raw(False, [single.table, single.table], True, grads=[1.0, 2.0])
