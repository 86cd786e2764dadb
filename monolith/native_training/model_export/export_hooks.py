# SPDX-License-Identifier: Apache-2.0
"""Exports a model whenever its checkpoint is saved, and removes exports whose checkpoint is gone."""

from __future__ import annotations

import os
import re
from typing import Any, Callable, Iterable, List, Optional, Set

from absl import logging

from monolith.core.errors import CallerError
from monolith.native_training import save_utils
from monolith.native_training import utils
from monolith.native_training.metric import cli
from monolith.native_training.model_export import export_pb2
from monolith.native_training.model_export import export_state_utils

import tensorflow as tf

_DENSE_ONLY_DIR = "dense_only"
_LOG_SECS = 1200
# What an exporter raises for reasons outside this program, or inside the user's model.
_EXPORT_ERRORS = (tf.errors.OpError, OSError, ValueError, KeyError, RuntimeError)


def get_global_step(checkpoint_path: str) -> int:
  """The step in `.../model.ckpt-<step>`.

  Raises:
    CallerError: the path has another form.
  """
  match = re.search(r"model\.ckpt-(\d+)", checkpoint_path)
  if not match:
    raise CallerError(f"{checkpoint_path!r} is no checkpoint path; give <model_dir>/model.ckpt-<step>.")
  return int(match.group(1))


class ExportSaverListener(tf.compat.v1.train.CheckpointSaverListener):
  """Exports after each save.

  An export that fails is logged, and training goes on.

  Args:
    save_path: path of the checkpoints without step, such as `<model_dir>/model.ckpt`.
    serving_input_receiver_fn: given to the exporter.
    exporter: a BaseExporter.
    exempt_checkpoint_paths: checkpoints whose exports stay even when they are pruned.
    dense_only: whether `save_path` is `<model_dir>/dense_only/model.ckpt`.
  """

  def __init__(
    self,
    save_path: str,
    serving_input_receiver_fn: Callable[[], Any],
    exporter: Any,
    exempt_checkpoint_paths: Optional[Iterable[str]] = None,
    dense_only: bool = False,
  ):
    super().__init__()
    self._serving_input_receiver_fn = serving_input_receiver_fn
    self._exporter = exporter
    self._dense_only = dense_only
    self._helper = save_utils.SaveHelper(save_path)
    directory, name = os.path.split(os.fspath(save_path))
    other = os.path.dirname(directory) if dense_only else os.path.join(directory, _DENSE_ONLY_DIR)
    # Full and dense-only checkpoints export to the same place: each listener knows the other's steps.
    self._other_helper = save_utils.SaveHelper(os.path.join(other, name))
    self._exempt_checkpoint_steps = {get_global_step(p) for p in exempt_checkpoint_paths or ()}
    self._mcli = cli.get_cli(utils.get_metric_prefix())

  def after_save(self, session: tf.compat.v1.Session, global_step_value: int) -> None:
    """Exports the checkpoint just saved and prunes."""
    del session
    checkpoint = self._helper.get_ckpt_prefix(global_step_value)
    try:
      exported = self._exporter.export_saved_model(self._serving_input_receiver_fn, checkpoint, global_step_value)
    except _EXPORT_ERRORS:
      logging.exception("Exporting %s failed; the exports of earlier steps stay.", checkpoint)
      return
    for export_dir in _paths(exported):
      self._add_entry_to_state(export_dir, global_step_value)
      self._maybe_delete_old_entries(export_dir)

  def _add_entry_to_state(self, export_dir: str, global_step_value: int) -> None:
    base, version = os.path.split(export_dir)
    state = export_state_utils.get_export_saver_listener_state(base)
    state.entries.add(export_dir=export_dir, global_step=global_step_value)
    export_state_utils.overwrite_export_saver_listener_state(base, state)
    self._update_metrics(base, version)

  def _maybe_delete_old_entries(self, export_dir: str) -> None:
    base = os.path.dirname(export_dir)
    existing = self._existing_steps()
    state = export_state_utils.get_export_saver_listener_state(base)
    kept = export_pb2.ServingModelState()
    for entry in state.entries:
      if entry.global_step in existing:
        kept.entries.append(entry)
        continue
      try:
        tf.io.gfile.rmtree(entry.export_dir)
      except tf.errors.NotFoundError:
        logging.info("%s is gone already.", entry.export_dir)
    export_state_utils.overwrite_export_saver_listener_state(base, kept)

  def _existing_steps(self) -> Set[int]:
    return (
      self._helper.get_existing_checkpoint_steps()
      | self._exempt_checkpoint_steps
      | self._other_helper.get_existing_checkpoint_steps()
    )

  def _update_metrics(self, export_dir_base: str, version: str) -> None:
    number = version.split(".")[0]
    if not number.isdigit():
      return
    try:
      self._mcli.emit_store(
        "export_models.latest_version", int(number), tagkv={"model_name": os.path.basename(export_dir_base)}
      )
    except OSError:
      logging.log_every_n_seconds(logging.WARNING, "Cannot emit the exported version.", _LOG_SECS, exc_info=True)


def _paths(exported: Any) -> List[str]:
  """What an exporter returns, one path or several in a list or dict, as text."""
  if isinstance(exported, dict):
    exported = list(exported.values())
  elif not isinstance(exported, (list, tuple)):
    exported = [exported]
  return [path.decode() if isinstance(path, bytes) else os.fspath(path) for path in exported]
