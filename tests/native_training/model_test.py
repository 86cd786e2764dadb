# SPDX-License-Identifier: Apache-2.0
"""The FFM model: one curve of losses on every path, and a twin of it in NumPy."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import event_files

from monolith.native_training import cpu_training, input as made_up, model, multi_hash_table_ops
from monolith.native_training._combined_step import why_not_combined
from monolith.native_training._local_training import LocalTraining
from monolith.native_training.cpu_training import CpuTrainingConfig

import tensorflow as tf  # isort: skip

_STEPS = 50
_TWIN_STEPS = 20
_BATCH = 16


def _params():
  params = model.FFMParams().task()
  params.train.per_replica_batch_size = _BATCH
  return params


def _curve(model_dir, **settings):
  """The losses of the first steps."""
  config = CpuTrainingConfig(save_summary_steps=1, save_checkpoints_steps=10**6, **settings)
  cpu_training.local_train_internal(_params(), config, str(model_dir), steps=_STEPS)
  return event_files.losses(model_dir)


@pytest.fixture(scope="module")
def plain_curve(tmp_path_factory):
  return _curve(tmp_path_factory.mktemp("plain"), fuse_lookups=False)


def test_the_model_learns(plain_curve):
  assert len(plain_curve) == _STEPS
  assert plain_curve[0] == pytest.approx(np.log(2), rel=1e-3)
  assert np.mean(plain_curve[-4:]) < 0.9 * np.mean(plain_curve[:4])


_PATHS = [{"num_ps": num_ps, "fuse_lookups": fuse} for num_ps in (0, 1, 2, 5) for fuse in (True, False)]


@pytest.mark.parametrize("settings", _PATHS, ids=str)
def test_every_path_gives_the_same_losses(tmp_path, plain_curve, settings):
  training = cpu_training.CpuTraining(CpuTrainingConfig(), _params().instantiate())
  assert why_not_combined(training.feature_configs) is None
  np.testing.assert_allclose(_curve(tmp_path, **settings), plain_curve, rtol=1e-5)


class _Twin:
  """The model in NumPy. A fid counts as zeros until its first update, which starts from its first value."""

  pairs = ((0, 3), (0, 4), (1, 5), (2, 3), (2, 5))
  rate = 0.1

  def __init__(self, first_values):
    # {fid: bias and vectors}, in columns: the bias, then 16 for every pair of the slot in the order of the pairs.
    self.first_values = {fid: row.astype(np.float64) for fid, row in first_values.items()}
    self.rows = {fid: np.zeros_like(row) for fid, row in self.first_values.items()}
    self.ftrl = {}
    self.columns = {}
    begins = [1] * 6
    for pair in self.pairs:
      for slot in pair:
        self.columns[pair, slot] = slice(begins[slot], begins[slot] + 16)
        begins[slot] += 16

  def step(self, fids, labels):
    """One step on fids[slot][row]; returns the loss."""
    batch = len(labels)
    pooled = [[sum((self.rows[f] for f in row), 0.0) for row in fids[slot]] for slot in range(6)]
    logits = np.zeros(batch)
    for row in range(batch):
      logits[row] = sum(pooled[slot][row][0] for slot in range(3))
      for pair in self.pairs:
        user, item = (pooled[slot][row][self.columns[pair, slot]] for slot in pair)
        logits[row] += user @ item
    pred = 1 / (1 + np.exp(-logits))
    loss = -np.mean(labels * np.log(pred) + (1 - labels) * np.log(1 - pred))
    self._update(fids, pooled, (pred - labels) / batch)
    return loss

  def _update(self, fids, pooled, errors):
    gradients = {}
    for slot in range(6):
      for row, error in enumerate(errors):
        gradient = np.zeros_like(pooled[slot][row])
        gradient[0] = error if slot < 3 else 0
        for pair in self.pairs:
          if slot in pair:
            other = pair[1] if slot == pair[0] else pair[0]
            gradient[self.columns[pair, slot]] = error * pooled[other][row][self.columns[pair, other]]
        for fid in fids[slot][row]:
          gradients[fid] = gradients.get(fid, 0) + gradient
    for fid, gradient in gradients.items():
      if fid not in self.ftrl:
        self.rows[fid], self.ftrl[fid] = self.first_values[fid], [1e-6, 0.0]
      self.rows[fid][1:] -= self.rate * gradient[1:]
      self.rows[fid][0] = self._ftrl(fid, gradient[0])

  def _ftrl(self, fid, gradient):
    n, z = self.ftrl[fid]
    sigma = (np.sqrt(n + gradient**2) - np.sqrt(n)) / self.rate
    n, z = n + gradient**2, z + gradient - sigma * self.rows[fid][0]
    self.ftrl[fid] = [n, z]
    return -z / ((1 + np.sqrt(n)) / self.rate)


def _first_values():
  """{fid: what its entry starts from}: a step with gradients of zero makes the entries and changes none."""
  training = cpu_training.CpuTraining(CpuTrainingConfig(), _params().instantiate())
  fids = {made_up.slot_to_key(slot): (slot << 48) + np.arange(5) for slot in range(6)}
  # In a graph, as the trainer, whose seed nobody has set.
  with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    table = multi_hash_table_ops.MultiHashTable.from_configs(training.feature_configs.table_to_config)
    ids = {name: tf.constant(values, tf.int64) for name, values in fids.items()}
    zeros = {name: (ids[name], tf.zeros([5, width])) for name, width in _widths(training).items()}
    session.run(table.initializer)
    rows = session.run(table.apply_gradients(zeros, tf.constant(0, tf.int64)).lookup(ids))
  return {fid: row for name, values in fids.items() for fid, row in zip(values.tolist(), rows[name])}


def _widths(training):
  return {name: sum(dims) for name, dims in training.feature_configs.feature_to_unmerged_slice_dims.items()}


def test_a_twin_in_numpy_agrees_with_the_first_steps(plain_curve):
  twin = _Twin(_first_values())
  assert np.abs(twin.first_values[0][1:]).max() > 1e-4, "the vectors start from random values"
  batches = iter(_params().instantiate().create_input_fn("train")())
  losses = []
  for _ in range(_TWIN_STEPS):
    batch = next(batches)
    fids = [batch[made_up.slot_to_key(slot)].to_list() for slot in range(6)]
    losses.append(twin.step(fids, batch["label"].numpy()))
  np.testing.assert_allclose(losses, plain_curve[:_TWIN_STEPS], rtol=1e-5)


def test_evaluates_and_predicts(tmp_path):
  cpu_training.local_train(_params(), model_dir=tmp_path, steps=10)
  with LocalTraining(_params(), CpuTrainingConfig(), str(tmp_path)) as local:
    metrics = local.evaluate(steps=4)
    predictions = [next(it) for it in [local.predict()] for _ in range(64)]
  assert 0 < metrics["auc"] <= 1 and metrics["global_step"] == 10
  assert np.shape(predictions) == (64,) and 0 < np.min(predictions) <= np.max(predictions) < 1


def test_made_up_examples_repeat():
  np.random.seed(3)
  first = [made_up.generate_ffm_example([5, 7], length=3) for _ in range(20)]
  np.random.seed(3)
  assert [made_up.generate_ffm_example([5, 7], length=3) for _ in range(20)] == first
  for serialized in first:
    feature = tf.train.Example.FromString(serialized).features.feature
    assert feature["label"].float_list.value[0] in (0, 1)
    for slot, size in enumerate((5, 7)):
      ids = feature[f"feature_{slot}"].int64_list.value
      assert 1 <= len(ids) <= 3 and all(0 <= i - (slot << 48) < size for i in ids)
  with pytest.raises(ValueError, match="length 0; all must be >= 1"):
    made_up.generate_ffm_example([5], length=0)


@pytest.mark.slow
def test_demo_runs(tmp_path):
  command = [
    sys.executable,
    "-m",
    "monolith.native_training.demo",
    "--num_ps=1",
    f"--model_dir={tmp_path}",
    "--steps=5",
  ]
  done = subprocess.run(command, capture_output=True, text=True, check=True)
  assert done.stdout.splitlines()[-1] == f"trained 5 steps; the checkpoint is {tmp_path}/model.ckpt-5"
