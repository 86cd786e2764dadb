# SPDX-License-Identifier: Apache-2.0
"""Tests of starting a model directory from a checkpoint elsewhere."""

from __future__ import annotations

import pytest

from monolith.native_training import estimator, save_utils
from monolith.native_training._seed_checkpoint import seed_model_dir

from native_training.variables_test import _Model  # isort: skip


def _donor(directory, steps=(0, 30, 61)):
  directory.mkdir()
  for step in steps:
    (directory / f"model.ckpt-{step}.index").write_text("")
  paths = "".join(f'all_model_checkpoint_paths: "model.ckpt-{step}"\n' for step in steps)
  (directory / "checkpoint").write_text(f'model_checkpoint_path: "model.ckpt-{steps[-1]}"\n{paths}')
  (directory / "monolith_checkpoint").write_text(
    'builtin_hash_table_type: MULTI_CUCKOO_HASH_MAP exempt_model_checkpoint_paths: "model.ckpt-0"'
  )


def test_the_chosen_checkpoint_is_the_newest_and_exempt(tmp_path):
  donor, model_dir = tmp_path / "donor", tmp_path / "model"
  _donor(donor)
  chosen = seed_model_dir(str(model_dir), str(donor), "model.ckpt-30")
  assert chosen == str(donor / "model.ckpt-30") == save_utils.latest_checkpoint(str(model_dir))
  assert {p.name for p in model_dir.iterdir()} == {"checkpoint", "monolith_checkpoint", "restore_ckpt"}
  state = save_utils.get_monolith_checkpoint_state(str(model_dir))
  assert list(state.exempt_model_checkpoint_paths) == [chosen]
  assert state.builtin_hash_table_type == state.MULTI_CUCKOO_HASH_MAP
  assert seed_model_dir(str(model_dir), str(donor), "model.ckpt-61") is None


def test_the_newest_one_by_default(tmp_path):
  _donor(tmp_path / "donor")
  assert seed_model_dir(str(tmp_path / "model"), str(tmp_path / "donor")).endswith("model.ckpt-61")


def test_operator_s_exempt_list_is_kept(tmp_path):
  _donor(tmp_path / "donor")
  (tmp_path / "model").mkdir()
  (tmp_path / "model" / "monolith_checkpoint").write_text('exempt_model_checkpoint_paths: "mine"')
  chosen = seed_model_dir(str(tmp_path / "model"), str(tmp_path / "donor"))
  state = save_utils.get_monolith_checkpoint_state(str(tmp_path / "model"))
  assert list(state.exempt_model_checkpoint_paths) == ["mine", chosen]


def test_own_checkpoint_may_be_chosen_once(tmp_path):
  _donor(tmp_path / "model")
  assert seed_model_dir(str(tmp_path / "model"), None, "model.ckpt-30").endswith("model.ckpt-30")
  assert save_utils.latest_checkpoint(str(tmp_path / "model")).endswith("model.ckpt-30")
  assert seed_model_dir(str(tmp_path / "model"), None, "model.ckpt-61") is None
  assert seed_model_dir(str(tmp_path / "model"), None) is None


def test_what_cannot_be_is_named(tmp_path):
  with pytest.raises(ValueError, match="nowhere has no file 'checkpoint', and model_dir .*model no checkpoint"):
    seed_model_dir(str(tmp_path / "model"), str(tmp_path / "nowhere"))
  _donor(tmp_path / "donor")
  with pytest.raises(ValueError, match=r"'model.ckpt-7', but .*donor lists \['model.ckpt-0', 'model.ckpt-30'"):
    seed_model_dir(str(tmp_path / "model"), str(tmp_path / "donor"), "model.ckpt-7")
  (tmp_path / "donor" / "model.ckpt-61.index").unlink()
  with pytest.raises(ValueError, match="does not exist; choose another"):
    seed_model_dir(str(tmp_path / "model"), str(tmp_path / "donor"))


def _config(model_dir, **kwargs):
  return estimator.RunnerConfig(
    is_local=True, model_dir=str(model_dir), save_checkpoints_steps=2, log_step_count_steps=0, **kwargs
  )


def test_estimator_goes_on_from_the_donor_which_stays(tmp_path):
  donor, model_dir = tmp_path / "donor", tmp_path / "model"
  params = _Model.params()
  params.clip_norm = None
  params.train.per_replica_batch_size = 1
  estimator.Estimator(params, _config(donor)).train(max_steps=4)
  seeded = estimator.Estimator(
    params, _config(model_dir, restore_dir=str(donor), restore_ckpt="model.ckpt-2", checkpoints_max_to_keep=1)
  )
  for max_steps in (6, 10):
    seeded.train(max_steps=max_steps)
    (found,) = seeded.predict()
    assert found == {"row": max_steps, "dense": max_steps}
  assert (donor / "model.ckpt-2.index").exists() and (donor / "model.ckpt-2.assets").exists()
