# SPDX-License-Identifier: Apache-2.0
"""Damage to the files of tables and of filters, at every byte: a restore names the file and changes nothing."""

from monolith.native_training import entry
from monolith.native_training import hash_filter_ops
from monolith.native_training import hash_table_ops
from monolith.native_training import multi_hash_table_ops
from monolith.native_training import test_utils
from monolith.native_training.runtime.hash_table import embedding_hash_table_pb2
from monolith.native_training.runtime.ops import gen_monolith_ops

import random
import re

import pytest
import record_framing
import tensorflow as tf

SEED = 20240607
NUM_SHARDS = 3


class _Tables:
  """Two tables that were saved in three shards, and have changed since."""

  def __init__(self, directory):
    self.path = directory / "t"
    self._probe = directory / "probe" / "t"
    self._new(range(40), range(9)).save(str(self.path))
    self.table = self._new([1, 100], [7])
    self.before = self.contents()

  @staticmethod
  def _new(a, b):
    configs = {"a": test_utils.generate_test_hash_table_config(3), "b": test_utils.generate_test_hash_table_config(1)}
    configs["a"].table_config.entry_config.segments[0].opt_config.CopyFrom(entry.AdamOptimizer().as_proto())
    table = multi_hash_table_ops.MultiHashTable.from_configs(configs, saver_parallel=NUM_SHARDS)
    rows = {
      name: tf.reshape(tf.range(1.0, dim * len(ids) + 1), [-1, dim]) for name, ids, dim in (("a", a, 3), ("b", b, 1))
    }
    return table.apply_gradients(
      {name: (tf.constant(list(ids), tf.int64), rows[name]) for name, ids in (("a", a), ("b", b))},
      tf.constant(1, tf.int64),
      req_time=tf.constant(1_700_000_000, tf.int64),
    )

  def restore(self):
    self.table.restore(str(self.path))

  def contents(self):
    """Everything that a save of the tables would hold."""
    self.table.save(str(self._probe))
    return {file.name: file.read_bytes() for file in self._probe.parent.iterdir()}


class _Single:
  """A table by itself that was saved in three shards, and has changed since."""

  def __init__(self, directory):
    self.path = directory / "t"
    self._probe = directory / "probe" / "t"
    self._new(range(40)).save(str(self.path))
    self.table = self._new([1, 100])
    self.before = self.contents()

  @staticmethod
  def _new(ids):
    config = test_utils.generate_test_hash_table_config(3)
    table = hash_table_ops.hash_table_from_config(config, saver_parallel=NUM_SHARDS)
    return table.assign(list(ids), tf.reshape(tf.range(3.0 * len(ids)), [-1, 3]), req_time=tf.constant(1_700_000_000))

  def restore(self):
    self.table.restore(str(self.path))

  def contents(self):
    self.table.save(str(self._probe))
    return {file.name: file.read_bytes() for file in self._probe.parent.iterdir()}


class _Filter:
  """A filter of seven small splits that has seen some fids."""

  def __init__(self, directory):
    self.path = directory / "t"
    self._probe = directory / "probe" / "t"
    config = embedding_hash_table_pb2.SlotOccurrenceThresholdConfig(default_occurrence_threshold=3)
    self.filter = hash_filter_ops.create_hash_filter(100, 7, config.SerializeToString())
    self._show(range(0, 4000, 37))
    hash_filter_ops.save_hash_filter(self.filter, str(self.path), True)
    self._show(range(9))
    self.before = self.contents()

  def _show(self, ids):
    ids = tf.constant(list(ids), tf.int64)
    gen_monolith_ops.monolith_hash_filter_intercept_gradient_gradient(self.filter, ids, tf.ones([len(ids), 1]))

  def restore(self):
    hash_filter_ops.restore_hash_filter(self.filter, str(self.path), True)

  def contents(self):
    hash_filter_ops.save_hash_filter(self.filter, str(self._probe), True)
    return {file.name: file.read_bytes() for file in self._probe.parent.iterdir()}


ERRORS = (tf.errors.InvalidArgumentError, tf.errors.FailedPreconditionError, tf.errors.DataLossError)


@pytest.fixture(params=[_Tables, _Single, _Filter])
def saved(request, tmp_path):
  return request.param(tmp_path)


def _refused(saved, named):
  """Checks that a restore fails and names the file; returns the message."""
  with pytest.raises(ERRORS, match=re.escape(str(named))) as error:
    saved.restore()
  return str(error.value)


def _files(saved):
  """One file of each kind: the data and the metadata of a shard, or a split."""
  files = sorted(saved.path.parent.glob("t*-00001-of-0000?"))
  assert len(files) == (1 if isinstance(saved, _Filter) else 2)
  return files


@pytest.mark.slow
def test_every_byte_counts(saved):
  """Lengths, their checksums, payloads, theirs: a bit of each byte of a file is flipped, and restores fail.

  Snappy can say some things in two ways, as which of equal bytes to copy: then the records are as they were.
  """
  choose = random.Random(SEED)
  harmless = []
  for file in _files(saved):
    whole = file.read_bytes()
    for at in range(len(whole)):
      bit = 1 << choose.randrange(8)
      file.write_bytes(whole[:at] + bytes([whole[at] ^ bit]) + whole[at + 1 :])
      try:
        saved.restore()
      except ERRORS as error:
        assert str(file) in str(error), f"bit {bit} of byte {at}"
        continue
      harmless.append(at)
      assert record_framing.unsnappy(file.read_bytes()) == record_framing.unsnappy(whole), f"bit {bit} of byte {at}"
    file.write_bytes(whole)
  assert len(harmless) < 20
  assert harmless or saved.contents() == saved.before


def test_every_cut_counts(saved):
  for file in _files(saved):
    whole = file.read_bytes()
    ends = [len(whole)]
    if file.name.startswith("t.meta") or not isinstance(saved, _Tables):
      ends = [0]
      for record in record_framing.tf_records(whole):
        ends.append(ends[-1] + 16 + len(record))
    cuts = {size for end in ends for size in (end - 1, end, end + 1) if 0 <= size < len(whole)}
    cuts |= set(range(0, len(whole), 7))
    for size in sorted(cuts):
      file.write_bytes(whole[:size])
      # Metadata of tables that ends after a whole record says no more than that the data goes on.
      short_meta = size in ends and file.name.startswith("t.meta") and isinstance(saved, _Tables)
      _refused(saved, file.with_name(file.name.replace(".meta", "")) if short_meta else file)
    file.write_bytes(whole)
  assert saved.contents() == saved.before


def test_every_end_that_is_no_record_counts(saved):
  """TensorFlow's reader calls it the end of the file when less than a record's header follows."""
  for file in _files(saved):
    whole = file.read_bytes()
    more = record_framing.tf_records(whole)[0] if isinstance(saved, _Single) else b"one more"
    record = record_framing.tf_record(more)
    for size in range(1, len(record) + 1):
      file.write_bytes(whole + record[:size])
      _refused(saved, f"{file} is damaged")
    file.write_bytes(whole)
  assert saved.contents() == saved.before


def test_a_block_that_has_only_begun_is_noticed(tmp_path):
  saved = _Tables(tmp_path)
  file = _files(saved)[0]
  whole = file.read_bytes()
  for size in (1, 2, 3):
    file.write_bytes(whole + bytes(size))
    assert f"its last {size} bytes are no block" in _refused(saved, file)


def test_data_that_goes_on_inside_its_compression_is_noticed(tmp_path):
  saved = _Tables(tmp_path)
  file = _files(saved)[0]
  whole = file.read_bytes()
  record = record_framing.tf_record(b"one more")
  for size in range(1, len(record) + 1):
    file.write_bytes(whole + record_framing.snappy_block(record[:size]))
    assert "it goes on after the last record" in _refused(saved, file)
  assert saved.contents() == saved.before


def test_data_cut_between_records_and_next_to_it(tmp_path):
  """A block of compression a record, so that the file can end after any record."""
  saved = _Tables(tmp_path)
  file = _files(saved)[0]
  records = [record_framing.tf_record(r) for r in record_framing.tf_records(record_framing.unsnappy(file.read_bytes()))]
  blocks = [record_framing.snappy_block(record) for record in records]
  for kept in range(len(blocks)):
    whole = b"".join(blocks[:kept])
    for content in (
      whole,
      whole[:-1],
      whole + blocks[kept][:1],
      whole + record_framing.snappy_block(records[kept][:1]),
    ):
      file.write_bytes(content)
      _refused(saved, file)
  assert saved.contents() == saved.before
  file.write_bytes(b"".join(blocks))
  saved.restore()


def test_every_missing_file_is_named(saved):
  for file in sorted(saved.path.parent.glob("t*-of-*")):
    whole = file.read_bytes()
    file.unlink()
    assert "is missing" in _refused(saved, file)
    file.write_bytes(whole)
  assert saved.contents() == saved.before


def test_shards_in_each_others_place(tmp_path):
  saved = _Tables(tmp_path)
  for kind in ("", ".meta"):
    first, second = (tmp_path / f"t{kind}-0000{i}-of-00003" for i in (0, 1))
    contents = first.read_bytes(), second.read_bytes()
    assert contents[0] != contents[1]
    first.write_bytes(contents[1])
    second.write_bytes(contents[0])
    _refused(saved, "-of-00003")
    first.write_bytes(contents[0])
    second.write_bytes(contents[1])
  assert saved.contents() == saved.before


def test_whole_files_restore(saved):
  """The files that the damage is done to are good."""
  saved.restore()
  assert saved.contents() != saved.before
