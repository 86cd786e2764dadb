# SPDX-License-Identifier: Apache-2.0
"""The state file of exports."""

import os

from monolith.native_training.model_export import export_pb2
from monolith.native_training.model_export import export_state_utils

import pytest


def test_round_trip_creates_the_directory(tmp_path):
  base = str(tmp_path / "exported_models" / "entry")
  state = export_pb2.ServingModelState()
  state.entries.add(export_dir="a", global_step=1)
  export_state_utils.overwrite_export_saver_listener_state(base, state)
  assert export_state_utils.get_export_saver_listener_state(base) == state
  assert os.listdir(base) == ["ExportSaverListenerState"]


def test_missing_file_is_an_empty_state(tmp_path):
  state = export_state_utils.get_export_saver_listener_state(str(tmp_path))
  assert state == export_pb2.ServingModelState()


def test_text_of_upstream_is_read(tmp_path):
  (tmp_path / "ExportSaverListenerState").write_text('entries {\n  export_dir: "/m/123"\n  global_step: 10\n}\n')
  (entry,) = export_state_utils.get_export_saver_listener_state(str(tmp_path)).entries
  assert (entry.export_dir, entry.global_step) == ("/m/123", 10)


def test_broken_file_is_named(tmp_path):
  (tmp_path / "ExportSaverListenerState").write_text("nonsense")
  with pytest.raises(ValueError, match="ExportSaverListenerState is no text ServingModelState .*; delete it"):
    export_state_utils.get_export_saver_listener_state(str(tmp_path))
