# SPDX-License-Identifier: Apache-2.0
"""The hook that writes checkpoints: tables first, dense variables next, the state file last."""

from __future__ import annotations

import os
import re
import threading
import time
from typing import Any, List, Optional, Sequence, TypeAlias

import tensorflow as tf
from absl import logging
from google.protobuf import text_format

from monolith.native_training import _checkpoint_files, _event_files
from monolith.native_training import monolith_checkpoint_state_pb2
from monolith.native_training._save_timer import SecondOrStepTimerWithTideSetting

__all__ = ["NoFirstSaveCheckpointSaverHook"]

_Listener: TypeAlias = tf.compat.v1.train.CheckpointSaverListener
_HashTableType = monolith_checkpoint_state_pb2.MonolithCheckpointState
_ATTEMPTS = 2


class NoFirstSaveCheckpointSaverHook(tf.compat.v1.train.CheckpointSaverHook):
  """A CheckpointSaverHook that does not save before the first step and survives failing saves.

  One save: `guard_saver_listeners` before (their errors are logged), then at most two attempts of [listeners before,
  i.e. tables; dense variables; the state file, which is the commit point; listeners after], then the guards after, in
  reverse, always. What a killed run left of a table directory for the same step is deleted first, so that old and new
  files never mix. A step that this hook has saved already is not saved again.

  Args:
    checkpoint_dir: directory of the checkpoints.
    save_secs, save_steps: the period; give one.
    saver, scaffold, listeners, save_graph_def: as in `tf.compat.v1.train.CheckpointSaverHook`.
    checkpoint_basename: base name of the files.
    tide_start_hour, tide_start_minute, tide_end_hour, tide_end_minute, tide_save_secs: daily UTC window of the ordinary
      period, and the seconds between saves outside it.
    ignore_save_errors: log errors of a save instead of raising them.
    is_dense_only: this hook saves no tables; it does nothing when the loop ends.
    use_native_multi_hash_table: recorded in `monolith_checkpoint`.
    no_first_save: False saves already when the session is created.
    guard_saver_listeners: run outside of the attempts, such as a barrier that stops the other workers.

  Raises:
    ValueError: the periods contradict each other.
  """

  def __init__(
    self,
    checkpoint_dir: str,
    save_secs: Optional[float] = None,
    save_steps: Optional[int] = None,
    saver: Any = None,
    checkpoint_basename: str = "model.ckpt",
    scaffold: Any = None,
    listeners: Optional[Sequence[_Listener]] = None,
    save_graph_def: bool = True,
    tide_start_hour: Optional[int] = None,
    tide_start_minute: Optional[int] = None,
    tide_end_hour: Optional[int] = None,
    tide_end_minute: Optional[int] = None,
    tide_save_secs: Optional[float] = None,
    ignore_save_errors: bool = False,
    is_dense_only: bool = False,
    use_native_multi_hash_table: bool = False,
    no_first_save: bool = True,
    guard_saver_listeners: Optional[Sequence[_Listener]] = None,
  ):
    super().__init__(
      checkpoint_dir,
      save_secs=save_secs,
      save_steps=save_steps,
      saver=saver,
      checkpoint_basename=checkpoint_basename,
      scaffold=scaffold,
      listeners=list(listeners or ()),
      save_graph_def=save_graph_def,
    )
    self._timer = SecondOrStepTimerWithTideSetting(
      every_secs=save_secs,
      every_steps=save_steps,
      tide_start_hour=tide_start_hour,
      tide_start_minute=tide_start_minute,
      tide_end_hour=tide_end_hour,
      tide_end_minute=tide_end_minute,
      tide_every_secs=tide_save_secs,
    )
    self._helper = _checkpoint_files.SaveHelper(self._save_path)
    self._ignore_save_errors = ignore_save_errors
    self._is_dense_only = is_dense_only
    self._use_native_multi_hash_table = use_native_multi_hash_table
    self._skip_next_save = no_first_save
    self._guards: List[_Listener] = list(guard_saver_listeners or ())
    self._last_saved_step: Optional[int] = None
    self._lock = threading.RLock()

  @property
  def timer(self) -> SecondOrStepTimerWithTideSetting:
    """The timer that decides when to save."""
    return self._timer

  def begin(self) -> None:
    # TensorFlow's own would write the default graph at once, which is not complete yet.
    _event_files.shared_writer(self._checkpoint_dir)
    super().begin()
    for guard in self._guards:
      guard.begin()

  def after_create_session(self, session, coord) -> None:
    del coord
    step = session.run(self._global_step_tensor)
    self._remove_leftovers()
    graph = tf.compat.v1.get_default_graph()
    if self._save_graph_def:
      tf.io.write_graph(graph.as_graph_def(add_shapes=True), self._checkpoint_dir, "graph.pbtxt")
    self._summary_writer.add_graph(graph)
    self._save(session, step)
    self._timer.update_last_triggered_step(step)

  def trigger_save(self, session: Any, ignore_save_errors: bool = False) -> None:
    """Saves now; may be called from any thread."""
    # Another thread has another default graph.
    with session.graph.as_default():
      step = session.run(self._global_step_tensor)
      self._guarded_save(session, step, ignore_save_errors)
    self._timer.update_last_triggered_step(step)

  def end(self, session) -> None:
    if not self._is_dense_only:
      super().end(session)
      return
    last_step = session.run(self._global_step_tensor)
    for listener in self._listeners:
      listener.end(session, last_step)

  def _save(self, session, step) -> bool:
    if self._skip_next_save:
      self._skip_next_save = False
      return False
    return self._guarded_save(session, step, self._ignore_save_errors)

  def _guarded_save(self, session: Any, step: int, ignore_save_errors: bool) -> bool:
    with self._lock:
      if step == self._last_saved_step:
        return False
      for guard in self._guards:
        self._run_guard_before(guard, session, step)
      try:
        should_stop = self._save_with_retry(session, step)
      except (tf.errors.OpError, OSError, ValueError, RuntimeError) as error:
        if not ignore_save_errors:
          raise
        logging.error("Saving step %d failed, training goes on: %s", step, error)
        return False
      finally:
        for guard in reversed(self._guards):
          guard.after_save(session, step)
      self._last_saved_step = step
      return should_stop

  @staticmethod
  def _run_guard_before(guard: _Listener, session: Any, step: int) -> None:
    try:
      guard.before_save(session, step)
    except (tf.errors.OpError, OSError, ValueError, RuntimeError) as error:
      logging.error("%s failed before the save of step %d: %s", type(guard).__name__, step, error)

  def _save_with_retry(self, session: Any, step: int) -> bool:
    for attempt in range(1, _ATTEMPTS + 1):
      try:
        self._remove_orphaned_assets(step)
        should_stop = super()._save(session, step)
        self._write_monolith_checkpoint()
        return should_stop
      except tf.errors.OpError as error:
        if attempt == _ATTEMPTS:
          raise
        logging.warning("Saving step %d failed, trying once more: %s", step, error.message)
    raise AssertionError("unreachable")

  def _remove_leftovers(self) -> None:
    """Deletes what saves that were killed left behind: half-written dense files, tables without dense variables."""
    latest = _checkpoint_files.latest_checkpoint(self._checkpoint_dir)
    if latest is None:
      return
    complete = self._helper.get_existing_checkpoint_steps()
    base = re.escape(os.path.basename(self._save_path))
    for name in tf.io.gfile.listdir(self._checkpoint_dir):
      match = re.match(base + r"-(\d+)(_temp|\.assets)/?$", name)
      if match is None or int(match[1]) in complete:
        continue
      # An operator may keep table directories of older steps on their own.
      if match[2] == "_temp" or int(match[1]) > _checkpoint_files.step_of_checkpoint(latest):
        logging.info("Deleting %s in %s, which an unfinished save left.", name, self._checkpoint_dir)
        tf.io.gfile.rmtree(os.path.join(self._checkpoint_dir, name))

  def _remove_orphaned_assets(self, step: int) -> None:
    prefix = self._helper.get_ckpt_prefix(step)
    assets = self._helper.get_ckpt_asset_dir(prefix)
    if not tf.io.gfile.isdir(assets):
      return
    state = tf.train.get_checkpoint_state(self._checkpoint_dir)
    # A state file edited by hand may name the newest checkpoint alone.
    named = [] if state is None else [state.model_checkpoint_path, *state.all_model_checkpoint_paths]
    if os.path.abspath(prefix) not in [os.path.abspath(path) for path in named]:
      logging.info("Deleting %s, which an unfinished save of step %d left.", assets, step)
      tf.io.gfile.rmtree(assets)

  def _write_monolith_checkpoint(self) -> None:
    """Records time and table type; the exempt list in the file is the operator's and stays."""
    state = _checkpoint_files.get_monolith_checkpoint_state(self._checkpoint_dir)
    state = _HashTableType() if state is None else state
    state.last_checkpoint_save_timestamp = int(time.time())
    state.builtin_hash_table_type = (
      _HashTableType.MULTI_CUCKOO_HASH_MAP if self._use_native_multi_hash_table else _HashTableType.CUCKOO_HASH_MAP
    )
    path = os.path.join(self._checkpoint_dir, _checkpoint_files.MONOLITH_CHECKPOINT_FILE)
    _checkpoint_files.atomic_write_text(path, text_format.MessageToString(state))
