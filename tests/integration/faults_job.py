# SPDX-License-Identifier: Apache-2.0
"""A training job that meets a full disk: run as `faults_job.py <model_dir> <num_ps>`.

After its first checkpoint no file may grow beyond a few kilobytes any more, which is how a file system without room
looks to a process.
"""

from __future__ import annotations

import resource
import sys

from monolith.native_training import cpu_training, entry, feature, native_task, tf_estimator

import tensorflow as tf  # isort: skip

SAVE_EVERY_STEPS = 3
NUM_ROWS = 20000


class ManyRows(native_task.NativeTask):
  """A table whose files are larger than what the limit allows."""

  def create_input_fn(self, mode):
    fids = tf.RaggedTensor.from_row_lengths(tf.range(NUM_ROWS, dtype=tf.int64), [NUM_ROWS])
    dataset = tf.data.Dataset.from_tensors({"feature": fids})
    return lambda: dataset if mode == tf_estimator.ModeKeys.PREDICT else dataset.repeat()

  def create_model_fn(self):
    def model_fn(features, mode, config):
      slot = self.ctx.create_feature_slot(feature.FeatureSlotConfig(name="slot", slot_id=1))
      vec = slot.add_feature_slice(4, entry.ZerosInitializer(), entry.SgdOptimizer(1.0), entry.Fp32Compressor())
      column = feature.FeatureColumn(slot, "feature")
      embedding = column.embedding_lookup(vec)
      if mode == tf_estimator.ModeKeys.PREDICT:
        return tf_estimator.EstimatorSpec(mode, predictions=embedding)
      rows = column.get_all_embeddings_concat()
      loss = tf.reduce_sum(embedding)
      with tf.control_dependencies([self.ctx.apply_embedding_gradients(zip(tf.gradients(loss, rows), [rows]))]):
        train_op = tf.compat.v1.train.get_global_step().assign_add(1)
      return tf_estimator.EstimatorSpec(mode, loss=loss, train_op=train_op)

    return model_fn


class FullDiskHook(tf.compat.v1.train.SessionRunHook):
  """Takes the room away one step after the first checkpoint."""

  def begin(self):
    self._step = tf.compat.v1.train.get_global_step()

  def after_run(self, run_context, run_values):
    if run_context.session.run(self._step) == SAVE_EVERY_STEPS + 1:
      resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))


if __name__ == "__main__":
  config = cpu_training.CpuTrainingConfig(
    num_ps=int(sys.argv[2]), save_checkpoints_steps=SAVE_EVERY_STEPS, save_summary_steps=0, log_step_count_steps=0
  )
  cpu_training.local_train_internal(
    ManyRows.params(), config, sys.argv[1], steps=10 * SAVE_EVERY_STEPS, user_hooks=[FullDiskHook()]
  )
