# SPDX-License-Identifier: Apache-2.0
"""Single tables: reads, updates, files, meta graphs, and what wrong arguments say."""

from monolith.native_training import entry
from monolith.native_training import hash_filter_ops
from monolith.native_training import hash_table_ops
from monolith.native_training import hash_table_utils
from monolith.native_training import learning_rate_functions
from monolith.native_training.model_export import export_context
from monolith.native_training.runtime.hash_table import embedding_hash_table_pb2
from monolith.native_training.runtime.ops import gen_monolith_ops

import contextlib

import numpy as np
import pytest
import tensorflow as tf

EntryDump = embedding_hash_table_pb2.EntryDump
new_table = hash_table_ops.test_hash_table


def _ids(*values):
  return tf.constant(values, tf.int64)


def _step(value=0):
  return tf.constant(value, tf.int64)


def _config(*dims, optimizer=None, rates=None, expire=None, initializer=None):
  config = embedding_hash_table_pb2.EmbeddingHashTableConfig()
  entry.CuckooHashTableConfig().mutate_table(config)
  for dim in dims:
    config.entry_config.segments.append(
      entry.CombineAsSegment(
        dim, initializer or entry.ZerosInitializer(), optimizer or entry.SgdOptimizer(), entry.Fp32Compressor()
      )
    )
  for slot, days in (expire or {}).items():
    config.slot_expire_time_config.slot_expire_times.add(slot=slot, expire_time=days)
  return entry.HashTableConfigInstance(config, rates or [1.0] * len(dims))


@contextlib.contextmanager
def _graph():
  with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    yield session


def _in_graph(build):
  with _graph() as session:
    return session.run(build())


def _eagerly(build):
  return tf.nest.map_structure(lambda t: t.numpy(), build())


MODES = [_in_graph, _eagerly]


@pytest.mark.parametrize("run", MODES)
def test_absent_fids_read_zeros_and_writes_add_up(run):
  def build():
    table = new_table(2).assign_add(_ids(1, -7), tf.constant([[1.0, 2.0], [3.0, 4.0]]))
    table = table.assign_add(_ids(1), tf.constant([[0.5, 0.5]])).assign(_ids(9), tf.constant([[8.0, 8.0]]))
    return table.lookup(_ids(1, -7, 9, 5)), table.size()

  rows, size = run(build)
  np.testing.assert_array_equal(rows, [[1.5, 2.5], [3, 4], [8, 8], [0, 0]])
  assert size == 3


def test_ids_of_any_shape_and_of_other_types():
  table = new_table(2).assign([1, 2], [[1, 1], [2, 2]])
  found = table.lookup(tf.constant([[1, 2], [2, 3]]), use_multi_threads=True, enable_dedup=True)
  np.testing.assert_array_equal(found, [[1, 1], [2, 2], [2, 2], [0, 0]])
  assert table.lookup(_ids()).shape == [0, 2]


def test_inside_a_function():
  table = new_table(1)

  @tf.function(input_signature=[tf.TensorSpec([None], tf.int64)])
  def step(ids):
    updated = table.apply_gradients(ids, -tf.ones([tf.size(ids), 1]), _step())
    return updated.lookup(ids)

  np.testing.assert_array_equal(step(_ids(1, 1, 2)), [[2], [2], [1]])
  np.testing.assert_array_equal(step(_ids(2)), [[2]])


@pytest.mark.parametrize("run", MODES)
@pytest.mark.parametrize("threads", [False, True])
@pytest.mark.parametrize(
  "ids, dedup, expected",
  [((0, 0, 1), False, (0.2, 0.1)), ((1, 0, 1), False, (0.1, 0.2)), ((0, 1, 0, 1, 0), True, (0.3, 0.2))],
)
def test_gradients_of_every_occurrence_count(run, threads, ids, dedup, expected):
  def build():
    table = new_table(1, learning_rate=0.1)
    grads = -tf.ones([len(ids), 1])
    table = table.apply_gradients(_ids(*ids), grads, _step(), use_multi_threads=threads, enable_dedup=dedup)
    return table.lookup(_ids(0, 1))

  np.testing.assert_allclose(run(build)[:, 0], expected, rtol=1e-6)


@pytest.mark.parametrize("dedup, expected", [(False, -0.1523603), (True, -0.0948683)])
def test_an_id_twice_in_a_batch_of_adagrad(dedup, expected):
  config = _config(1, optimizer=entry.AdagradOptimizer(initial_accumulator_value=1), rates=[0.1])
  table = hash_table_ops.hash_table_from_config(config)
  table = table.apply_gradients(_ids(5, 5), tf.constant([[1.0], [2.0]]), _step(), enable_dedup=dedup)
  np.testing.assert_allclose(table.lookup(_ids(5)), [[expected]], rtol=1e-6)


def test_threads_make_no_difference():
  rng = np.random.default_rng(7)
  ids, grads = rng.integers(0, 3000, 50000), rng.normal(size=[50000, 3]).astype(np.float32)
  config = _config(3, optimizer=entry.AdagradOptimizer(initial_accumulator_value=0.1))
  rows = []
  for threads in (False, True):
    for dedup in (False, True):
      table = hash_table_ops.hash_table_from_config(config)
      table = table.apply_gradients(ids, grads, _step(), use_multi_threads=threads, enable_dedup=dedup)
      rows.append(table.lookup(np.arange(3000), use_multi_threads=threads).numpy())
  np.testing.assert_array_equal(rows[0], rows[2])
  np.testing.assert_array_equal(rows[1], rows[3])


def test_a_schedule_in_a_graph():
  with _graph() as session:
    global_step = tf.compat.v1.train.get_or_create_global_step()
    rate = learning_rate_functions.PolynomialDecay(initial_learning_rate=0.01, decay_steps=10, end_learning_rate=0.11)
    table = new_table(1, learning_rate=rate)
    session.run(tf.compat.v1.global_variables_initializer())
    session.run(global_step.assign(1))
    table = table.apply_gradients(_ids(0, 0, 1), -tf.ones([3, 1]), global_step)
    np.testing.assert_allclose(session.run(table.lookup(_ids(0, 1))), [[0.04], [0.02]], rtol=1e-6)


def test_a_schedule_goes_on_eagerly():
  rate = tf.Variable(1.0)
  table = new_table(1, learning_rate=rate.read_value)
  table.apply_gradients(_ids(0), -tf.ones([1, 1]), 0)
  rate.assign(10.0)
  table.apply_gradients(_ids(0), -tf.ones([1, 1]), 0)
  np.testing.assert_array_equal(table.lookup(_ids(0)), [[11]])


def test_rates_are_one_a_slice():
  table = hash_table_ops.hash_table_from_config(_config(1, 2, rates=[1.0, 2.0]))
  table = table.apply_gradients(_ids(3), tf.constant([[1.0, 2.0, 3.0]]), 0)
  np.testing.assert_array_equal(table.lookup(_ids(3)), [[-1, -4, -6]])


def test_filter_drops_the_first_occurrences():
  with _graph() as session:
    table = new_table(1, enable_hash_filter=True, learning_rate=0.1, occurrence_threshold=3)
    found = table.apply_gradients(_ids(0, 0, 1), -tf.ones([3, 1]), _step()).lookup(_ids(0, 1))
    for expected in ((0, 0), (0.1, 0), (0.3, 0), (0.5, 0.1)):
      np.testing.assert_allclose(session.run(found)[:, 0], expected, rtol=1e-6)


def test_filter_counts_the_rows_of_a_summed_fid():
  table = new_table(1, enable_hash_filter=True, occurrence_threshold=3)
  for expected in (0, 4):  # four occurrences are counted at once, and the threshold has been passed the next time
    found = table.apply_gradients(_ids(5, 5, 5, 5), -tf.ones([4, 1]), 0, enable_dedup=True).lookup(_ids(5))
    np.testing.assert_array_equal(found, [[expected]])


def test_filter_is_saved_beside_the_table(tmp_path):
  config = embedding_hash_table_pb2.SlotOccurrenceThresholdConfig(default_occurrence_threshold=2).SerializeToString()
  with _graph() as session:
    hash_filter = hash_filter_ops.create_hash_filter(1000, 7, config)
    table = hash_table_ops.hash_table_from_config(_config(1), hash_filter)
    found = table.assign_add(_ids(1), tf.ones([1, 1])).lookup(_ids(1))
    saves = (
      table.save(str(tmp_path / "t")).table,
      hash_filter_ops.save_hash_filter(hash_filter, str(tmp_path / "f"), True),
    )
    restores = (
      table.restore(str(tmp_path / "t")).table,
      hash_filter_ops.restore_hash_filter(hash_filter, str(tmp_path / "f"), True),
    )
    runs = []
    for op in (None, saves, None, restores, None, None, None):
      if op is None:
        runs.append(session.run(found)[0, 0])
      else:
        session.run([o.op for o in op])
        runs.append("files")
  assert runs == [0, "files", 0, "files", 0, 1, 2]


@pytest.mark.parametrize("run", MODES)
def test_entries(run):
  def build():
    table = new_table(3).assign(_ids(1), tf.constant([[0.1, 0.2, 0.3]]), req_time=tf.constant(77))
    return table.lookup_entry(_ids(1, 2))

  present, absent = run(build)
  dump = EntryDump.FromString(present)
  np.testing.assert_allclose(dump.num, [0.1, 0.2, 0.3], rtol=1e-6)
  assert dump.last_update_ts_sec == 77 and not dump.HasField("id") and absent == b""


def test_slots_of_entries():
  entries = [EntryDump(id=1 << 48).SerializeToString(), EntryDump(id=-1).SerializeToString(), b"\xff"]
  assert hash_table_ops.extract_slot_from_entry(tf.constant(entries)).numpy().tolist() == [1, 32767, 0]
  entries = [EntryDump(id=3 << 54).SerializeToString(), EntryDump(id=-1).SerializeToString()]
  found = hash_table_ops.extract_slot_from_entry(tf.constant(entries), fid_v2=False)
  assert found.numpy().tolist() == [3, 1023]


def test_slot_of_an_entry_of_the_table():
  table = new_table(1).assign(_ids(1 << 48), tf.ones([1, 1]))
  _, entries = table.save_as_tensor(0, 1, 10, 0)
  assert hash_table_ops.extract_slot_from_entry(entries).numpy().tolist() == [1]


# Reading piece by piece.


def _walk(table, num_shards, limit, between=lambda: None):
  fids = []
  for shard in range(num_shards):
    offset, more = 0, True
    while more:
      offset, entries = table.save_as_tensor(shard, num_shards, limit, offset)
      assert len(entries) <= limit
      fids += [EntryDump.FromString(e).id for e in entries.numpy()]
      more = len(entries) == limit
      between()
  return fids


@pytest.mark.parametrize("num_shards, limit", [(1, 1), (1, 7), (3, 100), (10, 2), (4, 1000), (1000, 1)])
def test_a_walk_passes_every_entry_once(num_shards, limit):
  fids = [*range(90), *(-(1 << 40) * i for i in range(1, 11))]
  table = new_table(1).assign(fids, tf.ones([100, 1]))
  assert sorted(_walk(table, num_shards, limit)) == sorted(fids)


def test_a_limit_reserves_nothing():
  table = new_table(1).assign(_ids(1, 2), tf.ones([2, 1]))
  assert sorted(_walk(table, 1, (1 << 62) + 5)) == [1, 2]


def test_a_walk_survives_growth():
  fids = list(range(50))
  table = new_table(1).assign(fids, tf.ones([50, 1]))
  added = iter(range(1000, 200000, 500))

  def grow():
    start = next(added)
    table.assign(list(range(start, start + 500)), tf.zeros([500, 1]))

  found = _walk(table, 1, 40, grow)
  assert len(found) == len(set(found)) and set(fids) <= set(found)
  assert int(table.size()) > 1000


def test_an_ended_walk_stays_ended():
  table = new_table(1).assign(_ids(1), tf.ones([1, 1]))
  offset, entries = table.save_as_tensor(0, 1, 5, 0)
  assert len(entries) == 1
  offset, entries = table.save_as_tensor(0, 1, 5, offset)
  assert len(entries) == 0


@pytest.mark.parametrize(
  "arguments, message",
  [
    ((2, 2, 1, 0), "shard_idx is 2 of num_shards 2; it must lie in"),
    ((-1, 2, 1, 0), "shard_idx is -1 of num_shards 2"),
    ((0, 0, 1, 0), "shard_idx is 0 of num_shards 0"),
    ((0, 2, 0, 0), "limit is 0; ask for at least 1 entry"),
    ((0, 8, 1, 1 << 62), "offset 4611686018427387904 lies beyond shard_idx 0 of 8; begin with 0"),
  ],
)
def test_walks_refuse(arguments, message):
  with pytest.raises(tf.errors.InvalidArgumentError, match=message):
    new_table(1).save_as_tensor(*arguments)


@pytest.mark.parametrize("graph", [True, False])
def test_iterating_a_table(graph):
  def build():
    seen = tf.Variable(tf.zeros([100], tf.int32), trainable=False)
    table = new_table(1).assign([i << 48 for i in range(100)], tf.ones([100, 1]))

    def apply_fn(entries):
      index = hash_table_ops.extract_slot_from_entry(entries)
      seen.scatter_nd_add(index[:, None], tf.ones_like(index))

    with tf.control_dependencies([table.as_op()]):
      return seen, hash_table_utils.iterate_table_and_apply(table, apply_fn, limit=2, nshards=10)

  if graph:
    with _graph() as session:
      seen, count = build()
      session.run(tf.compat.v1.global_variables_initializer())
      count, seen = session.run(count), session.run(seen)
  else:
    seen, count = (t.numpy() for t in build())
  assert count == 100 and seen.tolist() == [1] * 100


# Files.


@pytest.mark.parametrize("shards", [-1, 0, 1, 3])
def test_save_and_restore(tmp_path, shards):
  path = str(tmp_path / "deep" / "t")
  config = _config(2, optimizer=entry.AdamOptimizer())
  table = hash_table_ops.hash_table_from_config(config, saver_parallel=shards)
  ids = tf.range(500, dtype=tf.int64)
  table = table.apply_gradients(ids, tf.ones([500, 2]), 1, req_time=9)
  table.save(path)
  count = max(shards, 1)
  names = sorted(p.name for p in (tmp_path / "deep").iterdir())
  shards = [f"-{i:05d}-of-{count:05d}" for i in range(count)]
  assert names == ["t" + shard for shard in shards] + ["t.meta" + shard for shard in shards]
  fids = []
  for shard in shards:
    records = [EntryDump.FromString(r).id for r in tf.data.TFRecordDataset(path + shard).as_numpy_iterator()]
    (meta,) = tf.data.TFRecordDataset(path + ".meta" + shard).as_numpy_iterator()
    counted = embedding_hash_table_pb2.MultiHashTableMetadata.FromString(meta)
    assert (counted.table_name, counted.num_entries) == (table.name, len(records))
    fids += records
  assert sorted(fids) == list(range(500))
  again = hash_table_ops.hash_table_from_config(config).assign([777], [[1, 1]]).restore(path)
  assert again.lookup_entry(ids).numpy().tolist() == table.lookup_entry(ids).numpy().tolist()
  assert int(again.size()) == 500  # what the save lacks is gone


def test_the_bytes_of_a_record(tmp_path):
  new_table(1).assign(_ids(1 << 48), [[2.5]], req_time=100).save(str(tmp_path / "t"))
  (record,) = tf.data.TFRecordDataset(str(tmp_path / "t-00000-of-00001")).as_numpy_iterator()
  assert record.hex() == "0900000000000001001500002040" + "1a040a0212002064"


def test_save_in_a_graph_after_a_random_time(tmp_path):
  path = str(tmp_path / "t")
  with _graph() as session:
    table = new_table(1).assign(_ids(1), tf.ones([1, 1]))
    session.run(table.save(path, random_sleep_ms=1).as_op())
  with _graph() as session:
    assert session.run(new_table(1).restore(path).lookup(_ids(1))).tolist() == [[1]]


@pytest.mark.parametrize(
  "days, stamps, kept",
  [
    (1, (10_000_000 - 86401, 10_000_000 - 86399, 10_000_000), (0, 1, 1)),
    (0, (100, 100, 200), (0, 0, 0)),
    (1, (None, None, None), (1, 1, 1)),
    (1, (0, 0, 0), (1, 1, 1)),
    (1, (500, 500, 500), (1, 1, 1)),
  ],
)
def test_save_leaves_out_expired_entries_but_keeps_them_in_memory(tmp_path, days, stamps, kept):
  path = str(tmp_path / "t")
  table = new_table(1, expire_time=days)
  for fid, stamp in enumerate(stamps):
    table = table.assign_add(_ids(fid), tf.ones([1, 1]), req_time=None if stamp is None else tf.constant(stamp))
  table.save(path)
  np.testing.assert_array_equal(table.lookup(_ids(0, 1, 2)), [[1], [1], [1]])
  np.testing.assert_array_equal(table.restore(path).lookup(_ids(0, 1, 2))[:, 0], kept)


def test_expiry_is_by_slot(tmp_path):
  path = str(tmp_path / "t")
  table = hash_table_ops.hash_table_from_config(_config(1, expire={1: 0, 2: 1}))
  ids = _ids(1 << 48, 2 << 48)
  table.assign(ids, tf.ones([2, 1]), req_time=100).save(path)
  np.testing.assert_array_equal(table.restore(path).lookup(ids), [[0], [1]])


@pytest.mark.parametrize("num_shards", [1, 2, 3])
def test_shards_take_unsigned_fid_mod_num_shards(tmp_path, num_shards):
  path = str(tmp_path / "t")
  fids = [0, 1, 2, 3, -1, -2, 1 << 62, -(1 << 63)]
  new_table(1).assign(fids, tf.ones([len(fids), 1])).save(path)
  for shard in range(num_shards):
    found = new_table(1).restore([path], shard, num_shards).lookup(fids)[:, 0]
    np.testing.assert_array_equal(found, [float(fid % (1 << 64) % num_shards == shard) for fid in fids])


NUM_SAVED = 3000


def _saved(tmp_path, shards=2, dim=2):
  path = str(tmp_path / "t")
  config = _config(dim)
  table = hash_table_ops.hash_table_from_config(config, saver_parallel=shards)
  table.assign(tf.range(NUM_SAVED), tf.ones([NUM_SAVED, dim])).save(path)
  return path


@pytest.mark.parametrize("victim", ["t-00000-of-00002", "t-00001-of-00002"])
@pytest.mark.parametrize(
  "damage", [lambda b: b[:-3], lambda b: b[:50], lambda b: b[:50] + bytes([b[50] ^ 8]) + b[51:], lambda b: b + b"x"]
)
def test_damaged_files_are_named_and_the_table_stays(tmp_path, victim, damage):
  path = _saved(tmp_path)
  file = tmp_path / victim
  file.write_bytes(damage(file.read_bytes()))
  table = new_table(2).assign(_ids(1000), tf.ones([1, 2]))
  with pytest.raises(tf.errors.FailedPreconditionError, match=f"{victim} is damaged .*restore from another checkpoint"):
    table.restore(path)
  assert int(table.size()) == 1
  np.testing.assert_array_equal(table.lookup(_ids(1, 1000)), [[0, 0], [1, 1]])


def test_a_record_that_is_no_entry_is_named(tmp_path):
  path = _saved(tmp_path)
  with tf.io.TFRecordWriter(str(tmp_path / "t-00001-of-00002")) as writer:
    writer.write(b"\xff\xff")
  table = new_table(2)
  with pytest.raises(
    tf.errors.InvalidArgumentError, match="t-00001-of-00002: table .* a saved entry of 2 bytes is dam"
  ):
    table.restore(path)
  assert int(table.size()) == 0


def test_every_cut_of_a_file_is_noticed(tmp_path):
  path = str(tmp_path / "t")
  table = new_table(1).assign(_ids(1, 2), tf.ones([2, 1]))
  table.save(path)
  file = tmp_path / "t-00000-of-00001"
  whole = file.read_bytes()
  for size in range(len(whole)):
    file.write_bytes(whole[:size])
    with pytest.raises(tf.errors.FailedPreconditionError, match="t-00000-of-00001 is damaged"):
      table.restore(path)
  file.write_bytes(whole[: len(whole) // 2])  # between the two records
  with pytest.raises(tf.errors.FailedPreconditionError, match="it has 1 records, and .*t.meta-00000-of-00001 counts 2"):
    table.restore(path)
  file.write_bytes(whole + whole[: len(whole) // 2])
  with pytest.raises(tf.errors.FailedPreconditionError, match="it has 3 records, and .*t.meta-00000-of-00001 counts 2"):
    table.restore(path)
  assert int(table.size()) == 2


def test_files_without_metadata_as_the_original_system_writes_them(tmp_path):
  path = _saved(tmp_path)
  for shard in range(2):
    (tmp_path / f"t.meta-0000{shard}-of-00002").unlink()
  (tmp_path / "t.meta-00000-of-00002-tmp-77").write_bytes(b"unfinished")
  assert int(new_table(2).restore(path).size()) == NUM_SAVED
  (tmp_path / "t-00000-of-00002").write_bytes(b"")  # an empty shard
  assert 0 < int(new_table(2).restore(path).size()) < NUM_SAVED


def test_damaged_metadata_is_named_and_the_table_stays(tmp_path):
  path = _saved(tmp_path)
  meta, other = (tmp_path / f"t.meta-0000{shard}-of-00002" for shard in range(2))
  table = new_table(2).assign(_ids(1000), tf.ones([1, 2]))
  whole = meta.read_bytes()
  for content, message in (
    (b"", "it counts 0 tables instead of one"),
    (whole * 2, "it counts 2 tables instead of one"),
    (whole[:-1], ""),
    (whole[:20] + bytes([whole[20] ^ 1]) + whole[21:], ""),
  ):
    meta.write_bytes(content)
    with pytest.raises(tf.errors.FailedPreconditionError, match=rf"t.meta-00000-of-00002 is damaged \({message}"):
      table.restore(path)
  meta.unlink()
  with pytest.raises(tf.errors.InvalidArgumentError, match="t.meta-00000-of-00002 is missing"):
    table.restore(path)
  other.rename(tmp_path / "t.meta-00000-of-00001")
  with pytest.raises(tf.errors.InvalidArgumentError, match="has 2 data files and 1 metadata files; remove"):
    table.restore(path)
  assert int(table.size()) == 1


def test_missing_and_mixed_files(tmp_path):
  path = _saved(tmp_path)
  table = new_table(2)
  (tmp_path / "t-00000-of-00007-tmp-1234").write_bytes(b"unfinished")
  (tmp_path / "t10-00000-of-00001").write_bytes(b"of another table")
  assert int(table.restore(path).size()) == NUM_SAVED
  with pytest.raises(tf.errors.InvalidArgumentError, match="no saved shard of .*absent exists; check the path"):
    table.restore(str(tmp_path / "absent"))
  with pytest.raises(tf.errors.InvalidArgumentError, match="directory .*nowhere of the saved table"):
    table.restore(str(tmp_path / "nowhere" / "t"))
  (tmp_path / "t-00001-of-00002").unlink()
  with pytest.raises(tf.errors.InvalidArgumentError, match="t-00001-of-00002 is missing"):
    table.restore(path)
  (tmp_path / "t-00000-of-00003").write_bytes(b"")
  with pytest.raises(tf.errors.InvalidArgumentError, match="different totals"):
    table.restore(path)
  assert int(table.size()) == NUM_SAVED


def test_a_save_over_one_with_more_files_leaves_only_its_own(tmp_path):
  path = _saved(tmp_path, shards=4)
  new_table(2).assign(_ids(1), tf.ones([1, 2])).save(path)
  assert sorted(p.name for p in tmp_path.iterdir()) == ["t-00000-of-00001", "t.meta-00000-of-00001"]


def test_a_save_that_fails_leaves_no_file(tmp_path):
  (tmp_path / "file").write_text("in the way")
  with pytest.raises(tf.errors.OpError):
    new_table(1).save(str(tmp_path / "file" / "t"))
  assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_other_widths(tmp_path):
  path = _saved(tmp_path)
  config = _config(3, initializer=entry.ConstantsInitializer(5))
  wider = hash_table_ops.hash_table_from_config(config).restore(path)
  np.testing.assert_array_equal(wider.lookup(_ids(4)), [[1, 1, 5]])
  narrower = new_table(1)
  with pytest.raises(tf.errors.InvalidArgumentError, match="t-0000.-of-00002: table .* has dim 1, but the saved entry"):
    narrower.restore(path)
  assert int(narrower.size()) == 0


def test_serving_tables_restore_what_training_saved(tmp_path):
  path = _saved(tmp_path)
  with export_context.enter_export_mode(export_context.ExportMode.STANDALONE):
    serving = new_table(2).restore(path)
  np.testing.assert_array_equal(serving.lookup(_ids(1, 5000)), [[1, 1], [0, 0]])
  with pytest.raises(tf.errors.InvalidArgumentError, match="has serving entries, which hold no optimizer state"):
    serving.apply_gradients(_ids(1), tf.ones([1, 2]), 0)


# Names and meta graphs.


def test_a_name_is_given_once_a_graph():
  with tf.Graph().as_default():
    table = new_table(1, name_suffix="mine")
    assert table.name == "MonolithHashTable_mine"
    with pytest.raises(ValueError, match="has a hash table 'MonolithHashTable_mine' already; give this one another"):
      new_table(1, name_suffix="mine")
    assert hash_table_ops.HashTable.get_metadata().name_set == {"MonolithHashTable_mine"}
    assert [new_table(1).name, new_table(1).name] == ["MonolithHashTable_test", "MonolithHashTable_test_1"]
    assert hash_table_ops.vocab_hash_table(100, 3).name == "MonolithHashTable_vocab"
    assert len(tf.compat.v1.get_collection(hash_table_ops._HASH_TABLE_GRAPH_KEY)) == 4


def test_tables_made_eagerly_never_meet():
  first, second = (new_table(1, name_suffix="mine") for _ in range(2))
  first.assign(_ids(1), tf.ones([1, 1]))
  np.testing.assert_array_equal(second.lookup(_ids(1)), [[0]])
  with pytest.raises(ValueError, match="was made eagerly; only tables of a graph have a proto"):
    first.to_proto()


@pytest.mark.parametrize("share", [None, False, True])
def test_proto_round_trip(share):
  with tf.Graph().as_default():
    with tf.name_scope("outer"):
      table = new_table(4, extra_restore_names=["old"], expire_time=5)
    table.export_share_embedding = share
    assert table.to_proto("elsewhere") is None
    proto = table.to_proto("outer")
    assert not proto.table_tensor.startswith("outer")
    again = hash_table_ops.HashTable.from_proto(proto, import_scope="outer")
    assert again.table is table.table and again.name == table.name and again.dim_size == 4
    assert again.export_share_embedding is share
    assert again.extra_restore_names + ["more"] == ["old", "more"]
    assert again.to_proto() == table.to_proto()
    assert len(tf.compat.v1.get_collection("monolith_hash_tables")) == 1


def test_meta_graph_round_trip(tmp_path):
  with tf.Graph().as_default():
    new_table(2)
    meta_graph = tf.compat.v1.train.export_meta_graph()
  assert "monolith_hash_tables" in meta_graph.collection_def
  with _graph() as session:
    tf.compat.v1.train.import_meta_graph(meta_graph)
    (table,) = tf.compat.v1.get_collection("monolith_hash_tables")
    table = table.apply_gradients(_ids(1), tf.ones([1, 2]), _step())
    assert session.run(table.lookup(_ids(1))).tolist() == [[-1, -1]]


def test_the_file_name_of_a_table():
  with tf.Graph().as_default():
    table = new_table(1, name_suffix="a/b:c")
  assert hash_table_ops._table_tensor_prefix(table) == "MonolithHashTable_a-b-c"


def test_random_first_values_depend_on_the_seed_of_the_graph():
  def rows(seed):
    with _graph() as session:
      tf.compat.v1.set_random_seed(seed)
      table = hash_table_ops.hash_table_from_config(_config(4, initializer=entry.RandomUniformInitializer(-1, 1)))
      return session.run(table.assign_add(_ids(1, 2), tf.zeros([2, 4])).lookup(_ids(1, 2)))

  np.testing.assert_array_equal(rows(1), rows(1))
  assert not np.array_equal(rows(1), rows(2))


# What wrong arguments say.


def test_python_errors():
  with pytest.raises(ValueError, match="use_gpu is True, but tables live in host memory"):
    new_table(1, use_gpu=True)
  with pytest.raises(ValueError, match="table, shared_name or dim_size is missing; use hash_table_from_config"):
    hash_table_ops.HashTable()
  config = _config(1, 2, rates=[1.0])
  with pytest.raises(ValueError, match="'MonolithHashTable_' has 2 slices but 1 learning rates; give one for each"):
    hash_table_ops.hash_table_from_config(config)
  config = _config(1)
  config.table_config.ClearField("cuckoo")
  with pytest.raises(ValueError, match="'MonolithHashTable_x': the table type is unset"):
    hash_table_ops.hash_table_from_config(config, name_suffix="x")
  made = new_table(1)
  bare = hash_table_ops.HashTable(made.table, "bare", 1)
  with pytest.raises(ValueError, match="'bare' has no learning rates; make it with learning_rate_tensor"):
    bare.apply_gradients(_ids(1), tf.ones([1, 1]), 0)


def _handle(dim=2):
  return new_table(dim).table


T0 = 0
OP_ERRORS = [
  (lambda ops: ops.monolith_hash_table_lookup(_handle(), _ids(1), dim_size=3), "dim_size is 3, but table .* has dim 2"),
  (
    lambda ops: ops.monolith_hash_table_assign(_handle(), _ids(1, 2), tf.ones([3]), T0),
    "MonolithHashTableAssign: id_updates has 3 floats, but 2 ids of table .* need 4; pass a row of 2 for each id",
  ),
  (
    lambda ops: ops.monolith_hash_table_assign_add(_handle(), _ids(1), tf.ones([1, 3]), T0),
    "MonolithHashTableAssignAdd: id_updates has 3 floats, but 1 ids",
  ),
  (
    lambda ops: ops.monolith_hash_table_optimize(_handle(), _ids(1), tf.ones([3]), tf.ones([1]), T0, T0),
    "MonolithHashTableOptimize: id_updates has 3 floats",
  ),
  (
    lambda ops: ops.monolith_hash_table_optimize(_handle(), _ids(1), tf.ones([1, 2]), tf.ones([2]), T0, T0),
    "learning_rate_tensor has 2 elements, but table .* has 1 slices; pass one rate for each",
  ),
  (
    lambda ops: ops.monolith_hash_table_optimize(_handle(), _ids(1), tf.ones([1, 2]), [1.0], T0, T0, queue_size=4),
    "queue_size is 4; updates are not deferred, leave it 0",
  ),
  (
    lambda ops: ops.monolith_hash_table_save(_handle(), "x", random_sleep_ms=-1),
    "random_sleep_ms is -1; it must be at least 0",
  ),
  (lambda ops: ops.monolith_hash_table_save(_handle(), ""), "basename is empty; give the path"),
  (lambda ops: ops.monolith_hash_table_save(_handle(), "x", nshards=100000), "nshards is 100000; it must be at most"),
  (
    lambda ops: ops.monolith_hash_table_save(_handle(), "x", slot_expire_time_config=b"\xff"),
    "slot_expire_time_config is no SlotExpireTimeConfig",
  ),
  (
    lambda ops: ops.monolith_hash_table_restore(_handle(), "x", shard_index=2, num_shards=2),
    "shard_index is 2 of 2 shards",
  ),
  (
    lambda ops: ops.monolith_hash_table_restore(_handle(), tf.constant([], tf.string)),
    "basename is empty; give the path of at least one saved table",
  ),
  (
    lambda ops: ops.monolith_hash_table_lookup_gradient([[0], [1]], _ids(1, 2), tf.ones([1, 2])),
    r"id_indices\[1, 0\] is 1, but input_grads has 1 rows",
  ),
]


@pytest.mark.parametrize("call, message", OP_ERRORS)
@pytest.mark.parametrize("graph", [False, True])
def test_op_errors(call, message, graph):
  with pytest.raises(tf.errors.InvalidArgumentError, match=message):
    if graph:
      with _graph() as session:
        result = call(gen_monolith_ops)
        session.run(tf.nest.map_structure(lambda t: t.op, list(result) if isinstance(result, tuple) else result))
    else:
      call(gen_monolith_ops)


def _create(config, name="t"):
  filter_handle = hash_filter_ops.create_dummy_hash_filter()
  client = gen_monolith_ops.monolith_dummy_sync_client(shared_name="c")
  return gen_monolith_ops.monolith_hash_table(filter_handle, client, config=config, shared_name=name)


def _bad(change):
  config = _config(1).table_config
  change(config)
  return config.SerializeToString()


@pytest.mark.parametrize(
  "config, message",
  [
    (b"\xff", "hash table 't': config is no EmbeddingHashTableConfig; serialize one"),
    (_bad(lambda c: c.ClearField("cuckoo")), "table 't': the table type is unset; set cuckoo"),
    (_bad(lambda c: c.entry_config.segments[0].ClearField("opt_config")), "table 't'.*optimizer"),
    (_bad(lambda c: c.entry_config.segments[0].ClearField("init_config")), "table 't'.*initializer"),
    (_bad(lambda c: c.slot_expire_time_config.slot_expire_times.add(slot=32768)), "slots end at 32767"),
    (_bad(lambda c: c.entry_config.ClearField("segments")), "table 't' has no slices; give it at least one"),
    (_bad(lambda c: setattr(c, "skip_zero_embedding", True)), "skip_zero_embedding is for serving entries"),
  ],
)
def test_configs_that_make_no_table(config, message):
  with pytest.raises(tf.errors.InvalidArgumentError, match=message):
    _create(config)


def test_a_table_needs_a_name():
  with pytest.raises(tf.errors.InvalidArgumentError, match="shared_name is empty; name the hash table"):
    _create(_config(1).table_config.SerializeToString(), name="")


def test_the_same_name_is_the_same_table():
  config = _config(1).table_config.SerializeToString()
  with _graph() as session:
    first, second = (_create(config) for _ in range(2))
    with tf.control_dependencies([gen_monolith_ops.monolith_hash_table_assign(first, _ids(1), [[5.0]], T0)]):
      found = gen_monolith_ops.monolith_hash_table_lookup(second, _ids(1), dim_size=1)
    assert session.run(found).tolist() == [[5]]


def test_lookup_gradient_repeats_rows():
  ids, grads = gen_monolith_ops.monolith_hash_table_lookup_gradient(
    [[1, 0], [0, 0], [1, 5]], _ids(7, 8, 9), tf.constant([[1.0, 2.0], [3.0, 4.0]])
  )
  assert ids.numpy().tolist() == [7, 8, 9] and grads.numpy().tolist() == [[3, 4], [1, 2], [3, 4]]


def test_rows_get_the_sum_of_what_their_copies_get():
  indices, ids, rows = tf.constant([[1, 0], [0, 0], [1, 5]], tf.int64), _ids(7, 8, 9), tf.Variable(tf.ones([3, 2]))
  with tf.GradientTape() as tape:
    _, repeated = gen_monolith_ops.monolith_hash_table_lookup_gradient(indices, ids, rows)
    loss = tf.reduce_sum(repeated * tf.constant([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]))
  assert tape.gradient(loss, rows).numpy().tolist() == [[3, 4], [6, 8], [0, 0]]


@pytest.mark.parametrize("graph", [False, True])
def test_a_lookup_is_a_constant_of_what_was_written_before(graph):
  def loss_of(weight):
    table = new_table(1, learning_rate=lambda: 0.5 * weight)
    table = table.assign(_ids(1), tf.reshape(weight, [1, 1])).apply_gradients(_ids(1), tf.ones([1, 1]), 0)
    return tf.reduce_sum(table.lookup(_ids(1))) * weight

  if graph:
    with _graph() as session:
      weight = tf.compat.v1.get_variable("weight", initializer=2.0)
      (gradient,) = tf.gradients(loss_of(weight), weight)
      session.run(tf.compat.v1.global_variables_initializer())
      assert session.run(gradient) == 1  # the entry: 2 - 0.5 * 2
    return
  weight = tf.Variable(2.0)
  with tf.GradientTape() as tape:
    loss = loss_of(weight)
  assert tape.gradient(loss, weight).numpy() == 1


def _shape(*dims):
  return tf.compat.v1.placeholder(tf.int64, dims)


def _floats(*dims):
  return tf.compat.v1.placeholder(tf.float32, dims)


# A call with one input of a wrong rank.
WRONG_RANKS = [
  lambda ops, t: ops.monolith_hash_table(_handles(2), t, config=b""),
  lambda ops, t: ops.monolith_hash_table_lookup(_handles(2), _shape(3), dim_size=1),
  lambda ops, t: ops.monolith_hash_table_lookup_entry(_handles(2), _shape(3)),
  lambda ops, t: ops.monolith_hash_table_lookup_gradient(_shape(3), _shape(3), _floats(3, 2)),
  lambda ops, t: ops.monolith_hash_table_lookup_gradient(_shape(3, 1), _shape(3, 1), _floats(3, 2)),
  lambda ops, t: ops.monolith_hash_table_lookup_gradient(_shape(3, 1), _shape(3), _floats(3)),
  lambda ops, t: ops.monolith_hash_table_assign(t, _shape(3), _floats(3, 1), _shape(1)),
  lambda ops, t: ops.monolith_hash_table_assign_add(t, _shape(3), _floats(3, 1), _shape(1)),
  lambda ops, t: ops.monolith_hash_table_optimize(t, _shape(3), _floats(3, 1), _floats(1, 1), _shape(), _shape()),
  lambda ops, t: ops.monolith_hash_table_optimize(t, _shape(3), _floats(3, 1), _floats(1), _shape(2), _shape()),
  lambda ops, t: ops.monolith_hash_table_optimize(t, _shape(3), _floats(3, 1), _floats(1), _shape(), _shape(2)),
  lambda ops, t: ops.monolith_hash_table_size(_handles(2)),
  lambda ops, t: ops.monolith_hash_table_save_as_tensor(t, [0], 1, 1, 0),
  lambda ops, t: ops.monolith_hash_table_save_as_tensor(t, 0, [1], 1, 0),
  lambda ops, t: ops.monolith_hash_table_save_as_tensor(t, 0, 1, [1], 0),
  lambda ops, t: ops.monolith_hash_table_save_as_tensor(t, 0, 1, 1, [0]),
  lambda ops, t: ops.monolith_extract_slot_from_entry(tf.constant("x"), fid_v2=True),
  lambda ops, t: ops.monolith_hash_table_save(t, ["x"]),
  lambda ops, t: ops.monolith_hash_table_restore(_handles(2), "x"),
]


def _handles(*dims):
  return tf.compat.v1.placeholder(tf.resource, dims)


@pytest.mark.parametrize("call", WRONG_RANKS)
def test_wrong_ranks_are_refused_when_the_graph_is_built(call):
  with tf.Graph().as_default(), pytest.raises(ValueError, match="must be rank"):
    call(gen_monolith_ops, _handles())


def test_lookup_gradient_needs_as_many_indices_as_ids():
  with tf.Graph().as_default(), pytest.raises(ValueError, match="Dimensions must be equal"):
    gen_monolith_ops.monolith_hash_table_lookup_gradient(_shape(3, 1), _shape(2), _floats(3, 2))
  with pytest.raises(tf.errors.InvalidArgumentError, match="id_indices has 1 rows for 2 id_values"):
    gen_monolith_ops.monolith_hash_table_lookup_gradient([[0]], _ids(1, 2), tf.ones([1, 2]))


@pytest.mark.parametrize(
  "indices, values, grads, shapes",
  [
    ([0], [1], [[1.0]], r"id_indices is \[1\], id_values \[1\], input_grads \[1,1\]"),
    ([[0]], [[1]], [[1.0]], r"id_indices is \[1,1\], id_values \[1,1\]"),
    ([[0]], [1], [1.0], r"input_grads \[1\]"),
    ([[]], [1], [[1.0]], r"id_indices is \[1,0\]"),
  ],
)
def test_lookup_gradient_says_what_shapes_it_takes(indices, values, grads, shapes):
  with pytest.raises(
    tf.errors.InvalidArgumentError, match=shapes + r".*; pass \[ids, at least 1\], \[ids\] and \[rows"
  ):
    gen_monolith_ops.monolith_hash_table_lookup_gradient(tf.constant(indices, tf.int64), values, grads)


def test_scalars_are_checked_where_no_shape_function_runs():
  with pytest.raises(tf.errors.InvalidArgumentError, match=r"req_time has shape \[2\]; pass a scalar"):
    gen_monolith_ops.monolith_hash_table_assign(_handle(), _ids(1), tf.ones([1, 2]), _ids(1, 2))


def test_output_shapes():
  with tf.Graph().as_default():
    ops, t = gen_monolith_ops, _handles()
    assert ops.monolith_hash_table_lookup(t, _shape(3), dim_size=4).shape == [3, 4]
    assert ops.monolith_hash_table_lookup(t, _shape(3, 2), dim_size=4).shape == [6, 4]
    assert ops.monolith_hash_table_lookup(t, _shape(None), dim_size=4).shape.as_list() == [None, 4]
    assert ops.monolith_hash_table_lookup_entry(t, _shape(3)).shape == [3]
    ids, grads = ops.monolith_hash_table_lookup_gradient(_shape(3, 1), _shape(3), _floats(5, 2))
    assert ids.shape == [3] and grads.shape == [3, 2]
    assert ops.monolith_hash_table_assign(t, _shape(3), _floats(3, 2), _shape()).shape == []
    assert ops.monolith_hash_table_size(t).shape == []
    offset, entries = ops.monolith_hash_table_save_as_tensor(t, 0, 1, 1, 0)
    assert offset.shape == [] and entries.shape.as_list() == [None]
    assert ops.monolith_extract_slot_from_entry(tf.compat.v1.placeholder(tf.string, [7]), fid_v2=True).shape == [7]


def test_a_handle_that_was_never_made():
  with _graph() as session:
    handle = gen_monolith_ops.read_monolith_multi_hash_table(shared_name="nothing")
    with pytest.raises((tf.errors.NotFoundError, tf.errors.InvalidArgumentError)):
      session.run(gen_monolith_ops.monolith_hash_table_size(handle))


def test_tables_with_eviction_are_made_and_destroyed_at_once():
  config = _config(1)
  entry.CuckooHashTableConfig(feature_evict_every_n_hours=240).mutate_table(config.table_config)
  for _ in range(20):
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
      table = hash_table_ops.hash_table_from_config(config)
      assert session.run(table.assign(_ids(1), [[1.0]]).lookup(_ids(1))).tolist() == [[1]]
  config.table_config.feature_evict_every_n_hours = 0
  with pytest.raises(tf.errors.InvalidArgumentError, match="feature_evict_every_n_hours is 0; it must be at least 1"):
    hash_table_ops.hash_table_from_config(config)
