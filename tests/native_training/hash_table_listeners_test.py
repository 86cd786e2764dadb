# SPDX-License-Identifier: Apache-2.0
"""Single tables in checkpoints: saving, restoring, other names, and another number of servers."""

from monolith.native_training import _checkpoint_files
from monolith.native_training import _hash_table_listeners as listeners
from monolith.native_training import hash_table_ops
from monolith.native_training import test_utils
from monolith.native_training import utils

import contextlib

import numpy as np
import pytest
import tensorflow as tf

IDS = (1, 2, 3)


class Job:
  """A graph of tables by suffix, in a session of its own, with the listeners that a trainer has."""

  def __init__(self, model_dir, suffixes=("a", "b"), restore_names=None, ps_monitor=None, expire_time=36500):
    self.basename = str(model_dir / "model.ckpt")
    self.graph = tf.Graph()
    with self.graph.as_default():
      tf.compat.v1.get_variable("dense", initializer=1.0)
      self.tables = {
        suffix: hash_table_ops.test_hash_table(
          1, name_suffix=suffix, extra_restore_names=(restore_names or {}).get(suffix), expire_time=expire_time
        )
        for suffix in suffixes
      }
      self.saver = tf.compat.v1.train.Saver()
      self.save_listener = hash_table_ops.HashTableCheckpointSaverListener(self.basename)
      self.after_listener = hash_table_ops.HashTableRestorerSaverListener(self.basename)
      self.restore_listener = hash_table_ops.HashTableCheckpointRestorerListener(self.basename, ps_monitor)
      for listener in (self.save_listener, self.after_listener, self.restore_listener):
        listener.begin()
    self.session = tf.compat.v1.Session(graph=self.graph)
    with self.graph.as_default():
      self.session.run(tf.compat.v1.global_variables_initializer())
    self.restore_listener.before_restore(self.session)

  def fill(self, values, req_time=0):
    with self.graph.as_default():
      for suffix, value in values.items():
        rows = tf.fill([len(IDS), 1], float(value))
        time = tf.constant(req_time, tf.int64)
        self.session.run(self.tables[suffix].assign(tf.constant(IDS, tf.int64), rows, time).as_op())
    return self

  def save(self, step=1):
    self.save_listener.before_save(self.session, step)
    with self.graph.as_default():
      self.saver.save(self.session, self.basename, global_step=step)
    self.after_listener.after_save(self.session, step)
    return self

  def held(self):
    with self.graph.as_default():
      found = {suffix: table.lookup(tf.constant(IDS, tf.int64)) for suffix, table in self.tables.items()}
    return {suffix: set(rows[:, 0].tolist()) for suffix, rows in self.session.run(found).items()}


def test_round_trip_and_files(tmp_path):
  Job(tmp_path).fill({"a": 1, "b": 2}).save(30)
  names = sorted(p.name for p in (tmp_path / "model.ckpt-30.assets").iterdir())
  assert names == [f"MonolithHashTable_{name}-00000-of-00001" for name in ("a", "a.meta", "b", "b.meta")]
  assert Job(tmp_path).held() == {"a": {1}, "b": {2}}


def test_no_checkpoint_starts_with_empty_tables(tmp_path):
  assert Job(tmp_path).held() == {"a": {0}, "b": {0}}


def test_without_a_checkpoint_the_one_asset_directory_is_taken(tmp_path):
  Job(tmp_path).fill({"a": 1, "b": 2}).save(30)
  (tmp_path / "checkpoint").unlink()
  assert Job(tmp_path).held() == {"a": {1}, "b": {2}}
  (tmp_path / "model.ckpt-31.assets").mkdir()
  assert Job(tmp_path).held() == {"a": {0}, "b": {0}}


def test_a_checkpoint_without_tables_is_refused(tmp_path):
  job = Job(tmp_path)
  with job.graph.as_default():
    job.saver.save(job.session, job.basename, global_step=5)
  with pytest.raises(ValueError, match="model.ckpt-5 has no tables: .*model.ckpt-5.assets/ does not exist"):
    Job(tmp_path)


def test_a_table_of_which_nothing_was_saved_is_refused(tmp_path):
  Job(tmp_path, ["a", "test10"]).save()
  with pytest.raises(ValueError, match="holds nothing of hash table 'MonolithHashTable_test1'; looked for"):
    Job(tmp_path, ["test1"])  # a longer name with the same beginning is another table


def test_restore_names(tmp_path):
  Job(tmp_path, ["old", "other"]).fill({"old": 1, "other": 2}).save()
  names = {"new": ["nobody", "old"], "third": ["MonolithHashTable_other"]}
  assert Job(tmp_path, ["new", "third"], names).held() == {"new": {1}, "third": {2}}
  # A name of its own comes first.
  assert Job(tmp_path, ["old"], {"old": ["other"]}).held() == {"old": {1}}
  with pytest.raises(ValueError, match="looked for the files of MonolithHashTable_x, MonolithHashTable_nobody"):
    Job(tmp_path, ["x"], {"x": ["nobody"]})


def test_tables_with_numbers_in_their_names_are_no_shards(tmp_path):
  Job(tmp_path, ["slot_0", "slot_1"]).fill({"slot_0": 1, "slot_1": 2}).save()
  assert Job(tmp_path, ["slot_1"]).held() == {"slot_1": {2}}
  with pytest.raises(ValueError, match="holds nothing of hash table 'MonolithHashTable_slot_2'"):
    Job(tmp_path, ["slot_0", "slot_1", "slot_2"])
  with pytest.raises(ValueError, match="holds nothing of hash table 'MonolithHashTable_slot'"):
    Job(tmp_path, ["slot", "slot_0", "slot_1"])


def test_the_fixed_checkpoint_wins_over_the_newest(tmp_path):
  job = Job(tmp_path, ["a"]).save(1).fill({"a": 1}).save(2)
  with job.graph.as_default():
    _checkpoint_files.set_checkpoint_to_restore(str(tmp_path / "model.ckpt-1"))
  job.restore_listener.before_restore(job.session)
  assert job.held() == {"a": {0}}


def test_restoring_from_a_path_prefix(tmp_path):
  job = Job(tmp_path, ["a"]).fill({"a": 1}).save()
  job.fill({"a": 7})
  job.restore_listener._restore_from_path_prefix(job.session, str(tmp_path / "model.ckpt-1.assets") + "/")
  assert job.held() == {"a": {1}}


class Monitor:
  def __init__(self, uninitialized):
    self.uninitialized = uninitialized

  def is_ps_uninitialized(self, session, device):
    del session, device
    return self.uninitialized


@pytest.mark.parametrize("uninitialized, expected", [(True, {1}), (False, {0})])
def test_only_servers_that_lost_their_tables_are_restored(tmp_path, uninitialized, expected):
  Job(tmp_path, ["a"]).fill({"a": 1}).save()
  assert Job(tmp_path, ["a"], ps_monitor=Monitor(uninitialized)).held() == {"a": expected}


def test_restoring_after_a_save_drops_what_the_save_left_out(tmp_path):
  job = Job(tmp_path, ["a"], expire_time=1).fill({"a": 1}, req_time=100)
  with job.graph.as_default():
    late = job.tables["a"].assign(tf.constant([77], tf.int64), tf.ones([1, 1]), tf.constant(100 + 86400, tf.int64))
    found = job.tables["a"].lookup(tf.constant([77], tf.int64))
    job.session.run(late.as_op())
  job.save()
  assert job.held() == {"a": {0}}
  assert job.session.run(found).tolist() == [[1]]


def test_a_graph_without_tables(tmp_path):
  job = Job(tmp_path, [])
  job.save_listener.before_save(job.session, 1)
  job.after_listener.after_save(job.session, 1)
  job.restore_listener.before_restore(job.session)
  assert not list(tmp_path.iterdir())


# Parameter servers.


FIDS = np.array([0, 1, 2, 3, 10, -1, 1 << 48], np.int64)


def _shard_of(num_shards):
  return (FIDS.astype(np.uint64) % np.uint64(num_shards)).astype(int)


@contextlib.contextmanager
def _on_servers(basename, num_ps):
  """A session on `num_ps` servers (0: a local one) with the tables `m_<i>`, or `m`."""
  with tf.Graph().as_default(), contextlib.ExitStack() as stack:
    tables = []
    for i in range(max(num_ps, 1)):
      with tf.device(utils.ps_device(i) if num_ps else None):
        tables.append(hash_table_ops.test_hash_table(1, name_suffix=f"m_{i}" if num_ps else "m"))
    variable = tf.compat.v1.get_variable("dense", initializer=1.0)
    saver = tf.compat.v1.train.Saver()
    save = hash_table_ops.HashTableCheckpointSaverListener(basename)
    restore = hash_table_ops.HashTableCheckpointRestorerListener(basename)
    save.begin()
    restore.begin()
    session = stack.enter_context(test_utils.ps_session(num_ps) if num_ps else tf.compat.v1.Session())
    session.run(variable.initializer)
    restore.before_restore(session)

    def save_all(step):
      save.before_save(session, step)
      saver.save(session, basename, global_step=step)

    yield session, tables, save_all


@pytest.mark.parametrize("chain", [(0, 2, 0), (2, 3, 2), (1, 0, 1)])
def test_another_number_of_servers(tmp_path, chain):
  basename = str(tmp_path / "model.ckpt")
  for step, num_ps in enumerate(chain, 1):
    with _on_servers(basename, num_ps) as (session, tables, save_all):
      shard_of = _shard_of(len(tables))
      if step == 1:
        for shard, table in enumerate(tables):
          own = FIDS[shard_of == shard]
          session.run(table.assign(tf.constant(own), (own % 1000)[:, None] + 1.0).as_op())
      for shard, table in enumerate(tables):
        found, size = session.run((table.lookup(tf.constant(FIDS)), table.size()))
        expected = np.where(shard_of == shard, FIDS % 1000 + 1, 0)
        np.testing.assert_array_equal(found[:, 0], expected)
        assert size == np.sum(shard_of == shard)
      save_all(step)


class Named:
  def __init__(self, *extra_restore_names):
    self.extra_restore_names = list(extra_restore_names)


def _ps(index):
  return utils.ps_device(index)


@pytest.mark.parametrize(
  "saved, devices, expected",
  [
    (["T"], {"T": ""}, {"T": (["T"], 0, 1)}),
    (["T_0", "T_1"], {"T": ""}, {"T": (["T_0", "T_1"], 0, 1)}),
    (["T_0"], {"T": ""}, {"T": (["T_0"], 0, 1)}),
    (["T_0", "T_1"], {"T_0": _ps(0), "T_1": _ps(1)}, {"T_0": (["T_0"], 0, 1), "T_1": (["T_1"], 0, 1)}),
    (["T"], {"T_0": _ps(0), "T_1": _ps(1)}, {"T_0": (["T"], 0, 2), "T_1": (["T"], 1, 2)}),
    (["T_0", "T_1"], {"T_0": _ps(0)}, {"T_0": (["T_0", "T_1"], 0, 1)}),
    ([f"T_{i}" for i in range(11)], {"T": ""}, {"T": ([f"T_{i}" for i in range(11)], 0, 1)}),
    (["T_1", "T_3"], {"T_1": "", "T_3": _ps(1)}, {"T_1": (["T_1"], 0, 1), "T_3": (["T_3"], 0, 1)}),
  ],
)
def test_plan(tmp_path, saved, devices, expected):
  for name in saved:
    (tmp_path / f"{name}-00000-of-00001").write_bytes(b"")
  prefix = str(tmp_path) + "/"
  plan = listeners.plan_restore(prefix, {name: Named() for name in devices}, listeners.find_shards(devices))
  assert plan == {name: ([prefix + s for s in sets], *shard) for name, (sets, *shard) in expected.items()}


def test_plan_of_a_restore_name_on_servers(tmp_path):
  for name in ("MonolithHashTable_old_0", "MonolithHashTable_old_1"):
    (tmp_path / f"{name}-00000-of-00001").write_bytes(b"")
  prefix = str(tmp_path) + "/"
  devices = {f"MonolithHashTable_new_{i}": _ps(i) for i in range(2)}
  plan = listeners.plan_restore(prefix, {name: Named("old") for name in devices}, listeners.find_shards(devices))
  assert [s.basenames for s in plan.values()] == [[f"{prefix}MonolithHashTable_old_{i}"] for i in range(2)]
