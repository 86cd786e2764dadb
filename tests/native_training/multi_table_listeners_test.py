# SPDX-License-Identifier: Apache-2.0
"""Tables in checkpoints: saving, restoring, and restoring onto another number of shards."""

from monolith.native_training import _checkpoint_files
from monolith.native_training import _multi_table_listeners as listeners
from monolith.native_training import entry
from monolith.native_training import multi_hash_table_ops
from monolith.native_training.proto import ckpt_info_pb2
from monolith.native_training.runtime.hash_table import embedding_hash_table_pb2

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format

FIDS = np.array([0, 1, 2, 3, 10, 11, -1, -2, 1 << 48, (1 << 48) + 1], np.int64)


def _config(dim=2, expire_days=None):
  config = embedding_hash_table_pb2.EmbeddingHashTableConfig()
  entry.CuckooHashTableConfig().mutate_table(config)
  segment = entry.CombineAsSegment(
    dim, entry.ZerosInitializer(), entry.AdagradOptimizer(initial_accumulator_value=1), entry.Fp32Compressor()
  )
  config.entry_config.segments.append(segment)
  if expire_days is not None:
    config.slot_expire_time_config.default_expire_time = expire_days
  return entry.HashTableConfigInstance(config, [1.0])


def _suffixes(num_tables):
  return [""] if num_tables == 1 else [str(i) for i in range(num_tables)]


def _shard_of(fids, num_shards):
  return (fids.astype(np.uint64) % np.uint64(num_shards)).astype(int)


class Job:
  """A graph with `num_tables` shards of the tables {"a"} and one dense variable."""

  def __init__(self, model_dir, num_tables=1, config=None, ps_monitor=None):
    self.basename = str(model_dir / "model.ckpt")
    self.graph = tf.Graph()
    with self.graph.as_default():
      tf.compat.v1.get_variable("dense", initializer=1.0)
      self.tables = [
        multi_hash_table_ops.MultiHashTable.from_configs({"a": config or _config()}, name_suffix=suffix)
        for suffix in _suffixes(num_tables)
      ]
      self.saver = tf.compat.v1.train.Saver()
      self.save_listener = listeners.MultiHashTableCheckpointSaverListener(self.basename)
      self.restore_listener = listeners.MultiHashTableCheckpointRestorerListener(self.basename, ps_monitor)
      self.save_listener.begin()
      self.restore_listener.begin()
    self.session = tf.compat.v1.Session(graph=self.graph)
    with self.graph.as_default():
      self.session.run(tf.compat.v1.global_variables_initializer())
    self.restore_listener.before_restore(self.session)

  def fill(self, times=0):
    """Maps each fid to [fid mod 1000, 1] in its shard."""
    with self.graph.as_default():
      values = np.stack([FIDS % 1000, np.ones_like(FIDS)], axis=1).astype(np.float32)
      for shard, table in enumerate(self.tables):
        own = _shard_of(FIDS, len(self.tables)) == shard
        pair = (tf.constant(FIDS[own]), tf.constant(values[own]))
        self.session.run(table.assign({"a": pair}, req_time=tf.constant(times, tf.int64)).as_op())

  def save(self, step):
    self.save_listener.before_save(self.session, step)
    with self.graph.as_default():
      self.saver.save(self.session, self.basename, global_step=step)

  def held(self):
    """fid -> embedding of each shard."""
    with self.graph.as_default():
      found = [self.session.run(table.lookup_entry({"a": tf.constant(FIDS)})["a"]) for table in self.tables]
    shards = []
    for entries in found:
      dumps = [embedding_hash_table_pb2.EntryDump.FromString(e) if e else None for e in entries]
      shards.append({int(fid): list(dump.num) for fid, dump in zip(FIDS, dumps) if dump is not None})
    return shards


def _expected(num_tables):
  shards = _shard_of(FIDS, num_tables)
  return [{int(f): [float(f % 1000), 1.0] for f, s in zip(FIDS, shards) if s == shard} for shard in range(num_tables)]


def test_round_trip_and_files(tmp_path):
  job = Job(tmp_path)
  job.fill()
  job.save(30)
  assets = sorted(p.name for p in (tmp_path / "model.ckpt-30.assets").iterdir())
  assert assets == ["MonolithMultiHashTable_-00000-of-00001", "MonolithMultiHashTable_.meta-00000-of-00001"]
  assert Job(tmp_path).held() == _expected(1)


def test_ckpt_info_counts_each_table_over_all_shards_once(tmp_path):
  job = Job(tmp_path, 2)
  job.fill()
  job.save(30)
  info = text_format.Parse((tmp_path / "ckpt.info-30").read_text(), ckpt_info_pb2.CkptInfo())
  assert dict(info.feature_counts) == {"a": len(FIDS)}
  assert not [p for p in tmp_path.iterdir() if ".tmp" in p.name]


def test_ckpt_info_can_be_left_out(tmp_path):
  with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    table = multi_hash_table_ops.MultiHashTable.from_configs({"a": _config()})
    listener = listeners.MultiHashTableCheckpointSaverListener(str(tmp_path / "model.ckpt"), write_ckpt_info=False)
    listener.begin()
    session.run(table.initializer)
    listener.before_save(session, 1)
  assert sorted(p.name for p in tmp_path.iterdir()) == ["model.ckpt-1.assets"]


@pytest.mark.parametrize("chain", [(1, 2, 1), (2, 3, 1), (3, 2, 4), (2, 2)])
def test_another_number_of_tables(tmp_path, chain):
  for i, num_tables in enumerate(chain):
    job = Job(tmp_path, num_tables)
    if i == 0:
      job.fill()
    assert job.held() == _expected(num_tables)
    job.save(10 * (i + 1))


def test_no_checkpoint_starts_with_created_empty_tables(tmp_path):
  assert Job(tmp_path, 2).held() == [{}, {}]


def test_checkpoint_without_tables_is_refused(tmp_path):
  job = Job(tmp_path)
  with job.graph.as_default():
    job.saver.save(job.session, job.basename, global_step=5)
  with pytest.raises(ValueError, match="model.ckpt-5 has no tables: .*model.ckpt-5.assets/ does not exist"):
    Job(tmp_path)


def test_graph_without_tables(tmp_path):
  with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    basename = str(tmp_path / "model.ckpt")
    saver = listeners.MultiHashTableCheckpointSaverListener(basename)
    restorer = listeners.MultiHashTableCheckpointRestorerListener(basename)
    after = listeners.MultiHashTableRestorerSaverListener(basename)
    for listener in (saver, restorer, after):
      listener.begin()
    saver.before_save(session, 1)
    restorer.before_restore(session)
    after.after_save(session, 1)
  assert not list(tmp_path.iterdir())


def test_the_fixed_checkpoint_wins_over_the_newest(tmp_path):
  job = Job(tmp_path)
  job.save(1)
  job.fill()
  job.save(2)
  with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    _checkpoint_files.set_checkpoint_to_restore(str(tmp_path / "model.ckpt-1"))
    table = multi_hash_table_ops.MultiHashTable.from_configs({"a": _config()})
    listener = listeners.MultiHashTableCheckpointRestorerListener(str(tmp_path / "model.ckpt"))
    listener.begin()
    listener.before_restore(session)
    assert not session.run(table.lookup({"a": tf.constant(FIDS)})["a"]).any()


class Monitor:
  """Reports every device as (un)initialised."""

  def __init__(self, uninitialized):
    self.uninitialized = uninitialized

  def is_ps_uninitialized(self, session, device):
    del session, device
    return self.uninitialized


@pytest.mark.parametrize("uninitialized", [True, False])
def test_only_servers_that_lost_their_tables_are_restored(tmp_path, uninitialized):
  job = Job(tmp_path)
  job.fill()
  job.save(1)
  expected = _expected(1) if uninitialized else [{}]
  assert Job(tmp_path, ps_monitor=Monitor(uninitialized)).held() == expected


def test_restoring_after_a_save_drops_what_the_save_left_out(tmp_path):
  job = Job(tmp_path, config=_config(expire_days=1))
  job.fill(times=100)
  with job.graph.as_default():
    pair = (tf.constant([77], tf.int64), tf.ones([1, 2]))
    job.session.run(job.tables[0].assign({"a": pair}, req_time=tf.constant(100 + 86400, tf.int64)).as_op())
    listener = listeners.MultiHashTableRestorerSaverListener(job.basename)
    listener.begin()
    found = job.tables[0].lookup({"a": tf.constant([77], tf.int64)})["a"]
  job.save(1)
  assert job.held() == _expected(1)  # a save forgets nothing
  listener.after_save(job.session, 1)
  assert job.held() == [{}]
  assert job.session.run(found).tolist() == [[1, 1]]


def _touch(directory, *names):
  for name in names:
    for kind in ("", ".meta"):
      (directory / f"{name}{kind}-00000-of-00001").write_bytes(b"")


@pytest.mark.parametrize(
  "saved, names, expected",
  [
    (["T_"], ["T_"], {"T_": (["T_"], 0, 1)}),
    (["T_0", "T_1"], ["T_0", "T_1"], {"T_0": (["T_0"], 0, 1), "T_1": (["T_1"], 0, 1)}),
    (["T_"], ["T_0", "T_1"], {"T_0": (["T_"], 0, 2), "T_1": (["T_"], 1, 2)}),
    (["T_0", "T_1"], ["T_"], {"T_": (["T_0", "T_1"], 0, 1)}),
    (["T_0"], ["T_"], {"T_": (["T_0"], 0, 1)}),
    ([f"T_{i}" for i in range(11)], ["T_"], {"T_": ([f"T_{i}" for i in range(11)], 0, 1)}),
    (["T_0", "Tx_0"], ["T_0"], {"T_0": (["T_0"], 0, 1)}),
    (["T_b0", "T_b1", "T_a"], ["T_a", "T_b"], {"T_a": (["T_a"], 0, 1), "T_b": (["T_b0", "T_b1"], 0, 1)}),
  ],
)
def test_plan(tmp_path, saved, names, expected):
  _touch(tmp_path, *saved)
  plan = listeners.plan_restore(str(tmp_path), names)
  assert plan == {
    name: ([str(tmp_path / s) for s in bases], index, count) for name, (bases, index, count) in expected.items()
  }


def test_plan_refuses_a_table_of_which_nothing_was_saved(tmp_path):
  _touch(tmp_path, "T_a")
  with pytest.raises(ValueError, match="holds nothing of multi hash table 'T_b'; restore from a checkpoint"):
    listeners.plan_restore(str(tmp_path), ["T_b"])


def test_a_session_made_again_restores_the_checkpoint_that_is_newest_then(tmp_path):
  job = Job(tmp_path)
  job.fill()
  job.save(1)
  with job.graph.as_default():
    job.session = tf.compat.v1.Session(graph=job.graph)  # as the loop does when a server was lost
    job.session.run(tf.compat.v1.global_variables_initializer())
  job.restore_listener.before_restore(job.session)
  assert job.held() == _expected(1)
