# SPDX-License-Identifier: Apache-2.0
"""Exporting after each save, and pruning."""

import os
from unittest import mock

from monolith.native_training import save_utils
from monolith.native_training.model_export import export_hooks
from monolith.native_training.model_export import export_state_utils

import pytest
import tensorflow as tf


class _Exporter:
  """Writes empty exports `<base>/<name>/<step>`."""

  def __init__(self, base, names=("",), error=None):
    self.base = str(base)
    self.names = names
    self.error = error
    self.calls = []

  def export_saved_model(self, receiver_fn, checkpoint_path, global_step):
    self.calls.append((receiver_fn, checkpoint_path, global_step))
    if self.error:
      raise self.error
    result = {}
    for name in self.names:
      path = os.path.join(self.base, name, str(12345678 + global_step))
      tf.io.gfile.makedirs(path)
      result[name] = path.encode()
    return result if len(result) > 1 else result[self.names[0]]


def _touch_checkpoint(model_dir, step):
  tf.io.gfile.makedirs(str(model_dir))
  (model_dir / f"model.ckpt-{step}.index").write_text("")


def _entries(base):
  state = export_state_utils.get_export_saver_listener_state(str(base))
  return [(os.path.basename(e.export_dir), e.global_step) for e in state.entries]


def test_get_global_step():
  assert export_hooks.get_global_step("/m/model.ckpt-10") == 10
  with pytest.raises(AssertionError, match="'/m/other-10' is no checkpoint path"):
    export_hooks.get_global_step("/m/other-10")


def test_exports_the_saved_checkpoint_and_remembers_it(tmp_path):
  model_dir, exporter = tmp_path / "model", _Exporter(tmp_path / "e")
  _touch_checkpoint(model_dir, 10)
  receiver_fn = object()
  listener = export_hooks.ExportSaverListener(str(model_dir / "model.ckpt"), receiver_fn, exporter)
  listener.after_save(None, 10)
  assert exporter.calls == [(receiver_fn, str(model_dir / "model.ckpt-10"), 10)]
  assert _entries(tmp_path / "e") == [("12345688", 10)]


def test_every_sub_model_has_a_state_of_its_own(tmp_path):
  model_dir = tmp_path / "model"
  _touch_checkpoint(model_dir, 1)
  listener = export_hooks.ExportSaverListener(
    str(model_dir / "model.ckpt"), None, _Exporter(tmp_path / "e", ("entry", "ps_0"))
  )
  listener.after_save(None, 1)
  assert _entries(tmp_path / "e" / "entry") == _entries(tmp_path / "e" / "ps_0") == [("12345679", 1)]


def test_exports_of_pruned_checkpoints_are_deleted(tmp_path):
  model_dir = tmp_path / "model"
  listener = export_hooks.ExportSaverListener(
    str(model_dir / "model.ckpt"), None, _Exporter(tmp_path / "e"), exempt_checkpoint_paths=["/elsewhere/model.ckpt-1"]
  )
  for step in (1, 2, 3):
    _touch_checkpoint(model_dir, step)
    listener.after_save(None, step)
  (model_dir / "model.ckpt-1.index").unlink()
  (model_dir / "model.ckpt-2.index").unlink()
  _touch_checkpoint(model_dir, 4)
  listener.after_save(None, 4)
  assert [step for _, step in _entries(tmp_path / "e")] == [1, 3, 4]
  assert not (tmp_path / "e" / "12345680").exists() and (tmp_path / "e" / "12345679").exists()


def test_an_export_that_somebody_removed_does_no_harm(tmp_path):
  model_dir = tmp_path / "model"
  listener = export_hooks.ExportSaverListener(str(model_dir / "model.ckpt"), None, _Exporter(tmp_path / "e"))
  _touch_checkpoint(model_dir, 1)
  listener.after_save(None, 1)
  (tmp_path / "e" / "12345679").rmdir()
  (model_dir / "model.ckpt-1.index").unlink()
  _touch_checkpoint(model_dir, 2)
  listener.after_save(None, 2)
  assert _entries(tmp_path / "e") == [("12345680", 2)]


def test_full_and_dense_only_listeners_keep_each_others_exports(tmp_path):
  model_dir = tmp_path / "model"
  full = export_hooks.ExportSaverListener(str(model_dir / "model.ckpt"), None, _Exporter(tmp_path / "e"))
  dense = export_hooks.ExportSaverListener(
    str(model_dir / "dense_only" / "model.ckpt"), None, _Exporter(tmp_path / "e"), dense_only=True
  )
  _touch_checkpoint(model_dir, 1)
  full.after_save(None, 1)
  _touch_checkpoint(model_dir / "dense_only", 2)
  dense.after_save(None, 2)
  _touch_checkpoint(model_dir, 3)
  full.after_save(None, 3)
  assert [step for _, step in _entries(tmp_path / "e")] == [1, 2, 3]


@pytest.mark.parametrize("error", [ValueError("x"), OSError("x"), tf.errors.UnavailableError(None, None, "x")])
def test_a_failed_export_does_not_end_the_training(tmp_path, error):
  _touch_checkpoint(tmp_path, 1)
  listener = export_hooks.ExportSaverListener(
    str(tmp_path / "model.ckpt"), None, _Exporter(tmp_path / "e", error=error)
  )
  with mock.patch.object(export_hooks.logging, "exception") as log:
    listener.after_save(None, 1)
  assert log.call_count == 1 and _entries(tmp_path / "e") == []


def test_numeric_versions_are_emitted(tmp_path):
  listener = export_hooks.ExportSaverListener(str(tmp_path / "model.ckpt"), None, None)
  listener._mcli = mock.Mock()
  listener._update_metrics("/e/entry", "1234.5")
  listener._update_metrics("/e/entry", "latest")
  listener._mcli.emit_store.assert_called_once_with("export_models.latest_version", 1234, tagkv={"model_name": "entry"})


def test_behind_the_saver_hook_only_the_kept_checkpoint_stays_exported(tmp_path):
  with tf.Graph().as_default():
    advance = tf.compat.v1.assign_add(tf.compat.v1.train.create_global_step(), 1)
    listener = export_hooks.ExportSaverListener(str(tmp_path / "model.ckpt"), None, _Exporter(tmp_path / "e"))
    hook = tf.compat.v1.train.CheckpointSaverHook(
      str(tmp_path), save_steps=1, saver=save_utils.PartialRecoverySaver(max_to_keep=1), listeners=[listener]
    )
    with tf.compat.v1.train.SingularMonitoredSession(hooks=[hook]) as sess:
      sess.run(advance)
      sess.run(advance)
  assert [step for _, step in _entries(tmp_path / "e")] == [2]
  assert os.listdir(tmp_path / "e") and not (tmp_path / "e" / "12345679").exists()
