# SPDX-License-Identifier: Apache-2.0
"""The training job that `kill_resume_test` kills: every step adds exactly 1 to a dense variable and to each table row.

Run as `kill_resume_job.py <model_dir> <num_ps> <max_steps>`; prints `resumed <step>` and then a line a step.
"""

from __future__ import annotations

import sys
from typing import Any

from monolith.native_training import entry, estimator, native_model, tf_estimator

import tensorflow as tf  # isort: skip

# Enough rows for a save of the table to take a while.
NUM_ROWS = 20000
SAVE_EVERY_STEPS = 3


class CountingModel(native_model.MonolithModel):
  """Counts steps in `dense` and in all rows of table `fid`."""

  def input_fn(self, mode: str) -> tf.data.Dataset:
    fids = tf.RaggedTensor.from_row_splits(tf.range(NUM_ROWS, dtype=tf.int64), [0, NUM_ROWS])
    dataset = tf.data.Dataset.from_tensors({"fid": fids})
    return dataset.repeat() if mode == tf_estimator.ModeKeys.TRAIN else dataset

  def model_fn(self, features: Any, mode: str) -> native_model.EstimatorSpec:
    self.lookup_embedding_slice(
      ["fid"],
      "count",
      slice_dim=1,
      initializer=entry.ZerosInitializer(),
      optimizer=entry.SgdOptimizer(1.0),
      compressor=entry.Fp32Compressor(),
    )
    rows = self.fc_dict["fid"].get_all_embeddings_concat()
    dense = tf.compat.v1.get_variable("dense", [], initializer=tf.compat.v1.zeros_initializer())
    pred = {
      "lowest": tf.reduce_min(rows, axis=0),
      "highest": tf.reduce_max(rows, axis=0),
      "dense": tf.reshape(dense, [1]),
      "step": tf.reshape(tf.cast(self._global_step, tf.float32), [1]),
    }
    if mode == tf_estimator.ModeKeys.PREDICT:
      return native_model.EstimatorSpec(label=None, pred=pred)
    # Gradients of -1, so that SGD with rate 1 adds 1.
    loss = -tf.reduce_sum(rows) - dense
    return native_model.EstimatorSpec(
      label=None, pred=pred, loss=loss, optimizer=tf.compat.v1.train.GradientDescentOptimizer(1.0)
    )

  def serving_input_receiver_fn(self) -> Any:
    raise NotImplementedError


class PrintStepHook(tf.compat.v1.train.SessionRunHook):
  """Tells the parent process where the job is."""

  def begin(self) -> None:
    self._step = tf.compat.v1.train.get_global_step()

  def after_create_session(self, session, coord) -> None:
    del coord
    print("resumed", session.run(self._step), flush=True)

  def after_run(self, run_context, run_values) -> None:
    del run_values
    print("step", run_context.session.run(self._step), flush=True)


def make_estimator(model_dir: str, num_ps: int) -> estimator.Estimator:
  """The job's estimator; updates of embeddings overlap with steps only where that cannot change the count."""
  params = CountingModel.params()
  params.clip_norm = None
  params.train.per_replica_batch_size = 1
  config = estimator.RunnerConfig(
    is_local=True,
    num_ps=num_ps,
    model_dir=model_dir,
    save_checkpoints_steps=SAVE_EVERY_STEPS,
    checkpoints_max_to_keep=2,
    enable_embedding_postpush=True,
    log_step_count_steps=0,
  )
  return estimator.Estimator(params, config)


if __name__ == "__main__":
  make_estimator(sys.argv[1], int(sys.argv[2])).train(max_steps=int(sys.argv[3]), hooks=[PrintStepHook()])
