# SPDX-License-Identifier: Apache-2.0
"""Table files of many pieces: what is read ahead and written behind comes whole, and damage anywhere is named.

Pieces are 2 MiB; the files here have some ten.
"""

from monolith.native_training import entry
from monolith.native_training import hash_table_ops
from monolith.native_training import multi_hash_table_ops
from monolith.native_training.runtime.hash_table import embedding_hash_table_pb2

import os
import pathlib
import resource

import numpy as np
import pytest
import tensorflow as tf

PIECE = 2 << 20
NUM_IDS = 30_000
DIM = 64
IDS = tf.range(NUM_IDS, dtype=tf.int64) * 7919
ROWS = {
  "random": tf.random.stateless_normal([NUM_IDS, DIM], [1, 2]),  # do not compress
  "alike": tf.tile(tf.range(NUM_IDS, dtype=tf.float32)[:, tf.newaxis], [1, DIM]),  # do
}


def _config():
  config = embedding_hash_table_pb2.EmbeddingHashTableConfig()
  entry.CuckooHashTableConfig().mutate_table(config)
  optimizer = entry.AdagradOptimizer(initial_accumulator_value=1)
  config.entry_config.segments.append(
    entry.CombineAsSegment(DIM, entry.ZerosInitializer(), optimizer, entry.Fp32Compressor())
  )
  return entry.HashTableConfigInstance(config, [1.0])


class _Multi:
  """A multi table of one slot."""

  damaged = tf.errors.DataLossError

  def __init__(self):
    self.table = multi_hash_table_ops.MultiHashTable.from_configs({"slot": _config()}, saver_parallel=1)

  def assign(self, ids, rows):
    self.table.assign({"slot": (ids, rows)})
    return self

  def lookup(self, ids):
    return self.table.lookup({"slot": ids})["slot"].numpy()


class _Single:
  """A table by itself."""

  damaged = tf.errors.FailedPreconditionError

  def __init__(self):
    self.table = hash_table_ops.hash_table_from_config(_config(), saver_parallel=1)

  def assign(self, ids, rows):
    self.table.assign(ids, rows)
    return self

  def lookup(self, ids):
    return self.table.lookup(ids).numpy()


KINDS = pytest.mark.parametrize("kind", [_Multi, _Single])


def _forget(path: pathlib.Path):
  """Has the system drop a file's pages from its cache."""
  with open(path, "rb") as file:
    os.fsync(file.fileno())
    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


@KINDS
@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("cached", [True, False])
def test_all_entries_come_back(tmp_path, kind, rows, cached):
  kind().assign(IDS, ROWS[rows]).table.save(str(tmp_path / "t"))
  data = tmp_path / "t-00000-of-00001"
  assert data.stat().st_size > 5 * PIECE or (rows == "alike" and kind is _Multi)
  _forget(data)
  if cached:
    data.read_bytes()
  restored = kind()
  restored.table.restore(str(tmp_path / "t"))
  np.testing.assert_array_equal(restored.lookup(IDS), ROWS[rows])


@pytest.mark.parametrize("rows", ROWS)
def test_tensorflow_reads_the_records(tmp_path, rows):
  _Multi().assign(IDS, ROWS[rows]).table.save(str(tmp_path / "t"))
  records = tf.data.TFRecordDataset(str(tmp_path / "t-00000-of-00001"), compression_type="SNAPPY")
  fids = {embedding_hash_table_pb2.EntryDump.FromString(record).id for record in records.as_numpy_iterator()}
  assert fids == set(IDS.numpy().tolist())


@KINDS
@pytest.mark.parametrize("cut", [7, PIECE - 1, PIECE, PIECE + 5, 3 * PIECE])
def test_a_cut_is_noticed_wherever_it_is(tmp_path, kind, cut):
  kind().assign(IDS, ROWS["random"]).table.save(str(tmp_path / "t"))
  data = tmp_path / "t-00000-of-00001"
  os.truncate(data, cut)
  _forget(data)
  table = kind().assign(IDS[:1], tf.ones([1, DIM]))
  with pytest.raises(kind.damaged, match="t-00000-of-00001 is damaged"):
    table.table.restore(str(tmp_path / "t"))
  np.testing.assert_array_equal(table.lookup(IDS[:2]), [[1] * DIM, [0] * DIM])


@KINDS
@pytest.mark.parametrize("at", [20, PIECE - 1, PIECE, 4 * PIECE + 1234, -100])
def test_a_flipped_bit_is_noticed_wherever_it_is(tmp_path, kind, at):
  kind().assign(IDS, ROWS["random"]).table.save(str(tmp_path / "t"))
  data = tmp_path / "t-00000-of-00001"
  with open(data, "r+b") as file:
    file.seek(at, os.SEEK_SET if at >= 0 else os.SEEK_END)
    byte = file.read(1)[0]
    file.seek(-1, os.SEEK_CUR)
    file.write(bytes([byte ^ 16]))
  _forget(data)
  table = kind().assign(IDS[:1], tf.ones([1, DIM]))
  with pytest.raises(kind.damaged, match="t-00000-of-00001 is damaged"):
    table.table.restore(str(tmp_path / "t"))
  np.testing.assert_array_equal(table.lookup(IDS[:2]), [[1] * DIM, [0] * DIM])


@KINDS
@pytest.mark.parametrize("room", [1000, 2 * PIECE, 5 * PIECE + 77])
def test_a_file_that_cannot_grow_fails_the_save_and_leaves_nothing(tmp_path, kind, room):
  table = kind().assign(IDS, ROWS["random"])
  limits = resource.getrlimit(resource.RLIMIT_FSIZE)
  resource.setrlimit(resource.RLIMIT_FSIZE, (room, limits[1]))
  try:
    with pytest.raises(tf.errors.OpError, match="could not be written"):
      table.table.save(str(tmp_path / "t"))
  finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
  assert not list(tmp_path.iterdir())
  table.table.save(str(tmp_path / "t"))  # the table is as it was
  restored = kind()
  restored.table.restore(str(tmp_path / "t"))
  np.testing.assert_array_equal(restored.lookup(IDS[-9:]), ROWS["random"][-9:])


def test_records_longer_than_a_piece(tmp_path):
  """An entry of this table takes 4 MiB, more than a piece and more than what is kept of one in front of the next."""
  dim = 420_000
  config = embedding_hash_table_pb2.EmbeddingHashTableConfig()
  entry.CuckooHashTableConfig().mutate_table(config)
  config.entry_config.segments.append(
    entry.CombineAsSegment(dim, entry.ZerosInitializer(), entry.AdagradOptimizer(), entry.Fp32Compressor())
  )
  instance = entry.HashTableConfigInstance(config, [1.0])
  table, restored = (hash_table_ops.hash_table_from_config(instance, saver_parallel=1) for _ in range(2))
  rows = tf.random.stateless_normal([4, dim], [3, 4])
  table.assign(IDS[:4], rows).save(str(tmp_path / "t"))
  np.testing.assert_array_equal(restored.restore(str(tmp_path / "t")).lookup(IDS[:4]), rows)
