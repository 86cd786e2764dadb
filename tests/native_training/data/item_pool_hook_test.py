# SPDX-License-Identifier: Apache-2.0
"""Item pools in checkpoints of a run."""

import monolith  # noqa: F401  (selects Keras 2 before TensorFlow is imported)
import tensorflow as tf

from monolith.native_training.data import feature_utils as fu
from monolith.native_training.data.item_pool_hook import ItemPoolSaveRestoreHook


def steps(model_dir, num_steps, save_steps, mode="train", fill=True, pools=1):
  """Trains so many steps; every step fills the pool. Returns the names of the pool's files."""
  with tf.Graph().as_default():
    step = tf.compat.v1.train.get_or_create_global_step()
    made = [fu.create_item_pool(0, 50) for _ in range(pools)]
    filled = [fu.item_pool_random_fill(pool).op for pool in made if fill]
    with tf.control_dependencies(filled):
      train = tf.compat.v1.assign_add(step, 1)
    hook = ItemPoolSaveRestoreHook(str(model_dir), save_steps, mode)
    with tf.compat.v1.train.MonitoredTrainingSession(
      checkpoint_dir=str(model_dir), hooks=[hook], save_checkpoint_steps=1, log_step_count_steps=None
    ) as session:
      for _ in range(num_steps):
        session.run(train)
  return sorted(p.name for p in model_dir.iterdir() if "item_pool" in p.name)


def name(step):
  return f"model.ckpt-{step}_item_pool_0_0_1"


def test_saves(tmp_path):
  assert steps(tmp_path / "a", 7, 2) == [name(3), name(6), name(7)]
  assert steps(tmp_path / "b", 3, None) == [name(3)]
  assert steps(tmp_path / "c", 3, 0) == [name(3)]
  assert steps(tmp_path / "d", 3, 1, mode="eval") == []
  assert steps(tmp_path / "e", 3, 1, pools=0) == []
  assert steps(tmp_path / "f", 0, 1) == []


def test_restores(tmp_path):
  steps(tmp_path, 3, None)
  before = (tmp_path / name(3)).read_bytes()
  assert len(before) > 100
  assert steps(tmp_path, 1, None, fill=False) == [name(3), name(4)]
  assert (tmp_path / name(4)).read_bytes() == before, "the pool went on where it was"
