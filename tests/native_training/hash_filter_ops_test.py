# SPDX-License-Identifier: Apache-2.0
"""Occurrence filters as ops: what they drop, their files, and their part in checkpoints."""

import os

from monolith.native_training import entry
from monolith.native_training import hash_filter_ops
from monolith.native_training import multi_hash_table_ops
from monolith.native_training.runtime.hash_table import embedding_hash_table_pb2
from monolith.native_training.runtime.ops import gen_monolith_ops

import numpy as np
import pytest
import record_framing
import tensorflow as tf

FilterType = hash_filter_ops.FilterType


def _config(default=0, **slots):
  config = embedding_hash_table_pb2.SlotOccurrenceThresholdConfig(default_occurrence_threshold=default)
  for slot, threshold in slots.items():
    config.slot_occurrence_thresholds.add(slot=int(slot[1:]), occurrence_threshold=threshold)
  return config.SerializeToString()


def _ids(*values):
  return tf.constant(values, tf.int64)


class _Gradients:
  """A graph in which every run shows ids to a filter; tells which rows kept their gradient."""

  def __init__(self, ids, capacity=100, split_num=7, config=None, make=None):
    self.graph = tf.Graph()
    with self.graph.as_default():
      config = _config(3) if config is None else config
      self.filter = make(config) if make else hash_filter_ops.create_hash_filter(capacity, split_num, config)
      self.path = tf.compat.v1.placeholder(tf.string, [])
      self.saved = hash_filter_ops.save_hash_filter(self.filter, self.path, True)
      self.restored = hash_filter_ops.restore_hash_filter(self.filter, self.path, True)
      embeddings = tf.ones([len(ids), 2])
      same = hash_filter_ops.intercept_gradient(self.filter, _ids(*ids), embeddings)
      self.grad = tf.gradients(3.0 * same, embeddings)[0]
    self.session = tf.compat.v1.Session(graph=self.graph)

  def kept_rows(self):
    grad = self.session.run(self.grad)
    for row in grad:
      assert row.tolist() in ([0, 0], [3, 3])
    return [i + 1 for i, row in enumerate(grad) if row.any()]

  def save(self, path):
    self.session.run(self.saved.op, {self.path: str(path)})

  def restore(self, path):
    self.session.run(self.restored.op, {self.path: str(path)})


def test_dummy_filter_is_shared_by_name():
  one = hash_filter_ops.create_dummy_hash_filter("_t")
  two = hash_filter_ops.create_dummy_hash_filter("_t")
  assert one.dtype == tf.resource and one.shape == []
  assert "DummyHashFilter_t" in str(one)
  assert str(one) == str(two)


@pytest.mark.parametrize(
  "filter_type, enabled, local, first",
  [
    (FilterType.SLIDING_HASH_FILTER, True, "MonolithHashFilter", "MonolithHashFilter_0"),
    (FilterType.PROBABILISTIC_FILTER, True, "MonolithProbabilisticFilter", "MonolithProbabilisticFilter_0"),
    (FilterType.NO_FILTER, True, "DummyHashFilter0", "DummyHashFilter_0"),
    (FilterType.SLIDING_HASH_FILTER, False, "DummyHashFilter0", "DummyHashFilter_0"),
  ],
)
def test_names_and_devices(filter_type, enabled, local, first):
  with tf.Graph().as_default():
    (alone,) = hash_filter_ops.create_hash_filters(0, enabled, _config(1), filter_type=filter_type)
    filters = hash_filter_ops.create_hash_filters(3, enabled, _config(1), filter_type=filter_type)
  assert alone.op.get_attr("shared_name").decode() == local
  assert filters[0].op.get_attr("shared_name").decode() == first
  for i, one in enumerate(filters):
    assert f"/job:ps/task:{i}" in one.device


def test_settings_reach_the_filter():
  with tf.Graph().as_default():
    (sliding,) = hash_filter_ops.create_hash_filters(0, True, b"\x10\x03", filter_capacity=500, filter_split_num=9)
    assert (sliding.op.get_attr("capacity"), sliding.op.get_attr("split_num")) == (500, 9)
    assert sliding.op.get_attr("config") == b"\x10\x03"
    kwargs = {"filter_equal_probability": True, "filter_type": FilterType.PROBABILISTIC_FILTER}
    (chance,) = hash_filter_ops.create_hash_filters(0, True, b"\x10\x03", **kwargs)
    assert chance.op.get_attr("equal_probability")
    assert chance.op.get_attr("config") == b"\x10\x03"


def test_unknown_type_is_refused_with_the_known_ones():
  with pytest.raises(ValueError, match="filter_type is 'bloom'; use one of sliding_hash_filter, probabilistic_filter"):
    hash_filter_ops.create_hash_filters(0, False, filter_type="bloom")


def test_threshold_3_keeps_the_fourth_sighting():
  runs = _Gradients([1, 3 << 17, 1])
  assert [runs.kept_rows() for _ in range(4)] == [[], [3], [1, 3], [1, 2, 3]]


def test_thresholds_are_those_of_the_slot():
  runs = _Gradients([5, (1 << 48) + 5, (2 << 48) + 5], config=_config(1, s1=0, s2=2))
  assert [runs.kept_rows() for _ in range(3)] == [[2], [1, 2], [1, 2, 3]]


def test_saved_counts_come_back(tmp_path):
  path = tmp_path / "deep" / "filter"
  runs = _Gradients([1, 3 << 17, 1])
  for _ in range(2):
    runs.kept_rows()
  runs.save(path)
  assert sorted(os.listdir(path.parent)) == [f"filter-{i:05d}-of-00007" for i in range(7)]
  assert [runs.kept_rows() for _ in range(2)] == [[1, 3], [1, 2, 3]]
  again = _Gradients([1, 3 << 17, 1])
  again.restore(path)
  assert again.kept_rows() == [1, 3]
  runs.restore(path)
  assert runs.kept_rows() == [1, 3]


def test_files_hold_the_documented_records(tmp_path):
  runs = _Gradients([1, 1 << 17, 2 << 17, 1], capacity=300, split_num=100, config=_config(2))
  assert [runs.kept_rows() for _ in range(2)] == [[], [1, 4]]
  runs.save(tmp_path / "f")
  elements = []
  for i in range(100):
    meta_record, *cell_records = tf.data.TFRecordDataset(str(tmp_path / f"f-{i:05d}-of-00100")).as_numpy_iterator()
    meta = embedding_hash_table_pb2.HashFilterSplitMetaDump.FromString(meta_record)
    assert (meta.total_size, meta.fill_rate) == (3, 1.2)
    sliding = meta.sliding_hash_filter_meta
    assert (sliding.split_num, sliding.head, sliding.head_increment) == (100, 4, 4)
    assert (sliding.max_forward_step, sliding.max_backward_step, sliding.max_step) == (2, 98, 16)
    (cells,) = [embedding_hash_table_pb2.HashFilterSplitDataDump.FromString(r) for r in cell_records]
    assert (cells.offset, len(cells.data)) == (0, 67)
    assert np.count_nonzero(cells.data) == meta.num_elements
    elements.append(meta.num_elements)
  assert elements == [2] * 4 + [0] * 96
  assert runs.kept_rows() == [1, 2, 3, 4]


def _blocks(path):
  _, *records = tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
  return [embedding_hash_table_pb2.HashFilterSplitDataDump.FromString(record) for record in records]


def test_cells_come_in_blocks_of_which_empty_ones_are_left_out(tmp_path):
  mixed = 0xB456BCFC34C2CB2C  # Mix64(1), computed apart from this code
  runs = _Gradients([1], capacity=6 * 20000)
  runs.save(tmp_path / "f")
  assert [(b.offset, len(b.data)) for b in _blocks(tmp_path / "f-00000-of-00007")] == [(0, 10000), (20000, 4064)]
  assert runs.kept_rows() == []
  runs.save(tmp_path / "f")
  used = {offset + i: c for offset, data in _offsets(tmp_path) for i, c in enumerate(data) if c}
  assert used == {mixed % 24000: (mixed >> 52) * 16 + 1}
  assert [runs.kept_rows() for _ in range(2)] == [[], []]
  runs.restore(tmp_path / "f")
  assert [runs.kept_rows() for _ in range(3)] == [[], [], [1]]


def _offsets(directory):
  return [(block.offset, block.data) for block in _blocks(directory / "f-00000-of-00007")]


def test_a_default_filter_writes_what_it_has_seen(tmp_path):
  runs = _Gradients([1, 2, 3], capacity=hash_filter_ops.HASH_FILTER_CAPACITY)
  runs.kept_rows()
  runs.save(tmp_path / "f")
  assert sum(file.stat().st_size for file in tmp_path.iterdir()) < 1_000_000
  again = _Gradients([1, 2, 3], capacity=hash_filter_ops.HASH_FILTER_CAPACITY)
  again.restore(tmp_path / "f")
  assert [again.kept_rows() for _ in range(3)] == [[], [], [1, 2, 3]]


def test_restore_names_both_numbers_of_another_shape(tmp_path):
  _Gradients([1], split_num=7).save(tmp_path / "f")
  with pytest.raises(tf.errors.ResourceExhaustedError, match="split_num 7, this one has 8"):
    _Gradients([1], split_num=8).restore(tmp_path / "f")


def test_restore_from_incomplete_or_damaged_files(tmp_path):
  runs = _Gradients([1, 1])
  with pytest.raises(tf.errors.InvalidArgumentError, match="no saved shard of .*nothing exists"):
    runs.restore(tmp_path / "nothing")
  runs.save(tmp_path / "f")
  file = tmp_path / "f-00003-of-00007"
  whole = file.read_bytes()
  file.write_bytes(whole[:-20])
  with pytest.raises(tf.errors.DataLossError, match="f-00003-of-00007 is damaged"):
    runs.restore(tmp_path / "f")
  with tf.io.TFRecordWriter(str(file)) as writer:
    for record in tf.data.TFRecordDataset(str(tmp_path / "f-00000-of-00007")).take(1).as_numpy_iterator():
      writer.write(record)
    writer.write(embedding_hash_table_pb2.HashFilterSplitDataDump(offset=4000, data=[1]).SerializeToString())
  with pytest.raises(tf.errors.DataLossError, match="1 cells from 4000 on where one of the cells 0 to 124 should"):
    runs.restore(tmp_path / "f")
  file.unlink()
  with pytest.raises(tf.errors.InvalidArgumentError, match="f-00003-of-00007 is missing"):
    runs.restore(tmp_path / "f")
  file.write_bytes(whole)
  (tmp_path / "f-00000-of-00009-tmp-1234").write_bytes(b"left over")
  runs.restore(tmp_path / "f")


def test_what_records_of_a_split_are_refused(tmp_path):
  runs = _Gradients([1, 1])
  runs.save(tmp_path / "f")
  file = tmp_path / "f-00003-of-00007"
  meta, cells = record_framing.tf_records(file.read_bytes())
  wide = embedding_hash_table_pb2.HashFilterSplitDataDump(offset=0, data=[1 << 16]).SerializeToString()
  for records, message in (
    ([cells, meta], "its first record is no HashFilterSplitMetaDump"),
    ([b"\xff", cells], "a record is no HashFilterSplitMetaDump"),
    ([meta, b"\xff"], "a record is no HashFilterSplitDataDump"),
    ([meta, wide], "a cell has more than 16 bits"),
    ([meta, cells, cells], "it goes on after the last cell"),
  ):
    file.write_bytes(b"".join(record_framing.tf_record(record) for record in records))
    with pytest.raises(tf.errors.DataLossError, match=rf"f-00003-of-00007 is damaged \({message}"):
      runs.restore(tmp_path / "f")


def test_a_save_removes_files_of_another_number_of_splits(tmp_path):
  _Gradients([1], split_num=9).save(tmp_path / "f")
  runs = _Gradients([1], split_num=7)
  runs.save(tmp_path / "f")
  assert len(os.listdir(tmp_path)) == 7
  runs.restore(tmp_path / "f")


@pytest.mark.parametrize(
  "make",
  [
    lambda config: hash_filter_ops.create_probabilistic_filter(True, config),
    lambda config: hash_filter_ops.create_dummy_hash_filter(),
  ],
)
def test_filters_without_counts_save_nothing_and_restore_nothing(tmp_path, make):
  runs = _Gradients([1, 2], make=make)
  assert runs.kept_rows() == [1, 2]  # no table says that the ids are absent
  runs.save(tmp_path / "f")
  runs.restore(tmp_path / "f")
  assert os.listdir(tmp_path) == []


def test_disabled_save_and_restore_are_the_filter_itself():
  hash_filter = hash_filter_ops.create_dummy_hash_filter()
  assert hash_filter_ops.save_hash_filter(hash_filter, "x") is hash_filter
  assert hash_filter_ops.restore_hash_filter(hash_filter, "x") is hash_filter


def test_configs_that_make_no_filter():
  with pytest.raises(tf.errors.InvalidArgumentError, match="is 16, but the sliding filter counts to 15"):
    hash_filter_ops.create_hash_filter(100, 7, _config(16), "_refused")
  with pytest.raises(tf.errors.InvalidArgumentError, match="slot 5 is 16"):
    hash_filter_ops.create_hash_filter(100, 7, _config(0, s5=16), "_refused")
  with pytest.raises(tf.errors.InvalidArgumentError, match="slot 32768: slots end at 32767"):
    hash_filter_ops.create_probabilistic_filter(True, _config(0, s32768=1), "_refused")
  with pytest.raises(tf.errors.InvalidArgumentError, match="no SlotOccurrenceThresholdConfig"):
    hash_filter_ops.create_hash_filter(100, 7, b"\xff", "_refused")


def test_gradient_op_checks_its_rows():
  gradient = gen_monolith_ops.monolith_hash_filter_intercept_gradient_gradient
  hash_filter = hash_filter_ops.create_dummy_hash_filter()
  assert gradient(hash_filter, _ids(), tf.zeros([0, 3])).shape == [0, 3]
  assert gradient(hash_filter, _ids(), tf.zeros([0])).shape == [0, 0]
  assert gradient(hash_filter, _ids(1, 2), tf.ones([6])).numpy().tolist() == [[1] * 3] * 2
  for ids, shape in (((), [4]), ((1, 2), [5]), ((1, 2), [4, 1])):
    with pytest.raises(tf.errors.InvalidArgumentError, match=f"for {len(ids)} ids; give one row for each id"):
      gradient(hash_filter, tf.constant(ids, tf.int64), tf.ones(shape))


def test_second_derivatives_are_refused():
  hash_filter = hash_filter_ops.create_dummy_hash_filter()
  rows = tf.Variable(tf.ones([1, 2]))
  with tf.GradientTape() as outer:
    with tf.GradientTape() as inner:
      loss = tf.reduce_sum(hash_filter_ops.intercept_gradient(hash_filter, _ids(1), rows) ** 2)
    gradient = inner.gradient(loss, rows)
  with pytest.raises(LookupError, match="second derivatives through intercept_gradient are not defined"):
    outer.gradient(gradient, rows)


def test_shapes_in_graphs():
  gradient = gen_monolith_ops.monolith_hash_filter_intercept_gradient_gradient
  with tf.Graph().as_default():
    hash_filter = hash_filter_ops.create_hash_filter(300, 7)
    assert gradient(hash_filter, _ids(1, 2), tf.ones([2, 3])).shape.as_list() == [2, 3]
    assert gradient(hash_filter, _ids(1, 2), tf.ones([6])).shape.as_list() == [2, 3]
    assert gradient(hash_filter, _ids(1, 2), tf.ones([2, 3, 4])).shape.as_list() == [2, 12]
    assert gradient(hash_filter, _ids(), tf.ones([0])).shape.as_list() == [0, None]
    unknown = tf.compat.v1.placeholder(tf.float32, [None])
    assert gradient(hash_filter, _ids(1, 2), unknown).shape.as_list() == [2, None]
    assert gradient(hash_filter, tf.compat.v1.placeholder(tf.int64, [None]), tf.ones([6])).shape.rank == 2
    with pytest.raises(ValueError, match="evenly divisible by 2 but is 5"):
      gradient(hash_filter, _ids(1, 2), tf.ones([5]))
    assert hash_filter_ops.intercept_gradient(hash_filter, _ids(1), tf.ones([1, 4])).shape.as_list() == [1, 4]
    with pytest.raises(ValueError, match="Dimension 0 in both shapes must be equal|Dimensions must be equal"):
      gradient(hash_filter, _ids(1, 2), tf.ones([3, 3]))


def _table(hash_filter, name_suffix):
  config = embedding_hash_table_pb2.EmbeddingHashTableConfig()
  entry.CuckooHashTableConfig().mutate_table(config)
  segment = entry.CombineAsSegment(1, entry.ZerosInitializer(), entry.SgdOptimizer(), entry.Fp32Compressor())
  config.entry_config.segments.append(segment)
  configs = {"t": entry.HashTableConfigInstance(config, [0.1])}
  return multi_hash_table_ops.MultiHashTable.from_configs(configs, hash_filter=hash_filter, name_suffix=name_suffix)


def test_table_counts_every_occurrence_of_a_bare_update():
  hash_filter = hash_filter_ops.create_hash_filter(300, 7, _config(3), "_bare")
  table = _table(hash_filter, "filter_bare")
  seen = []
  for _ in range(4):
    table = table.apply_gradients({"t": (_ids(0, 0, 1), -tf.ones([3, 1]))}, tf.constant(0, tf.int64))
    seen.append(table.lookup({"t": _ids(0, 1)})["t"].numpy()[:, 0].tolist())
  np.testing.assert_allclose(seen, [[0, 0], [0.1, 0], [0.3, 0], [0.5, 0.1]], rtol=1e-6)


def test_fids_in_the_table_are_not_filtered():
  hash_filter = hash_filter_ops.create_hash_filter(300, 7, _config(2), "_present")
  table = _table(hash_filter, "filter_present").reinitialize("t", _ids(7))[0]
  ids = {"t": (_ids(7, 8), tf.ones([2, 1]))}
  seen = [table.assign_add(ids).lookup({"t": _ids(7, 8)})["t"].numpy()[:, 0].tolist() for _ in range(3)]
  assert seen == [[1, 0], [2, 0], [3, 1]]


def test_probabilistic_filter_guards_a_table():
  hash_filter = hash_filter_ops.create_probabilistic_filter(False, _config(4), "_table")
  table = _table(hash_filter, "filter_chance")
  ids = tf.range(4000, dtype=tf.int64)
  table = table.assign({"t": (ids, tf.ones([4000, 1]))})
  admitted = float(tf.reduce_mean(table.lookup({"t": ids})["t"]))
  assert abs(admitted - 0.25) < 0.03


class _Job:
  """A graph with filters and their two listeners."""

  def __init__(self, model_dir, num_filters=2, **kwargs):
    basename = os.path.join(model_dir, "model.ckpt")
    self.graph = tf.Graph()
    with self.graph.as_default():
      filters = [hash_filter_ops.create_hash_filter(300, 7, _config(2), f"_{i}") for i in range(num_filters)]
      grads = [
        gen_monolith_ops.monolith_hash_filter_intercept_gradient_gradient(f, _ids(1), tf.ones([1, 1])) for f in filters
      ]
      self.kept = tf.concat(grads, axis=0)
      self.saver = hash_filter_ops.HashFilterCheckpointSaverListener(basename, filters, **kwargs)
      self.restorer = hash_filter_ops.HashFilterCheckpointRestorerListener(basename, filters, **kwargs)
      for listener in (self.saver, self.restorer):
        listener.begin()
    self.session = tf.compat.v1.Session(graph=self.graph)

  def see(self):
    return self.session.run(self.kept)[:, 0].tolist()


def _checkpoint_state(model_dir, step):
  (model_dir / f"model.ckpt-{step}.index").write_bytes(b"")
  tf.compat.v1.train.update_checkpoint_state(str(model_dir), str(model_dir / f"model.ckpt-{step}"))


def test_listeners_carry_counts_over(tmp_path):
  job = _Job(tmp_path, enable_hash_filter=True)
  job.restorer.before_restore(job.session)  # no checkpoint yet
  assert [job.see() for _ in range(2)] == [[0, 0], [0, 0]]
  job.saver.before_save(job.session, 4)
  names = os.listdir(tmp_path / "model.ckpt-4.assets")
  assert sorted(names) == [f"hash_filter_{i}-{split:05d}-of-00007" for i in range(2) for split in range(7)]
  _checkpoint_state(tmp_path, 4)
  again = _Job(tmp_path, enable_hash_filter=True)
  again.restorer.before_restore(again.session)
  assert again.see() == [1, 1]


def test_a_session_made_again_restores_the_counts_that_are_newest_then(tmp_path):
  job = _Job(tmp_path, enable_hash_filter=True)
  assert [job.see() for _ in range(2)] == [[0, 0], [0, 0]]
  job.saver.before_save(job.session, 4)
  _checkpoint_state(tmp_path, 4)
  job.session = tf.compat.v1.Session(graph=job.graph)  # as the loop does when a server was lost
  job.restorer.before_restore(job.session)
  assert job.see() == [1, 1]


@pytest.mark.parametrize("num_filters", [1, 3])
def test_another_number_of_filters_starts_empty(tmp_path, num_filters):
  job = _Job(tmp_path, enable_hash_filter=True)
  for _ in range(2):
    job.see()
  job.saver.before_save(job.session, 4)
  _checkpoint_state(tmp_path, 4)
  again = _Job(tmp_path, num_filters=num_filters, enable_hash_filter=True)
  again.restorer.before_restore(again.session)
  assert [again.see() for _ in range(3)] == [[0] * num_filters, [0] * num_filters, [1] * num_filters]


def test_counts_beside_a_checkpoint_without_asset_directory(tmp_path):
  job = _Job(tmp_path, enable_hash_filter=True)
  for _ in range(2):
    job.see()
  job.saver.before_save(job.session, 4)
  for name in os.listdir(tmp_path / "model.ckpt-4.assets"):
    os.rename(tmp_path / "model.ckpt-4.assets" / name, tmp_path / ("model.ckpt-4" + name))
  os.rmdir(tmp_path / "model.ckpt-4.assets")
  _checkpoint_state(tmp_path, 4)
  again = _Job(tmp_path, enable_hash_filter=True)
  again.restorer.before_restore(again.session)
  assert again.see() == [1, 1]


@pytest.mark.parametrize("kwargs", [{}, {"enable_hash_filter": True, "enable_save_restore": False}])
def test_listeners_that_are_turned_off_do_nothing(tmp_path, kwargs):
  job = _Job(tmp_path, **kwargs)
  job.saver.before_save(job.session, 4)
  assert os.listdir(tmp_path) == []
  _checkpoint_state(tmp_path, 4)
  again = _Job(tmp_path, **kwargs)
  again.restorer.before_restore(again.session)
  assert again.see() == [0, 0]
