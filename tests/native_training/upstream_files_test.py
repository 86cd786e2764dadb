# SPDX-License-Identifier: Apache-2.0
"""Files as the original system writes them, in odd shapes: entries by the protobuf library, framed byte by byte."""

from monolith.native_training import entry
from monolith.native_training import multi_hash_table_ops
from monolith.native_training.runtime.hash_table import embedding_hash_table_pb2

import numpy as np
import pytest
import record_framing
import tensorflow as tf

EntryDump = embedding_hash_table_pb2.EntryDump
Metadata = embedding_hash_table_pb2.MultiHashTableMetadata
INITIAL = 0.5  # of every weight
ADAGRAD = entry.AdagradOptimizer(initial_accumulator_value=2)


def _config(*slices):
  config = embedding_hash_table_pb2.EmbeddingHashTableConfig()
  entry.CuckooHashTableConfig().mutate_table(config)
  for dim, optimizer in slices:
    config.entry_config.segments.append(
      entry.CombineAsSegment(dim, entry.ConstantsInitializer(INITIAL), optimizer, entry.Fp32Compressor())
    )
  return entry.HashTableConfigInstance(config, [1.0] * len(slices))


def _dump(fid, num, stamp=None, **states):
  """An entry; states are {member of SingleOptimizerDump: {field: value}}, in slice order."""
  dump = EntryDump(id=fid, num=num, last_update_ts_sec=stamp)
  for member, fields in states.items():
    single = dump.opt.dump.add()
    getattr(single, member).SetInParent()
    for field, value in fields.items():
      if isinstance(value, list):
        getattr(getattr(single, member), field).extend(value)
      else:
        setattr(getattr(single, member), field, value)
  return dump


def _write(basename, shards, block_bytes=50, meta_tail=b""):
  """Shards are lists of (table, its records); a record is a message or bytes."""
  for i, tables in enumerate(shards):
    suffix = f"-{i:05d}-of-{len(shards):05d}"
    records = [r if isinstance(r, bytes) else r.SerializeToString() for _, own in tables for r in own]
    metas = [Metadata(table_name=name, num_entries=len(own)).SerializeToString() + meta_tail for name, own in tables]
    stream = b"".join(map(record_framing.tf_record, records))
    basename.with_name(basename.name + suffix).write_bytes(record_framing.snappy(stream, block_bytes))
    meta = basename.with_name(basename.name + ".meta" + suffix)
    meta.write_bytes(b"".join(map(record_framing.tf_record, metas)))


def _restored(tmp_path, slices, records, **kwargs):
  """{fid: the entry that a table of these slices has after a restore of records}."""
  path = tmp_path / "t"
  _write(path, [[("a", records)]], **kwargs)
  table = multi_hash_table_ops.MultiHashTable.from_configs({"a": _config(*slices)}).restore(str(path))
  fids = [(r if isinstance(r, EntryDump) else EntryDump.FromString(r)).id for r in records]
  found = table.lookup_entry({"a": tf.constant(fids, tf.int64)})["a"].numpy()
  return {fid: EntryDump.FromString(raw) for fid, raw in zip(fids, found, strict=True)}


def _norms(dump):
  return [list(single.adagrad.norm) for single in dump.opt.dump]


@pytest.mark.parametrize("block_bytes", [7, 100, 100000])
def test_three_shards_in_blocks_of_any_size(tmp_path, block_bytes):
  fids = [0, 1, 2, -1, -2, 1 << 62, -(1 << 63), *range(100, 130)]
  entries = [_dump(fid, [i, -i], i + 1, adagrad={"norm": [i + 3, i + 4]}) for i, fid in enumerate(fids)]
  others = [_dump(fid, [i]) for i, fid in enumerate(fids)]
  shards = [[("a", entries[i::3]), ("b", others[i + 1 :: 3] if i < 2 else others[::3])] for i in range(3)]
  _write(tmp_path / "t", shards, block_bytes)
  configs = {"a": _config((2, ADAGRAD)), "b": _config((1, ADAGRAD))}
  table = multi_hash_table_ops.MultiHashTable.from_configs(configs).restore(str(tmp_path / "t"))
  ids = tf.constant(fids, tf.int64)
  found = table.lookup_entry({"a": ids, "b": ids})
  for raw, written in zip(found["a"].numpy(), entries, strict=True):
    expected = EntryDump()
    expected.CopyFrom(written)
    expected.ClearField("id")
    assert EntryDump.FromString(raw) == expected
  assert [list(EntryDump.FromString(raw).num) for raw in found["b"].numpy()] == [[i] for i in range(len(fids))]


def test_fields_that_are_missing(tmp_path):
  adagrad = {"adagrad": {"norm": [7, 8]}}
  found = _restored(
    tmp_path,
    [(2, ADAGRAD)],
    [_dump(1, [3, 4], 9), _dump(2, [3, 4], **adagrad), _dump(3, [], 9, **adagrad), _dump(4, [3], 9), _dump(5, [])],
  )
  assert [list(found[fid].num) for fid in range(1, 6)] == [[3, 4], [3, 4], [0.5, 0.5], [3, 0.5], [0.5, 0.5]]
  assert [_norms(found[fid])[0] for fid in range(1, 6)] == [[2, 2], [7, 8], [7, 8], [2, 2], [2, 2]]
  assert [found[fid].last_update_ts_sec for fid in range(1, 6)] == [9, 0, 9, 9, 0]


def test_stamps_outside_of_32_bits(tmp_path):
  found = _restored(tmp_path, [(1, ADAGRAD)], [_dump(1, [1], -5), _dump(2, [1], 1 << 40)])
  assert [found[fid].last_update_ts_sec for fid in (1, 2)] == [0, 2**32 - 1]


def test_a_fid_that_is_missing_is_0(tmp_path):
  assert list(_restored(tmp_path, [(1, ADAGRAD)], [EntryDump(num=[3]).SerializeToString()])[0].num) == [3]


def test_unknown_fields_and_another_order(tmp_path):
  known = _dump(1, [3, 4], 9, adagrad={"norm": [7, 8]})
  stamp, opt = EntryDump(last_update_ts_sec=9), EntryDump(opt=known.opt)
  unknown = b"\xa0\x06\x05" + b"\x9a\x06\x03abc" + b"\x79" + bytes(8) + b"\x85\x01" + bytes(4)  # of each wire type
  inside = bytearray(opt.SerializeToString())
  inside[1] += len(unknown)  # the length of opt
  records = [
    unknown + known.SerializeToString() + unknown,
    stamp.SerializeToString() + bytes(inside) + unknown + EntryDump(id=2, num=[3, 4]).SerializeToString(),
  ]
  found = _restored(tmp_path, [(2, ADAGRAD)], records, meta_tail=unknown)
  for fid in (1, 2):
    assert (list(found[fid].num), _norms(found[fid]), found[fid].last_update_ts_sec) == ([3, 4], [[7, 8]], 9)


def test_a_packed_list_is_a_list(tmp_path):
  packed = np.float32([3, 4]).tobytes()
  record = EntryDump(id=1).SerializeToString() + b"\x12" + bytes([len(packed)]) + packed
  assert list(_restored(tmp_path, [(2, ADAGRAD)], [record])[1].num) == [3, 4]


def test_tables_that_came_and_went(tmp_path):
  def one(x):
    return [_dump(1, [x])]

  _write(
    tmp_path / "t", [[("gone", one(1)), ("kept", one(2)), ("also_gone", one(3) * 2), ("empty", []), ("last", one(4))]]
  )
  configs = {name: _config((1, ADAGRAD)) for name in ("kept", "new", "empty", "last")}
  table = multi_hash_table_ops.MultiHashTable.from_configs(configs)
  ids = tf.constant([1], tf.int64)
  table.assign({name: (ids, [[9.0]]) for name in configs})
  found = table.restore(str(tmp_path / "t")).lookup({name: ids for name in configs})
  assert {name: row.numpy().tolist() for name, row in found.items()} == {
    "kept": [[2]], "new": [[0]], "empty": [[0]], "last": [[4]]
  }  # fmt: skip


def test_slices_that_came_and_went(tmp_path):
  def two_slices(fid):
    dump = _dump(fid, [3, 4, 5])
    dump.opt.dump.add().adagrad.norm.extend([7])
    dump.opt.dump.add().adagrad.norm.extend([8, 9])
    return dump

  same = _restored(tmp_path, [(1, ADAGRAD), (2, ADAGRAD)], [two_slices(1)])[1]
  assert (list(same.num), _norms(same)) == ([3, 4, 5], [[7], [8, 9]])
  more = _restored(tmp_path, [(1, ADAGRAD), (2, ADAGRAD), (1, ADAGRAD)], [two_slices(1)])[1]
  assert (list(more.num), _norms(more)) == ([3, 4, 5, 0.5], [[7], [8, 9], [2]])
  # Fewer slices of the same dim in all: the second state has nobody, and the first has another length.
  fewer = _restored(tmp_path, [(3, ADAGRAD)], [two_slices(1)])[1]
  assert (list(fewer.num), _norms(fewer)) == ([3, 4, 5], [[2, 2, 2]])
  with pytest.raises(tf.errors.InvalidArgumentError, match=r"t-00000-of-00001: table 'a' has dim 1, .* has 3 values"):
    _restored(tmp_path, [(1, ADAGRAD)], [two_slices(1)])


def test_a_slice_that_grew_starts_its_state_anew(tmp_path):
  found = _restored(tmp_path, [(3, ADAGRAD)], [_dump(1, [3, 4], adagrad={"norm": [7, 8]})])[1]
  assert (list(found.num), _norms(found)) == ([3, 4, 0.5], [[2, 2, 2]])


def test_a_slice_that_saves_no_state_takes_none(tmp_path):
  """Moving averages write no message at all, so the one message belongs to the slice behind them."""
  slices = [(1, entry.MovingAverageOptimizer()), (2, ADAGRAD), (1, entry.MovingAverageOptimizer())]
  found = _restored(tmp_path, slices, [_dump(1, [3, 4, 5, 6], adagrad={"norm": [7, 8]})])[1]
  assert (list(found.num), _norms(found)) == ([3, 4, 5, 6], [[7, 8]])


@pytest.mark.parametrize(
  "optimizer, state, taken",
  [
    (entry.AdamOptimizer(), {"adam": {"m": [1, 2], "v": [3, 4], "beta1_power": 0.5, "beta2_power": 0.25}}, True),
    (entry.AdamOptimizer(), {"adam": {"m": [1, 2], "v": [3, 4], "beta1_power": 0.5}}, False),
    (entry.AdamOptimizer(), {"adam": {"m": [1, 2], "v": [3], "beta1_power": 0.5, "beta2_power": 0.25}}, False),
    (entry.AdamOptimizer(), {"adagrad": {"norm": [1, 2]}}, False),
    (entry.FtrlOptimizer(), {"ftrl": {"zero": [1, 2], "norm": [3, 4]}}, True),
    (entry.FtrlOptimizer(), {"group_ftrl": {"zero": [1, 2], "norm": [3, 4]}}, False),
    (entry.AdadeltaOptimizer(), {"adadelta": {"accum": [1, 2], "accum_update": [3, 4]}}, True),
    (entry.RmspropV2Optimizer(), {"rmspropv2": {"n": [1, 2]}}, True),
    (entry.AdaGradWithGroupLassoOptimizer(), {"group_adagrad": {"grad_square_sum": 6}}, True),
  ],
)
def test_states_of_optimizers(tmp_path, optimizer, state, taken):
  (written,) = _dump(1, [3, 4], **state).opt.dump
  fresh = _restored(tmp_path, [(2, optimizer)], [_dump(1, [3, 4])])[1]
  found = _restored(tmp_path, [(2, optimizer)], [_dump(1, [3, 4], **state)])[1]
  assert list(found.num) == [3, 4]
  assert found.opt.dump[0] == (written if taken else fresh.opt.dump[0])
  assert written != fresh.opt.dump[0]


def test_batch_softmax_keeps_its_step(tmp_path):
  found = _restored(tmp_path, [(1, entry.BatchSoftmaxOptimizer())], [_dump(1, [3], batch_softmax={"global_step": 77})])
  assert found[1].opt.dump[0].batch_softmax.global_step == 77


def test_served_entries_take_no_state(tmp_path):
  config = _config((2, ADAGRAD))
  config.table_config.entry_config.entry_type = embedding_hash_table_pb2.EntryConfig.SERVING
  _write(tmp_path / "t", [[("a", [_dump(1, [3, 4], 9, adagrad={"norm": [7, 8]}), _dump(2, [5])])]])
  table = multi_hash_table_ops.MultiHashTable.from_configs({"a": config}).restore(str(tmp_path / "t"))
  found = table.lookup({"a": tf.constant([1, 2], tf.int64)})["a"]
  assert found.numpy().tolist() == [[3, 4], [5, 0]]
