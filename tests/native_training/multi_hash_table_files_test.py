# SPDX-License-Identifier: Apache-2.0
"""Saving and restoring multi hash tables: what comes back, what is left out, and what damaged files do.

damaged_files_test.py damages files at every byte.
"""

from monolith.native_training import entry
from monolith.native_training import multi_hash_table_ops
from monolith.native_training.runtime.hash_table import embedding_hash_table_pb2
from monolith.native_training.runtime.ops import gen_monolith_ops

import pathlib

import numpy as np
import pytest
import tensorflow as tf

MultiHashTable = multi_hash_table_ops.MultiHashTable


def _config(dim, optimizer=None, expire=None):
  config = embedding_hash_table_pb2.EmbeddingHashTableConfig()
  entry.CuckooHashTableConfig().mutate_table(config)
  optimizer = optimizer or entry.AdagradOptimizer(initial_accumulator_value=1)
  segment = entry.CombineAsSegment(dim, entry.ZerosInitializer(), optimizer, entry.Fp32Compressor())
  config.entry_config.segments.append(segment)
  for slot, days in (expire or {}).items():
    if slot is None:
      config.slot_expire_time_config.default_expire_time = days
    else:
      config.slot_expire_time_config.slot_expire_times.add(slot=slot, expire_time=days)
  return entry.HashTableConfigInstance(config, [1.0])


def _ids(*values):
  return tf.constant(values, tf.int64)


def _filled(configs, num_ids=10, saver_parallel=-1):
  """Tables that map every fid i of [0, num_ids) to i + 1, in all coordinates."""
  table = MultiHashTable.from_configs(configs, saver_parallel=saver_parallel)
  ids = tf.range(num_ids, dtype=tf.int64)
  rows = tf.cast(ids + 1, tf.float32)[:, tf.newaxis]
  dims = dict(zip(table.table_names, table.get_table_dim_sizes()))
  return table.assign({name: (ids, tf.tile(rows, [1, dim])) for name, dim in dims.items()})


def _values(table, name, *ids):
  return table.lookup({name: _ids(*ids)})[name].numpy()[:, 0].tolist()


def _stat(table, path):
  names, counts = table.feature_stat(path)
  return {name.decode(): int(count) for name, count in zip(names.numpy(), counts.numpy())}


def test_restores_into_other_slot_sets(tmp_path):
  path = str(tmp_path / "t")
  _filled({"slot0": _config(1), "slot1": _config(2), "slot2": _config(3)}).save(path)
  table = _filled({"slot0": _config(1), "slot2": _config(3), "slot3": _config(2)}, num_ids=20).restore(path)
  assert _values(table, "slot0", 0, 9, 10, 19) == [1, 10, 0, 0]  # what the save lacks is gone
  assert _values(table, "slot2", 0, 9) == [1, 10]
  assert _values(table, "slot3", 0, 19) == [0, 0]


def test_state_and_time_come_back(tmp_path):
  path = str(tmp_path / "t")
  configs = {"a": _config(2, entry.AdamOptimizer())}
  table = MultiHashTable.from_configs(configs)
  grads = {"a": (_ids(5), tf.constant([[1.0, -3.0]]))}
  table = table.apply_gradients(grads, tf.constant(1, tf.int64), req_time=tf.constant(77, tf.int64))
  table.save(path)
  again = MultiHashTable.from_configs(configs).restore(path)
  before, after = (t.lookup_entry({"a": _ids(5)})["a"][0].numpy() for t in (table, again))
  assert before == after
  assert embedding_hash_table_pb2.EntryDump.FromString(after).last_update_ts_sec == 77


@pytest.mark.parametrize("shards", [-1, 0, 1, 2, 5])
def test_any_number_of_files(tmp_path, shards):
  path = tmp_path / "deep" / "er" / "t"
  table = _filled({"a": _config(1), "b": _config(2)}, 500, saver_parallel=shards)
  table.save(str(path))
  count = max(shards, 1)
  expected = [f"t{kind}-{i:05d}-of-{count:05d}" for kind in ("", ".meta") for i in range(count)]
  assert sorted(p.name for p in path.parent.iterdir()) == sorted(expected)
  assert _stat(table, str(path)) == {"a": 500, "b": 500}
  again = MultiHashTable.from_configs({"a": _config(1), "b": _config(2)}).restore(str(path))
  np.testing.assert_array_equal(_values(again, "b", *range(500)), np.arange(1, 501))


def test_entries_longer_than_a_block_of_the_file(tmp_path):
  """A block holds 256 KiB, an entry of this table twice that: it lies across blocks, and so do its neighbours."""
  dim = 60_000
  path = str(tmp_path / "t")
  configs = {"wide": _config(dim), "narrow": _config(2)}
  rows = tf.random.stateless_normal([3, dim], [1, 2])
  _filled(configs, num_ids=0).assign({"wide": (_ids(5, 6, 7), rows), "narrow": (_ids(1), tf.ones([1, 2]))}).save(path)
  table = _filled(configs, num_ids=9).restore(path)
  np.testing.assert_array_equal(table.lookup({"wide": _ids(5, 6, 7)})["wide"], rows)
  assert _values(table, "narrow", 1, 2) == [1, 0]


def test_meta_files_are_tfrecords_of_metadata(tmp_path):
  _filled({"a": _config(1), "b": _config(2)}, 3).assign({"b": (_ids(90), tf.ones([1, 2]))}).save(str(tmp_path / "t"))
  records = tf.data.TFRecordDataset(str(tmp_path / "t.meta-00000-of-00001"))
  found = [embedding_hash_table_pb2.MultiHashTableMetadata.FromString(r) for r in records.as_numpy_iterator()]
  assert [(m.table_name, m.num_entries) for m in found] == [("a", 3), ("b", 4)]


def test_save_over_one_with_another_number_of_files(tmp_path):
  path = str(tmp_path / "t")
  _filled({"a": _config(1)}, 10, saver_parallel=4).save(path)
  (tmp_path / "t10-00000-of-00004").write_text("of a table with a longer name")
  table = _filled({"a": _config(1)}, 2, saver_parallel=2)
  table.save(path)
  names = sorted(p.name for p in tmp_path.iterdir())
  assert names == ["t-00000-of-00002", "t-00001-of-00002", "t.meta-00000-of-00002", "t.meta-00001-of-00002",
                   "t10-00000-of-00004"]  # fmt: skip
  assert _values(_filled({"a": _config(1)}).restore(path), "a", 0, 1, 2) == [1, 2, 0]


def test_empty_table(tmp_path):
  path = str(tmp_path / "t")
  table = MultiHashTable.from_configs({"a": _config(1)})
  table.save(path)
  assert _stat(table, path) == {"a": 0}
  assert _values(_filled({"a": _config(1)}).restore(path), "a", 0) == [0]


def test_temporary_files_are_ignored(tmp_path):
  path = str(tmp_path / "t")
  _filled({"a": _config(1)}).save(path)
  for name in ("t-00000-of-00007-tmp-1234", "t.meta-00000-of-00001-tmp-1234", "t-random-string", "t1-00000-of-00002"):
    (tmp_path / name).write_bytes(b"unfinished")
  assert _values(MultiHashTable.from_configs({"a": _config(1)}).restore(path), "a", 0, 9) == [1, 10]


@pytest.mark.parametrize(
  "expire, stamps, kept",
  [
    ({None: 1}, (10_000_000 - 86401, 10_000_000 - 86399, 10_000_000), (False, True, True)),
    ({None: 1}, (10_000_000 - 86400, 10_000_000, 10_000_000), (False, True, True)),
    ({None: 0}, (100, 100, 200), (False, False, False)),
    ({}, (1, 2, 3), (True, True, True)),
    ({None: 1}, (0, 0, 0), (True, True, True)),
    ({None: 1}, (500, 500, 500), (True, True, True)),
  ],
)
def test_save_leaves_out_expired_entries_but_keeps_them_in_memory(tmp_path, expire, stamps, kept):
  path = str(tmp_path / "t")
  configs = {"a": _config(1, expire=expire), "forever": _config(1)}
  table = MultiHashTable.from_configs(configs)
  for fid, stamp in enumerate(stamps):
    pair = (_ids(fid), tf.ones([1, 1]))
    table = table.assign({"a": pair, "forever": pair}, req_time=tf.constant(stamp, tf.int64))
  table.save(path)
  assert _values(table, "a", 0, 1, 2) == [1, 1, 1]
  again = MultiHashTable.from_configs(configs).restore(path)
  assert _values(again, "a", 0, 1, 2) == [float(k) for k in kept]
  assert _values(again, "forever", 0, 1, 2) == [1, 1, 1]  # each table has its own config


def test_expiry_is_by_slot(tmp_path):
  path = str(tmp_path / "t")
  configs = {"a": _config(1, expire={1: 0, 2: 1})}
  table = MultiHashTable.from_configs(configs)
  pair = (_ids(1 << 48, 2 << 48), tf.ones([2, 1]))
  table.assign({"a": pair}, req_time=tf.constant(100, tf.int64)).save(path)
  assert _values(MultiHashTable.from_configs(configs).restore(path), "a", 1 << 48, 2 << 48) == [0, 1]


def test_expire_times_of_the_op_stand_for_those_of_all_tables(tmp_path):
  path = str(tmp_path / "t")
  configs = {"a": _config(1, expire={None: 1}), "b": _config(1)}
  table = MultiHashTable.from_configs(configs)
  for ids, time in ((_ids(1), 0), (_ids(2), 2 * 86400)):
    pair = (ids, tf.ones([1, 1]))
    table = table.assign({"a": pair, "b": pair}, req_time=tf.constant(time, tf.int64))
  for days, kept in ((3, [1, 1]), (2, [0, 1]), (0, [0, 0])):
    expire = embedding_hash_table_pb2.SlotExpireTimeConfig(default_expire_time=days).SerializeToString()
    gen_monolith_ops.monolith_multi_hash_table_save(table.handle, path, slot_expire_time_config=expire)
    again = MultiHashTable.from_configs(configs).restore(path)
    assert _values(again, "a", 1, 2) == _values(again, "b", 1, 2) == kept


@pytest.mark.parametrize("num_shards", [1, 2, 3])
def test_shards_take_unsigned_fid_mod_num_shards(tmp_path, num_shards):
  path = str(tmp_path / "t")
  fids = [0, 1, 2, 3, 4, -1, -2, -3, 1 << 62, -(1 << 63)]
  source = MultiHashTable.from_configs({"a": _config(1)})
  source.assign({"a": (_ids(*fids), tf.ones([len(fids), 1]))}).save(path)
  for shard in range(num_shards):
    table = MultiHashTable.from_configs({"a": _config(1)}).restore(path, shard, num_shards)
    expected = [float((fid % (1 << 64)) % num_shards == shard) for fid in fids]
    assert _values(table, "a", *fids) == expected


def test_several_saves_are_put_together_and_the_newer_entry_wins(tmp_path):
  paths = [str(tmp_path / name) for name in "xy"]
  for path, ids, value, time in ((paths[0], (1, 2), 5.0, 20), (paths[1], (2, 3), 7.0, 10)):
    table = MultiHashTable.from_configs({"a": _config(1)})
    table.assign({"a": (_ids(*ids), tf.fill([2, 1], value))}, req_time=tf.constant(time, tf.int64)).save(path)
  for order in (paths, paths[::-1]):
    table = MultiHashTable.from_configs({"a": _config(1)}).restore(tf.constant(order))
    assert _values(table, "a", 1, 2, 3) == [5, 5, 7]


@pytest.mark.parametrize("index, num_shards", [(1, 1), (-1, 2), (0, 0)])
def test_shard_index_out_of_range(index, num_shards):
  table = MultiHashTable.from_configs({"a": _config(1)})
  with pytest.raises(tf.errors.InvalidArgumentError, match=f"shard_index is {index} of {num_shards} shards"):
    table.restore("anywhere", index, num_shards)


def test_a_wider_table_keeps_initial_values_in_the_tail_and_a_narrower_one_refuses(tmp_path):
  path = str(tmp_path / "t")
  _filled({"a": _config(2)}).save(path)
  wider = MultiHashTable.from_configs({"a": _config(3)}).restore(path)
  assert wider.lookup({"a": _ids(4)})["a"].numpy().tolist() == [[5, 5, 0]]
  narrower = _filled({"a": _config(1)}, num_ids=2)
  with pytest.raises(
    tf.errors.InvalidArgumentError, match="t-.*: table 'a' has dim 1, but the saved entry of fid . has 2"
  ):
    narrower.restore(path)
  assert _values(narrower, "a", 0, 1, 2) == [1, 2, 0]


def test_another_optimizer_starts_with_fresh_state(tmp_path):
  path = str(tmp_path / "t")
  _filled({"a": _config(1)}).save(path)
  table = MultiHashTable.from_configs({"a": _config(1, entry.FtrlOptimizer(initial_accumulator_value=0.5))}).restore(
    path
  )
  dump = embedding_hash_table_pb2.EntryDump.FromString(table.lookup_entry({"a": _ids(4)})["a"][0].numpy())
  assert list(dump.num) == [5] and list(dump.opt.dump[0].ftrl.norm) == [0.5]


# Damage. `victim` names the file that a message must name.

Errors = (tf.errors.InvalidArgumentError, tf.errors.DataLossError)
DATA, META = "t-00001-of-00003", "t.meta-00001-of-00003"


def _remove(path: pathlib.Path):
  path.unlink()


def _truncate(path: pathlib.Path):
  path.write_bytes(path.read_bytes()[:-7])


def _empty(path: pathlib.Path):
  path.write_bytes(b"")


def _flip_a_bit(path: pathlib.Path):
  content = bytearray(path.read_bytes())
  content[len(content) // 2] ^= 4
  path.write_bytes(bytes(content))


def _append(path: pathlib.Path):
  path.write_bytes(path.read_bytes() + b"more")


def _mix_totals(path: pathlib.Path):
  path.with_name(path.name.replace("of-00003", "of-00004")).write_bytes(path.read_bytes())


def _beyond_total(path: pathlib.Path):
  path.with_name(path.name.replace("00001-of", "00003-of")).write_bytes(path.read_bytes())


DAMAGES = [_remove, _truncate, _empty, _flip_a_bit, _mix_totals, _beyond_total]


@pytest.mark.parametrize("damage, victim", [(_append, DATA)] + [(d, v) for d in DAMAGES for v in (DATA, META)])
def test_a_damaged_save_is_named_and_the_table_stays(tmp_path, damage, victim):
  path = str(tmp_path / "t")
  _filled({"a": _config(3), "b": _config(1)}, 300, saver_parallel=3).save(path)
  damage(tmp_path / victim)
  table = _filled({"a": _config(3), "b": _config(1)}, 5)
  # Fewer metadata than data says no more than that records are left over; the data file is named then.
  named = DATA[:2] if damage is _empty and victim == META else victim.split("-0")[0]
  with pytest.raises(Errors, match=str(tmp_path / named).replace(".", r"\.")):
    table.restore(path)
  assert _values(table, "a", 0, 4, 5, 100) == [1, 5, 0, 0]
  assert _values(table, "b", 0, 4, 5, 100) == [1, 5, 0, 0]


def test_wrong_counts_in_the_metadata_are_noticed(tmp_path):
  path = str(tmp_path / "t")
  configs = {"a": _config(2)}
  _filled(configs, 20, saver_parallel=1).save(path)
  table = _filled(configs, 2)
  for count, message in ((19, "goes on after the last record"), (21, "record 20 of 21 of table 'a'")):
    with tf.io.TFRecordWriter(str(tmp_path / "t.meta-00000-of-00001")) as writer:
      writer.write(
        embedding_hash_table_pb2.MultiHashTableMetadata(table_name="a", num_entries=count).SerializeToString()
      )
    with pytest.raises(tf.errors.DataLossError, match=message):
      table.restore(path)
  with tf.io.TFRecordWriter(str(tmp_path / "t.meta-00000-of-00001")) as writer:
    writer.write(b"\xff\xff\xff")
  with pytest.raises(tf.errors.DataLossError, match="a record is no MultiHashTableMetadata"):
    table.restore(path)
  with pytest.raises(tf.errors.DataLossError, match=r"t\.meta-00000-of-00001 is damaged"):
    table.feature_stat(path)
  assert _values(table, "a", 0, 1, 2) == [1, 2, 0]


def test_data_and_metadata_of_different_saves(tmp_path):
  path = str(tmp_path / "t")
  _filled({"a": _config(1)}, 10, saver_parallel=3).save(path)
  for i in range(3):
    (tmp_path / f"t.meta-0000{i}-of-00003").unlink()
  (tmp_path / "t.meta-00000-of-00001").write_bytes(b"")
  with pytest.raises(tf.errors.InvalidArgumentError, match="has 3 data files and 1 metadata files"):
    MultiHashTable.from_configs({"a": _config(1)}).restore(path)


def test_missing_files_and_directories(tmp_path):
  table = _filled({"a": _config(1)})
  with pytest.raises(tf.errors.InvalidArgumentError, match="no saved shard of .*absent exists; check the path"):
    table.restore(str(tmp_path / "absent"))
  with pytest.raises(tf.errors.InvalidArgumentError, match="directory .*nowhere of the saved table .* does not exist"):
    table.restore(str(tmp_path / "nowhere" / "t"))
  with pytest.raises(tf.errors.InvalidArgumentError, match="no saved shard of .*absent.meta exists"):
    table.feature_stat(str(tmp_path / "absent"))
  assert _values(table, "a", 0, 9) == [1, 10]


def test_a_save_that_fails_leaves_no_file(tmp_path):
  (tmp_path / "file").write_text("in the way")
  table = _filled({"a": _config(1)})
  with pytest.raises(tf.errors.OpError):
    table.save(str(tmp_path / "file" / "t"))
  assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_save_is_one_cut_of_all_tables(tmp_path):
  """A chain of steps adds 1 to table a, then to table b, and so on: a cut holds as much of b as of a, or one less."""
  num_steps, num_saves = 60, 6
  with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    table = MultiHashTable.from_configs({"a": _config(1), "b": _config(1)}, saver_parallel=3)
    session.run(table.initializer)
    ids = tf.range(2000, dtype=tf.int64)
    ones = tf.ones([2000, 1])
    chained = table
    for _ in range(num_steps):
      chained = chained.assign_add({"a": (ids, ones)}).assign_add({"b": (ids, ones)})
    saves = [table.save(str(tmp_path / f"t{i}")).as_op() for i in range(num_saves)]
    session.run([chained.as_op(), *saves])
    for i in range(num_saves):
      session.run(table.restore(str(tmp_path / f"t{i}")).as_op())
      found = session.run(table.lookup({"a": ids, "b": ids}))
      (a,), (b,) = (np.unique(found[name]) for name in "ab")
      assert a - b in (0, 1) and 0 <= b and a <= num_steps


def test_more_files_than_names_can_number_are_refused(tmp_path):
  table = _filled({"a": _config(1)}, saver_parallel=100000)
  with pytest.raises(tf.errors.InvalidArgumentError, match="nshards is 100000; it must be at most 99999"):
    table.save(str(tmp_path / "t"))
  assert not list(tmp_path.iterdir())


def test_empty_path_is_refused():
  with pytest.raises(tf.errors.InvalidArgumentError, match="basename is empty; give the path"):
    _filled({"a": _config(1)}).save("")


@pytest.mark.parametrize("config, message", [
  (b"\xff", "slot_expire_time_config is no SlotExpireTimeConfig; serialize one"),
  (b"\x0a\x04\x08\x80\x80\x02", "expire time of slot 32768: slots end at 32767; correct the slot"),
])  # fmt: skip
def test_expire_times_that_make_no_sense_are_refused(tmp_path, config, message):
  table = _filled({"a": _config(1)})
  with pytest.raises(tf.errors.InvalidArgumentError, match=message):
    gen_monolith_ops.monolith_multi_hash_table_save(table.handle, str(tmp_path / "t"), slot_expire_time_config=config)
  assert not list(tmp_path.iterdir())


def test_forty_files_are_written_by_few_threads(tmp_path):
  table = _filled({"a": _config(1)}, 1000, saver_parallel=40)
  table.save(str(tmp_path / "t"))
  assert _stat(table, str(tmp_path / "t")) == {"a": 1000}
  assert _values(MultiHashTable.from_configs({"a": _config(1)}).restore(str(tmp_path / "t")), "a", 0, 999) == [1, 1000]
