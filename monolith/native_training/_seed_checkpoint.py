# SPDX-License-Identifier: Apache-2.0
"""Starting a new model directory from a checkpoint in another one, which stays where it is."""

from __future__ import annotations

import os
from typing import List, Optional

import tensorflow as tf
from absl import logging
from google.protobuf import text_format
from tensorflow.python.training import checkpoint_management
from tensorflow.python.training.checkpoint_state_pb2 import CheckpointState

from monolith.native_training import _checkpoint_files
from monolith.native_training.monolith_checkpoint_state_pb2 import MonolithCheckpointState

__all__ = ["RESTORE_CKPT_MARKER", "seed_model_dir"]

RESTORE_CKPT_MARKER = "restore_ckpt"

_STATE_FILE = "checkpoint"


def seed_model_dir(model_dir: str, restore_dir: Optional[str], restore_ckpt: Optional[str] = None) -> Optional[str]:
  """Makes `model_dir` go on from a checkpoint, once; afterwards it goes on from its own.

  With `restore_dir`, a model_dir without checkpoints starts from one there: `checkpoint` in model_dir then names it,
  and `monolith_checkpoint` exempts it from pruning. Where model_dir has checkpoints of its own, `restore_ckpt` chooses
  among those that it lists, unless the marker file `restore_ckpt` says that this was done.

  Args:
    model_dir: the new model's directory.
    restore_dir: directory of the checkpoints to start from.
    restore_ckpt: which of them, such as `model.ckpt-30`; the newest one by default.

  Returns:
    The checkpoint chosen, or None if there was nothing to do.

  Raises:
    ValueError: restore_dir has no checkpoint, or restore_ckpt is not listed there.
  """
  own = tf.train.get_checkpoint_state(model_dir)
  if restore_dir is not None and own is None:
    return _seed(model_dir, restore_dir, restore_ckpt)
  if restore_dir is not None:
    logging.info("%s has checkpoints of its own; restore_dir %s is not used.", model_dir, restore_dir)
  marker = os.path.join(model_dir, RESTORE_CKPT_MARKER)
  if restore_ckpt is None or own is None or tf.io.gfile.exists(marker):
    return None
  chosen = _choose(list(own.all_model_checkpoint_paths), restore_ckpt, model_dir)
  _write_state(model_dir, chosen, list(own.all_model_checkpoint_paths))
  _checkpoint_files.atomic_write_text(marker, os.path.basename(chosen))
  return chosen


def _seed(model_dir: str, restore_dir: str, restore_ckpt: Optional[str]) -> str:
  state = tf.train.get_checkpoint_state(restore_dir)
  if state is None:
    raise ValueError(
      f"restore_dir {restore_dir} has no file {_STATE_FILE!r}, and model_dir {model_dir} no checkpoint of its own; "
      "give a restore_dir that holds checkpoints, or none to start afresh."
    )
  paths = list(state.all_model_checkpoint_paths)
  chosen = state.model_checkpoint_path if restore_ckpt is None else _choose(paths, restore_ckpt, restore_dir)
  if not tf.io.gfile.exists(chosen + ".index"):
    raise ValueError(f"{restore_dir} lists {chosen}, but {chosen}.index does not exist; choose another restore_ckpt.")
  tf.io.gfile.makedirs(model_dir)
  # First the exemption: once the state file names the checkpoint, a save may prune it.
  _exempt(model_dir, restore_dir, chosen)
  if restore_ckpt is not None:
    _checkpoint_files.atomic_write_text(os.path.join(model_dir, RESTORE_CKPT_MARKER), os.path.basename(chosen))
  _write_state(model_dir, chosen, [chosen])
  logging.info("%s starts from %s.", model_dir, chosen)
  return chosen


def _choose(paths: List[str], restore_ckpt: str, directory: str) -> str:
  wanted = os.path.basename(restore_ckpt)
  for path in paths:
    if os.path.basename(path) == wanted:
      return path
  listed = [os.path.basename(path) for path in paths]
  raise ValueError(f"restore_ckpt is {restore_ckpt!r}, but {directory} lists {listed}; give one of these, or none.")


def _write_state(model_dir: str, chosen: str, paths: List[str]) -> None:
  # TensorFlow calls the last one the newest.
  ordered = [os.path.abspath(path) for path in paths if path != chosen] + [os.path.abspath(chosen)]
  state: CheckpointState = checkpoint_management.generate_checkpoint_state_proto(
    os.path.abspath(model_dir), ordered[-1], all_model_checkpoint_paths=ordered
  )
  path = os.path.join(model_dir, _STATE_FILE)
  _checkpoint_files.atomic_write_text(path, text_format.MessageToString(state))


def _exempt(model_dir: str, restore_dir: str, chosen: str) -> None:
  donor = _checkpoint_files.get_monolith_checkpoint_state(restore_dir)
  state = MonolithCheckpointState() if donor is None else donor
  del state.exempt_model_checkpoint_paths[:]
  own = _checkpoint_files.get_monolith_checkpoint_state(model_dir)
  if own is not None:
    state.MergeFrom(own)
  if chosen not in state.exempt_model_checkpoint_paths:
    state.exempt_model_checkpoint_paths.append(os.path.abspath(chosen))
  path = os.path.join(model_dir, _checkpoint_files.MONOLITH_CHECKPOINT_FILE)
  _checkpoint_files.atomic_write_text(path, text_format.MessageToString(state))
