# SPDX-License-Identifier: Apache-2.0
"""Saved tables are promises: committed files load with the values they were written with, and are written alike.

`multi_table/` and `single_table/` were written by `PYTHONPATH=tests
python tests/golden/table_files_test.py`. Writing them anew is a
change of the file format: do it only with a way to read the old one.
"""

from monolith.native_training import entry
from monolith.native_training import hash_table_ops
from monolith.native_training import multi_hash_table_ops
from monolith.native_training.runtime.hash_table import embedding_hash_table_pb2

import pathlib
import struct

import numpy as np
import pytest
import record_framing
import tensorflow as tf

GOLDEN = pathlib.Path(__file__).parent / "multi_table" / "golden"
SINGLE = pathlib.Path(__file__).parent / "single_table" / "golden"
NUM_SHARDS = 2
ITEM_FIDS = [1 << 48, (1 << 48) + 1, (32767 << 48) + 5, -7, 0]
USER_FIDS = [2 << 48, (2 << 48) + 99]


def _config(*slices):
  config = embedding_hash_table_pb2.EmbeddingHashTableConfig()
  entry.CuckooHashTableConfig().mutate_table(config)
  for dim, optimizer in slices:
    config.entry_config.segments.append(
      entry.CombineAsSegment(dim, entry.ConstantsInitializer(0.5), optimizer, entry.Fp32Compressor())
    )
  return entry.HashTableConfigInstance(config, [0.25] * len(slices))


def _new_tables():
  item = _config(
    (1, entry.SgdOptimizer()), (2, entry.AdagradOptimizer(initial_accumulator_value=1)), (2, entry.AdamOptimizer())
  )
  user = _config((3, entry.FtrlOptimizer(initial_accumulator_value=1)))
  return multi_hash_table_ops.MultiHashTable.from_configs(
    {"item": item, "user": user, "empty": _config((1, entry.SgdOptimizer()))}, saver_parallel=NUM_SHARDS
  )


def _fill(table):
  """Sums of powers of two, so that the values are exact; steps of 0 gradient leave state that is exact as well."""
  item = tf.constant(ITEM_FIDS, tf.int64)
  user = tf.constant(USER_FIDS, tf.int64)
  table = table.assign(
    {"item": (item, tf.reshape(tf.range(25.0), [5, 5]) / 8), "user": (user, -tf.ones([2, 3]))},
    req_time=tf.constant(1_600_000_000, tf.int64),
  )
  grads = {"item": (item[:2], tf.zeros([2, 5])), "user": (user[:1], tf.zeros([1, 3]))}
  return table.apply_gradients(grads, tf.constant(1, tf.int64), req_time=tf.constant(1_700_000_000, tf.int64))


def _data_records(path):
  return record_framing.tf_records(record_framing.unsnappy(path.read_bytes()))


def _saved(basename):
  """(table, serialized entry) of all shards, and the total of each table."""
  entries, totals = [], {}
  for shard in range(NUM_SHARDS):
    suffix = f"-{shard:05d}-of-{NUM_SHARDS:05d}"
    records = _data_records(basename.with_name(basename.name + suffix))
    for raw in tf.data.TFRecordDataset(str(basename) + ".meta" + suffix).as_numpy_iterator():
      meta = embedding_hash_table_pb2.MultiHashTableMetadata.FromString(raw)
      entries += [(meta.table_name, record) for record in records[: meta.num_entries]]
      records = records[meta.num_entries :]
      totals[meta.table_name] = totals.get(meta.table_name, 0) + meta.num_entries
    assert not records
  return sorted(entries), totals


def test_committed_files_load():
  table = _new_tables().restore(str(GOLDEN))
  names = {"item": tf.constant(ITEM_FIDS, tf.int64), "user": tf.constant([*USER_FIDS, 3], tf.int64)}
  found = table.lookup(names)
  np.testing.assert_array_equal(found["item"], np.arange(25).reshape(5, 5) / 8)
  # Of the two users the first took a step, and FTRL's step rebuilds the weight from its state, which assign left alone.
  np.testing.assert_array_equal(found["user"], [[0, 0, 0], [-1, -1, -1], [0, 0, 0]])
  entries = table.lookup_entry(names)
  stepped, assigned = (embedding_hash_table_pb2.EntryDump.FromString(e.numpy()) for e in entries["item"][1:3])
  assert (stepped.last_update_ts_sec, assigned.last_update_ts_sec) == (1_700_000_000, 1_600_000_000)
  sgd, adagrad, adam = stepped.opt.dump
  assert sgd.HasField("sgd") and list(adagrad.adagrad.norm) == [1, 1]
  assert list(adam.adam.m) == [0, 0] and list(adam.adam.v) == [0, 0]
  np.testing.assert_allclose([adam.adam.beta1_power, adam.adam.beta2_power], [0.81, 0.9801], rtol=1e-6)
  np.testing.assert_allclose(assigned.opt.dump[2].adam.beta1_power, 0.9, rtol=1e-6)
  assert (
    list(embedding_hash_table_pb2.EntryDump.FromString(entries["user"][0].numpy()).opt.dump[0].ftrl.norm) == [1] * 3
  )


def test_committed_entry_bytes():
  """One record spelt out: fid, floats one by one, an optimizer message a slice, the stamp."""
  entries, totals = _saved(GOLDEN)
  assert totals == {"empty": 0, "item": 5, "user": 2}
  (user,) = [e for name, e in entries if name == "user" and e[1:9] == struct.pack("<q", USER_FIDS[1])]
  floats = b"".join(b"\x15" + struct.pack("<f", -1.0) for _ in range(3))
  zero = b"".join(b"\x0d" + struct.pack("<f", 0.0) for _ in range(3))
  norm = b"".join(b"\x15" + struct.pack("<f", 1.0) for _ in range(3))
  ftrl = b"\x1a" + bytes([len(zero + norm)]) + zero + norm
  opt = b"\x0a" + bytes([len(ftrl)]) + ftrl
  stamp = b"\x20\x80\xa0\xf8\xfa\x05"  # 1,600,000,000
  assert user == b"\x09" + struct.pack("<q", USER_FIDS[1]) + floats + b"\x1a" + bytes([len(opt)]) + opt + stamp


@pytest.mark.parametrize("source", ["restored", "trained"])
def test_a_save_has_the_same_records(tmp_path, source):
  table = _new_tables().restore(str(GOLDEN)) if source == "restored" else _fill(_new_tables())
  table.save(str(tmp_path / "again"))
  assert _saved(tmp_path / "again") == _saved(GOLDEN)


def test_files_of_another_writer_load(tmp_path):
  """Entries by the protobuf library, framed by hand, compressed as literals only."""
  entries = []
  for fid in (5, -5):
    dump = embedding_hash_table_pb2.EntryDump(id=fid, num=[fid, 1, 2], last_update_ts_sec=9)
    dump.opt.dump.add().ftrl.norm.extend([4, 5, 6])
    dump.opt.dump[0].ftrl.zero.extend([7, 8, 9])
    entries.append(dump.SerializeToString())
  stream = b"".join(record_framing.tf_record(record) for record in entries)
  (tmp_path / "t-00000-of-00001").write_bytes(record_framing.snappy(stream))
  with tf.io.TFRecordWriter(str(tmp_path / "t.meta-00000-of-00001")) as writer:
    meta = embedding_hash_table_pb2.MultiHashTableMetadata(table_name="user", num_entries=2)
    writer.write(meta.SerializeToString())
  table = _new_tables().restore(str(tmp_path / "t"))
  found = table.lookup_entry({"user": tf.constant([5, -5], tf.int64)})["user"].numpy()
  for raw, record in zip(found, entries):
    dump = embedding_hash_table_pb2.EntryDump.FromString(record)
    dump.ClearField("id")
    assert embedding_hash_table_pb2.EntryDump.FromString(raw) == dump


def _new_single():
  optimizer = entry.AdagradOptimizer(initial_accumulator_value=1)
  config = _config((1, entry.SgdOptimizer()), (2, optimizer))
  return hash_table_ops.hash_table_from_config(config, saver_parallel=NUM_SHARDS)


def _fill_single(table):
  fids = tf.constant(ITEM_FIDS, tf.int64)
  rows = tf.reshape(tf.range(15.0), [5, 3]) / 8
  table = table.assign(fids, rows, req_time=tf.constant(1_600_000_000, tf.int64))
  return table.apply_gradients(fids[:2], tf.zeros([2, 3]), 1, req_time=tf.constant(1_700_000_000, tf.int64))


def _single_records(basename):
  """The records of all shards, by TensorFlow's reader of uncompressed TFRecords."""
  files = [f"{basename}-{shard:05d}-of-{NUM_SHARDS:05d}" for shard in range(NUM_SHARDS)]
  return sorted(tf.data.TFRecordDataset(files).as_numpy_iterator())


def test_committed_files_of_a_single_table_load():
  table = _new_single().restore(str(SINGLE))
  fids = tf.constant([*ITEM_FIDS, 3], tf.int64)
  expected = np.concatenate([np.arange(15).reshape(5, 3) / 8, np.zeros([1, 3])])
  np.testing.assert_array_equal(table.lookup(fids), expected)
  stepped, _, assigned = (
    embedding_hash_table_pb2.EntryDump.FromString(e) for e in table.lookup_entry(fids).numpy()[:3]
  )
  assert (stepped.last_update_ts_sec, assigned.last_update_ts_sec) == (1_700_000_000, 1_600_000_000)
  assert stepped.opt.dump[0].HasField("sgd") and list(stepped.opt.dump[1].adagrad.norm) == [1, 1]


@pytest.mark.parametrize("source", ["restored", "trained"])
def test_a_save_of_a_single_table_has_the_same_records(tmp_path, source):
  table = _new_single().restore(str(SINGLE)) if source == "restored" else _fill_single(_new_single())
  table.save(str(tmp_path / "again"))
  assert _single_records(tmp_path / "again") == _single_records(SINGLE)


def test_the_bytes_of_a_record(tmp_path):
  """One slice of SGD, dim 1: id 1 << 48, value 2.5, stamp 100."""
  table = hash_table_ops.hash_table_from_config(_config((1, entry.SgdOptimizer())))
  table.assign([1 << 48], [[2.5]], req_time=100).save(str(tmp_path / "t"))
  (record,) = tf.data.TFRecordDataset(str(tmp_path / "t-00000-of-00001")).as_numpy_iterator()
  assert record == bytes.fromhex("09 00 00 00 00 00 00 01 00 15 00 00 20 40 1A 04 0A 02 12 00 20 64")


def _mix64(x):
  mask = (1 << 64) - 1
  x ^= x >> 33
  x = x * 0xFF51AFD7ED558CCD & mask
  x ^= x >> 33
  x = x * 0xC4CEB9FE1A85EC53 & mask
  return x ^ x >> 33


def _random_uniform(seed, slice_index, fid, dim):
  """The initial values of a slice on [0, 1), from the definition in cc/hash_table/initializer.cc."""
  mask, golden = (1 << 64) - 1, 0x9E3779B97F4A7C15
  counter = _mix64((fid & mask) ^ _mix64(seed + golden * (slice_index + 1) & mask))
  return [(_mix64(counter + golden * (i + 1) & mask) >> 40) * 2.0**-24 for i in range(dim)]


def test_random_initial_values_stay_what_they_are():
  assert _random_uniform(7, 0, 1 << 48, 2) == [0.2493038773536682, 0.7433071732521057]
  config = embedding_hash_table_pb2.EmbeddingHashTableConfig()
  entry.CuckooHashTableConfig().mutate_table(config)
  uniform = entry.RandomUniformInitializer(0, 1)
  for dim in (2, 3):
    config.entry_config.segments.append(
      entry.CombineAsSegment(dim, uniform, entry.SgdOptimizer(), entry.Fp32Compressor())
    )
  with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    tf.compat.v1.set_random_seed(7)
    instance = entry.HashTableConfigInstance(config, [1.0, 1.0])
    table = multi_hash_table_ops.MultiHashTable.from_configs({"a": instance})
    session.run(table.initializer)
    fids = [1 << 48, -3]
    ids = tf.constant(fids, tf.int64)
    found = session.run(table.assign_add({"a": (ids, tf.zeros([2, 5]))}).lookup({"a": ids})["a"])
  expected = [_random_uniform(7, 0, fid, 2) + _random_uniform(7, 1, fid, 3) for fid in fids]
  np.testing.assert_array_equal(found, expected)


if __name__ == "__main__":
  _fill(_new_tables()).save(str(GOLDEN))
  _fill_single(_new_single()).save(str(SINGLE))
