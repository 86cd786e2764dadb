# SPDX-License-Identifier: Apache-2.0
"""Tests of checkpoints: files, pruning, timers, the saver hook."""

from __future__ import annotations

import os
import time

import pytest

from monolith.native_training import _save_timer, save_utils

import tensorflow as tf  # isort: skip


@pytest.fixture(name="session", autouse=True)
def _session():
  with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    tf.compat.v1.get_variable_scope().set_use_resource(True)
    tf.compat.v1.get_variable("v", [], initializer=tf.compat.v1.zeros_initializer())
    tf.compat.v1.train.get_or_create_global_step()
    session.run(tf.compat.v1.global_variables_initializer())
    yield session


def _steps(directory):
  return sorted(save_utils.SaveHelper(str(directory / "model.ckpt")).get_existing_checkpoint_steps())


def _save(saver, session, directory, steps):
  for step in steps:
    (directory / f"model.ckpt-{step}.assets").mkdir(exist_ok=True)
    saver.save(session, str(directory / "model.ckpt"), global_step=step)


def _last(saver):
  return [save_utils.step_of_checkpoint(path) for path in saver.last_checkpoints]


class TestFiles:
  def test_save_helper(self, tmp_path, session):
    helper = save_utils.SaveHelper("/d/model.ckpt")
    assert helper.get_ckpt_prefix(7) == "/d/model.ckpt-7"
    assert helper.get_ckpt_asset_dir("/d/model.ckpt-7") == "/d/model.ckpt-7.assets/"
    assert helper.get_global_step_value("/d/model.ckpt-7") == 7
    assert helper.get_global_step_value("/d/model.ckpt") == 0
    assert helper.get_existing_checkpoint_steps() == set()
    _save(save_utils.PartialRecoverySaver(), session, tmp_path, [3, 12])
    assert _steps(tmp_path) == [3, 12]

  def test_monolith_checkpoint_state(self, tmp_path):
    assert save_utils.get_monolith_checkpoint_state(str(tmp_path)) is None
    path = tmp_path / "monolith_checkpoint"
    path.write_text('exempt_model_checkpoint_paths: "a"\nexempt_model_checkpoint_paths: "b"')
    (tmp_path / "b.index").write_text("")
    state = save_utils.get_monolith_checkpoint_state(str(tmp_path))
    assert list(state.exempt_model_checkpoint_paths) == ["a", "b"]
    state = save_utils.get_monolith_checkpoint_state(str(tmp_path), remove_invalid_path=True)
    assert list(state.exempt_model_checkpoint_paths) == [str(tmp_path / "b")]
    path.write_text("no such field: 1")
    with pytest.raises(ValueError, match="is no text MonolithCheckpointState"):
      save_utils.get_monolith_checkpoint_state(str(tmp_path))

  def test_check_writable(self, tmp_path):
    save_utils.check_writable(str(tmp_path / "new" / "directory"))
    assert os.listdir(tmp_path / "new" / "directory") == []
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="cannot be written"):
      save_utils.check_writable(str(tmp_path / "file" / "below"))

  def test_atomic_write(self, tmp_path):
    path = tmp_path / "f"
    for content in ("one", "two"):
      save_utils.atomic_write_text(str(path), content)
      assert path.read_text() == content
    assert os.listdir(tmp_path) == ["f"]

  def test_checkpoint_to_restore_is_of_the_graph(self, tmp_path):
    assert save_utils.checkpoint_to_restore(str(tmp_path)) is None
    save_utils.set_checkpoint_to_restore("/d/model.ckpt-3")
    assert save_utils.checkpoint_to_restore(str(tmp_path)) == "/d/model.ckpt-3"
    with tf.Graph().as_default():
      assert save_utils.checkpoint_to_restore(str(tmp_path)) is None


class TestPartialRecoverySaver:
  def test_exempt_checkpoints_do_not_count_and_stay(self, tmp_path, session):
    (tmp_path / "monolith_checkpoint").write_text(
      'exempt_model_checkpoint_paths: "model.ckpt-10"\nexempt_model_checkpoint_paths: "model.ckpt-20"'
    )
    saver = save_utils.PartialRecoverySaver(max_to_keep=3, model_dir=str(tmp_path))
    _save(saver, session, tmp_path, [10, 20, 30, 40, 50])
    assert _steps(tmp_path) == [10, 20, 30, 40, 50]
    _save(saver, session, tmp_path, [60])
    assert _steps(tmp_path) == [10, 20, 40, 50, 60]
    assert not (tmp_path / "model.ckpt-30.assets").exists()
    assert (tmp_path / "model.ckpt-20.assets").exists()

  def test_exempt_list_is_read_again_at_each_save(self, tmp_path, session):
    saver = save_utils.PartialRecoverySaver(max_to_keep=2, model_dir=str(tmp_path))
    _save(saver, session, tmp_path, [1, 2])
    (tmp_path / "monolith_checkpoint").write_text('exempt_model_checkpoint_paths: "model.ckpt-2"')
    _save(saver, session, tmp_path, [3])
    assert _steps(tmp_path) == [1, 2, 3]
    _save(saver, session, tmp_path, [4])
    assert _steps(tmp_path) == [2, 3, 4]

  def test_constructor_s_exempt_paths_hold_without_the_file(self, tmp_path, session):
    saver = save_utils.PartialRecoverySaver(max_to_keep=1, exempt_checkpoint_paths=["/x/model.ckpt-1"])
    _save(saver, session, tmp_path, [1, 2, 3])
    assert _steps(tmp_path) == [1, 3]

  def test_saving_a_step_again_moves_it_to_the_end(self, tmp_path, session):
    saver = save_utils.PartialRecoverySaver(max_to_keep=2)
    _save(saver, session, tmp_path, [1, 2, 3])
    assert _last(saver) == [2, 3] and _steps(tmp_path) == [2, 3]
    _save(saver, session, tmp_path, [2])
    assert _last(saver) == [3, 2]
    _save(saver, session, tmp_path, [1])
    assert _last(saver) == [2, 1]
    assert _last(save_utils.PartialRecoverySaver()) == []

  def test_one_checkpoint_per_interval_stays(self, tmp_path, session, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(time, "time", lambda: now[0])
    saver = save_utils.PartialRecoverySaver(max_to_keep=2, keep_checkpoint_every_n_hours=0.7 / 3600)
    now[0] += 1.0
    _save(saver, session, tmp_path, [1, 2, 3, 4])
    assert _steps(tmp_path) == [1, 3, 4]

  def test_recovers_those_that_exist(self, tmp_path, session):
    saver = save_utils.PartialRecoverySaver(max_to_keep=3)
    _save(saver, session, tmp_path, [1, 2, 3])
    paths = saver.last_checkpoints
    save_utils.remove_checkpoint_files(paths[0])
    recovered = save_utils.PartialRecoverySaver(max_to_keep=3)
    recovered.recover_last_checkpoints(paths)
    assert _last(recovered) == [2, 3]
    _save(recovered, session, tmp_path, [4])
    assert _last(recovered) == [2, 3, 4]

  def test_prefixes_of_other_steps_are_not_deleted(self, tmp_path, session):
    _save(save_utils.PartialRecoverySaver(), session, tmp_path, [1, 10])
    save_utils.remove_checkpoint_files(str(tmp_path / "model.ckpt-1"))
    assert _steps(tmp_path) == [10]

  def test_skip_save_and_no_limit(self, tmp_path, session):
    path = str(tmp_path / "model.ckpt")
    assert save_utils.PartialRecoverySaver(skip_save=True).save(session, path) is None
    saver = save_utils.PartialRecoverySaver(max_to_keep=0)
    saver.save(session, path, global_step=1)
    assert saver.last_checkpoints == []

  def test_restores_values(self, tmp_path, session):
    (v,) = [v for v in tf.compat.v1.global_variables() if v.op.name == "v"]
    saver = save_utils.PartialRecoverySaver(sharded=True)
    session.run(v.assign(3.0))
    path = saver.save(session, str(tmp_path / "model.ckpt"))
    session.run(v.assign(4.0))
    saver.restore(session, path)
    assert session.run(v) == 3.0

  def test_ps_monitor_needs_a_sharded_saver(self):
    with pytest.raises(ValueError, match="pass sharded=True"):
      save_utils.PartialRecoverySaver(ps_monitor=object())


class TestTimer:
  @pytest.fixture(name="now")
  def _now(self, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(time, "time", lambda: now[0])
    return now

  def test_seconds(self, now):
    timer = save_utils.SecondOrStepTimerWithTideSetting(every_secs=10)
    timer.update_last_triggered_step(1)
    now[0] += 5
    assert not timer.should_trigger_for_step(2)
    now[0] += 10
    assert timer.should_trigger_for_step(2)
    timer.disable()
    assert not timer.should_trigger_for_step(2)
    timer.enable()
    assert timer.should_trigger_for_step(2)

  @pytest.mark.parametrize("hour, results", [(2, (False, False, True)), (4, (False, True, True))])
  def test_another_period_outside_the_window(self, now, hour, results):
    timer = save_utils.SecondOrStepTimerWithTideSetting(
      every_secs=10,
      tide_start_hour=1,
      tide_start_minute=0,
      tide_end_hour=3,
      tide_end_minute=0,
      tide_every_secs=5,
    )
    now[0] = hour * 3600.0
    timer.update_last_triggered_step(1)
    for seconds, expected in zip((2, 9, 15), results, strict=True):
      now[0] = hour * 3600.0 + seconds
      assert timer.should_trigger_for_step(2) == expected

  def test_incomplete_windows_are_refused(self):
    with pytest.raises(ValueError, match="give all five, or none"):
      save_utils.SecondOrStepTimerWithTideSetting(every_secs=10, tide_every_secs=5)

  def test_windows_may_wrap_around_midnight(self):
    at_one, at_noon = 3600.0, 12 * 3600.0
    assert _save_timer.tide_available_now(23, 30, 1, 1, now=at_one)
    assert not _save_timer.tide_available_now(23, 30, 1, 0, now=at_one)
    assert not _save_timer.tide_available_now(23, 30, 1, 0, now=at_noon)
    assert _save_timer.tide_available_now(10, 0, 12, 1, now=at_noon)


class _Listener(tf.compat.v1.train.CheckpointSaverListener):
  def __init__(self, name="l", log=None, error=None):
    self._name, self._log, self._error = name, [] if log is None else log, error

  def before_save(self, session, global_step_value):
    self._log.append(f"before {self._name}")
    if self._error is not None:
      raise self._error

  def after_save(self, session, global_step_value):
    self._log.append(f"after {self._name}")


def _train(tmp_path, num_steps, **kwargs):
  hook = save_utils.NoFirstSaveCheckpointSaverHook(
    str(tmp_path), saver=save_utils.PartialRecoverySaver(model_dir=str(tmp_path)), **kwargs
  )
  train_op = tf.compat.v1.train.get_global_step().assign_add(1)
  with tf.compat.v1.train.SingularMonitoredSession(hooks=[hook], checkpoint_dir=str(tmp_path)) as session:
    for _ in range(num_steps):
      session.run(train_op)
  return hook


class TestSaverHook:
  def test_does_not_save_before_the_first_step(self, tmp_path):
    _train(tmp_path, 1, save_steps=100)
    assert _steps(tmp_path) == [1]
    state = save_utils.get_monolith_checkpoint_state(str(tmp_path))
    assert state.last_checkpoint_save_timestamp > 0

  def test_saves_every_so_many_steps(self, tmp_path):
    _train(tmp_path, 5, save_steps=2)
    assert _steps(tmp_path) == [2, 4, 5]

  def test_exempt_list_survives_saves(self, tmp_path):
    (tmp_path / "monolith_checkpoint").write_text('exempt_model_checkpoint_paths: "a"')
    _train(tmp_path, 1, save_steps=100)
    state = save_utils.get_monolith_checkpoint_state(str(tmp_path))
    assert list(state.exempt_model_checkpoint_paths) == ["a"]

  def test_order_of_guards_and_listeners(self, tmp_path):
    log = []
    _train(
      tmp_path,
      1,
      save_steps=100,
      listeners=[_Listener("l1", log), _Listener("l2", log)],
      guard_saver_listeners=[_Listener("g1", log), _Listener("g2", log)],
    )
    assert log == [
      *("before g1", "before g2", "before l1", "before l2"),
      *("after l1", "after l2", "after g2", "after g1"),
    ]

  def test_failing_save_is_tried_twice_then_raised_or_ignored(self, tmp_path):
    error = tf.errors.UnavailableError(None, None, "gone")
    log = []
    kwargs = {
      "save_steps": 100,
      "listeners": [_Listener("l", log, error)],
      "guard_saver_listeners": [_Listener("g", log)],
    }
    _train(tmp_path, 1, ignore_save_errors=True, no_first_save=False, **kwargs)
    assert log == ["before g", "before l", "before l", "after g"] * 2
    with tf.Graph().as_default():
      tf.compat.v1.train.get_or_create_global_step()
      with pytest.raises(tf.errors.UnavailableError, match="gone"):
        _train(tmp_path, 1, **kwargs)

  def test_failing_guard_does_not_stop_the_save(self, tmp_path):
    _train(tmp_path, 1, save_steps=100, guard_saver_listeners=[_Listener(error=ValueError("no"))])
    assert _steps(tmp_path) == [1]

  def test_trigger_save_saves_at_once(self, tmp_path):
    hook = save_utils.NoFirstSaveCheckpointSaverHook(
      str(tmp_path), save_steps=100, saver=save_utils.PartialRecoverySaver()
    )
    train_op = tf.compat.v1.train.get_global_step().assign_add(1)
    with tf.compat.v1.train.SingularMonitoredSession(hooks=[hook]) as session:
      session.run(train_op)
      hook.trigger_save(session.raw_session())
      assert _steps(tmp_path) == [1]

  def test_dense_only_hook_saves_nothing_at_the_end(self, tmp_path):
    _train(tmp_path, 5, save_steps=2, is_dense_only=True)
    assert _steps(tmp_path) == [2, 4]

  def test_table_directory_of_an_unfinished_save_is_deleted_and_a_committed_one_kept(self, tmp_path):
    for step in (1, 2):
      (tmp_path / f"model.ckpt-{step}.assets").mkdir()
      (tmp_path / f"model.ckpt-{step}.assets" / "torn").write_text("")
    (tmp_path / "checkpoint").write_text('model_checkpoint_path: "model.ckpt-2"')
    hook = save_utils.NoFirstSaveCheckpointSaverHook(str(tmp_path), save_steps=1, saver=object())
    hook._remove_orphaned_assets(1)
    hook._remove_orphaned_assets(2)
    assert not (tmp_path / "model.ckpt-1.assets").exists()
    assert (tmp_path / "model.ckpt-2.assets").exists()

  def test_leftovers_of_killed_saves_are_deleted_when_training_goes_on(self, tmp_path):
    _train(tmp_path, 2, save_steps=1)
    for name in ("model.ckpt-1.assets", "model.ckpt-9.assets", "model.ckpt-9_temp", "other-9.assets"):
      (tmp_path / name).mkdir()
    (tmp_path / "model.ckpt-0.assets").mkdir()
    with tf.Graph().as_default():
      tf.compat.v1.get_variable_scope().set_use_resource(True)
      tf.compat.v1.get_variable("v", [])
      tf.compat.v1.train.get_or_create_global_step()
      _train(tmp_path, 1, save_steps=1)
    left = {name for name in os.listdir(tmp_path) if os.path.isdir(tmp_path / name)}
    assert left == {"model.ckpt-0.assets", "model.ckpt-1.assets", "other-9.assets"}
