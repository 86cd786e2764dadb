# SPDX-License-Identifier: Apache-2.0
"""The files of a checkpoint: names, the newest complete one, and the operator's `monolith_checkpoint` file.

A checkpoint of step N is `model.ckpt-N.index`, `.data-*` and `.meta` for dense variables, and the directory
`model.ckpt-N.assets/` for tables. It exists as a whole from the moment at which the state file `checkpoint` names it.
"""

from __future__ import annotations

import os
import re
import uuid
from typing import List, Optional, Set

import tensorflow as tf

from monolith.native_training import _proto_files, monolith_checkpoint_state_pb2
from monolith.native_training._atomic_files import atomic_write as atomic_write_text

__all__ = [
  "MONOLITH_CHECKPOINT_FILE",
  "SaveHelper",
  "atomic_write_text",
  "check_writable",
  "checkpoint_to_restore",
  "get_monolith_checkpoint_state",
  "latest_checkpoint",
  "remove_checkpoint_files",
  "set_checkpoint_to_restore",
  "step_of_checkpoint",
]

MONOLITH_CHECKPOINT_FILE = "monolith_checkpoint"

_RESTORE_ATTRIBUTE = "_monolith_checkpoint_to_restore"


class SaveHelper:
  """Names of the checkpoints that share one base name.

  Args:
    basename: path without step, such as `<model_dir>/model.ckpt`.
  """

  def __init__(self, basename: str):
    self._basename = os.fspath(basename)

  def get_ckpt_prefix(self, global_step: int) -> str:
    """Path prefix of the checkpoint of `global_step`."""
    return f"{self._basename}-{global_step}"

  @staticmethod
  def get_ckpt_asset_dir(ckpt_prefix: str) -> str:
    """Directory of the tables of a checkpoint, with a trailing slash."""
    return ckpt_prefix + ".assets/"

  @staticmethod
  def get_global_step_value(ckpt_prefix: str) -> int:
    """Step in a checkpoint's path prefix; 0 when it carries none."""
    return step_of_checkpoint(ckpt_prefix)

  def get_existing_checkpoint_steps(self) -> Set[int]:
    """Steps whose dense variables are on disk."""
    directory, base = os.path.split(self._basename)
    if not tf.io.gfile.isdir(directory):
      return set()
    pattern = re.compile(re.escape(base) + r"-(\d+)\.index$")
    matches = (pattern.match(name) for name in tf.io.gfile.listdir(directory))
    return {int(match.group(1)) for match in matches if match}


def step_of_checkpoint(ckpt_prefix: str) -> int:
  """Step in a checkpoint's path prefix such as `model.ckpt-30`; 0 when it carries none."""
  match = re.search(r"-(\d+)$", os.path.basename(ckpt_prefix))
  return int(match.group(1)) if match else 0


def latest_checkpoint(model_dir: str) -> Optional[str]:
  """Path prefix of the checkpoint that the state file of `model_dir` calls the newest, or None.

  Raises:
    ValueError: the state file names a checkpoint whose files are gone.
  """
  state = tf.train.get_checkpoint_state(model_dir)
  if state is None or not state.model_checkpoint_path:
    return None
  path = state.model_checkpoint_path
  if not tf.io.gfile.exists(path + ".index"):
    raise ValueError(
      f"{os.path.join(model_dir, 'checkpoint')} names {path}, but {path}.index does not exist; "
      "restore that file, or edit the state file to name a checkpoint that exists."
    )
  return path


def check_writable(directory: str) -> None:
  """Creates `directory` if needed and proves that files can be written there.

  Raises:
    ValueError: it cannot be created or written.
  """
  probe = os.path.join(directory, f".write-test-{uuid.uuid4().hex}")
  try:
    tf.io.gfile.makedirs(directory)
    with tf.io.gfile.GFile(probe, "w") as file:
      file.write("")
    tf.io.gfile.remove(probe)
  except tf.errors.OpError as error:
    raise ValueError(
      f"directory {directory!r} cannot be written ({error.message}); choose another model_dir or fix its permissions."
    ) from error


def get_monolith_checkpoint_state(
  checkpoint_dir: str, filename: Optional[str] = None, remove_invalid_path: bool = False
) -> Optional[monolith_checkpoint_state_pb2.MonolithCheckpointState]:
  """Reads `<checkpoint_dir>/monolith_checkpoint`, which names the checkpoints that are never pruned.

  Args:
    checkpoint_dir: directory of the file.
    filename: the file's name, if another.
    remove_invalid_path: make the exempt paths absolute and drop those whose checkpoint does not exist.

  Returns:
    The state, or None when there is no such file.

  Raises:
    ValueError: the file is no text MonolithCheckpointState.
  """
  path = os.path.join(checkpoint_dir, filename or MONOLITH_CHECKPOINT_FILE)
  if not tf.io.gfile.exists(path):
    return None
  state = _proto_files.read_text_proto(path, monolith_checkpoint_state_pb2.MonolithCheckpointState())
  if remove_invalid_path:
    paths = [os.path.join(checkpoint_dir, p) for p in state.exempt_model_checkpoint_paths]
    del state.exempt_model_checkpoint_paths[:]
    state.exempt_model_checkpoint_paths.extend(p for p in paths if tf.io.gfile.exists(p + ".index"))
  return state


def remove_checkpoint_files(ckpt_prefix: str) -> List[str]:
  """Deletes everything that belongs to one checkpoint, tables included; returns the deleted paths."""
  directory, base = os.path.split(ckpt_prefix)
  removed = []
  for name in sorted(tf.io.gfile.listdir(directory)):
    name = name.rstrip("/")
    if not name.startswith(base + "."):
      continue
    path = os.path.join(directory, name)
    if tf.io.gfile.isdir(path):
      tf.io.gfile.rmtree(path)
    else:
      tf.io.gfile.remove(path)
    removed.append(path)
  return removed


def set_checkpoint_to_restore(ckpt_prefix: Optional[str]) -> None:
  """Fixes the checkpoint that restorers of the default graph read, so that dense and tables agree."""
  setattr(tf.compat.v1.get_default_graph(), _RESTORE_ATTRIBUTE, ckpt_prefix)


def checkpoint_to_restore(model_dir: str) -> Optional[str]:
  """The checkpoint fixed for the default graph, else the newest one of `model_dir`; None without any."""
  graph = tf.compat.v1.get_default_graph()
  if hasattr(graph, _RESTORE_ATTRIBUTE):
    return getattr(graph, _RESTORE_ATTRIBUTE)
  return latest_checkpoint(model_dir)
