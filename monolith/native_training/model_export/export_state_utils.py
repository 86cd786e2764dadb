# SPDX-License-Identifier: Apache-2.0
"""Remembers, beside the exports of a model, which of them exist and of which step they are."""

from __future__ import annotations

import os

import monolith  # noqa: F401  (selects Keras 2 before TensorFlow is imported)
from google.protobuf import text_format
from monolith.native_training import _atomic_files, _proto_files
from monolith.native_training.model_export import export_pb2

import tensorflow as tf

_ExportSaverListenerStateFile = "ExportSaverListenerState"


def get_export_saver_listener_state(export_dir_base: str) -> export_pb2.ServingModelState:
  """The state that `export_dir_base` holds; an empty one where there is none.

  Raises:
    ValueError: the file is no text-format ServingModelState.
  """
  path = os.path.join(export_dir_base, _ExportSaverListenerStateFile)
  state = export_pb2.ServingModelState()
  if not tf.io.gfile.exists(path):
    return state
  return _proto_files.read_text_proto(path, state, "; delete it, and the exports it listed are no longer pruned.")


def overwrite_export_saver_listener_state(export_dir_base: str, state: export_pb2.ServingModelState) -> None:
  """Writes the state in one piece; the directory is created where it is missing."""
  tf.io.gfile.makedirs(export_dir_base)
  path = os.path.join(export_dir_base, _ExportSaverListenerStateFile)
  _atomic_files.atomic_write(path, text_format.MessageToString(state))
