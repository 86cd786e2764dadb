# SPDX-License-Identifier: Apache-2.0
"""A small field-aware factorization machine that trains, predicts and exports without any data of the user's.

    from monolith.native_training import cpu_training
    from monolith.native_training.model import TestFFMModel

    cpu_training.local_train(TestFFMModel.params(), num_ps=2, steps=100)

It is a `NativeTask` written out by hand: slots, slices, columns, gradients and the update of tables, all of which
`MonolithModel` does for its users.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, List

import numpy as np
import tensorflow as tf

from monolith.core import base_model_params, hyperparams
from monolith.native_training import entry, feature, native_task, tf_estimator
from monolith.native_training._streaming_auc import streaming_auc
from monolith.native_training.input import generate_ffm_example, slot_to_key

__all__ = ["FFMParams", "TestFFMModel"]

_NUM_SLOTS = 6
_VOCAB_SIZES = [5] * _NUM_SLOTS
_NUM_EXAMPLES = 64
# (slot of the user, slot of the item, dim of the vectors whose dot product is taken)
_FFM_SLOT = ((0, 3, 16), (0, 4, 16), (1, 5, 16), (2, 3, 16), (2, 5, 16))
_NUM_BIAS_SLOTS = _NUM_SLOTS // 2
_LEARNING_RATE = 0.1


def _parse_example(example: tf.Tensor) -> Dict[str, Any]:
  """Labels [B] and ragged int64 fids [B, None] of serialized examples [B]."""
  spec: Dict[str, Any] = {slot_to_key(slot): tf.io.VarLenFeature(tf.int64) for slot in range(_NUM_SLOTS)}
  spec["label"] = tf.io.FixedLenFeature([], tf.float32)
  features = tf.io.parse_example(example, spec)
  return {
    name: tf.RaggedTensor.from_sparse(value) if isinstance(value, tf.SparseTensor) else value
    for name, value in features.items()
  }


class TestFFMModel(native_task.NativeTask):
  """Logistic loss over dot products of the vectors of slot pairs, and the biases of the first slots.

  Each slot has a bias under FTRL, and one slice of vectors for every pair that it is part of, under gradient descent.
  """

  __test__ = False  # test collectors go by the name

  def create_input_fn(self, mode: str) -> Callable[[], tf.data.Dataset]:
    """64 examples, the same each time, over and over."""
    del mode

    def input_fn() -> tf.data.Dataset:
      np.random.seed(0)
      examples = [generate_ffm_example(_VOCAB_SIZES) for _ in range(_NUM_EXAMPLES)]
      dataset = tf.data.Dataset.from_tensor_slices(examples)
      dataset = dataset.batch(self.p.train.per_replica_batch_size, drop_remainder=True)
      return dataset.map(_parse_example).cache().repeat().prefetch(tf.data.AUTOTUNE)

    return input_fn

  def create_model_fn(self) -> Callable[..., tf_estimator.EstimatorSpec]:
    def model_fn(features: Dict[str, Any], mode: str, config: Any) -> tf_estimator.EstimatorSpec:
      del config
      columns = [self._create_column(slot) for slot in range(_NUM_SLOTS)]
      pred = tf.sigmoid(_logits(columns), name="pred")
      if mode == tf_estimator.ModeKeys.PREDICT:
        return tf_estimator.EstimatorSpec(mode, predictions=pred)
      loss = tf.reduce_sum(tf.keras.losses.binary_crossentropy(features["label"], pred))
      if mode == tf_estimator.ModeKeys.EVAL:
        return tf_estimator.EstimatorSpec(
          mode,
          loss=loss,
          train_op=tf.no_op(),
          eval_metric_ops={"auc": streaming_auc(features["label"] > 0, pred, "auc")},
        )
      return tf_estimator.EstimatorSpec(mode, loss=loss, train_op=self._train_op(loss, columns))

    return model_fn

  def create_serving_input_receiver_fn(self) -> Callable[[], tf_estimator.export.ServingInputReceiver]:
    """Receives serialized examples as `instances`."""

    def serving_input_receiver_fn() -> tf_estimator.export.ServingInputReceiver:
      instances = tf.compat.v1.placeholder(tf.string, [None], name="instances")
      return tf_estimator.export.ServingInputReceiver(_parse_example(instances), {"instances": instances})

    return serving_input_receiver_fn

  def _create_column(self, slot: int) -> feature.FeatureColumn:
    config = feature.FeatureSlotConfig(
      name=str(slot),
      slot_id=slot,
      has_bias=True,
      bias_optimizer=entry.FtrlOptimizer(_LEARNING_RATE, initial_accumulator_value=1e-6, beta=1.0),
      default_vec_optimizer=entry.SgdOptimizer(_LEARNING_RATE),
      default_vec_compressor=entry.Fp32Compressor(),
    )
    return feature.FeatureColumn(self.ctx.create_feature_slot(config), slot_to_key(slot))

  def _train_op(self, loss: tf.Tensor, columns: List[feature.FeatureColumn]) -> tf.Operation:
    # With respect to these, rather than to embeddings of single fids, so that one op may look up and combine.
    targets = self.ctx.gradient_targets(columns)
    gradients = tf.gradients(loss, targets)
    update = self.ctx.apply_embedding_gradients(zip(gradients, targets, strict=True))
    with tf.control_dependencies([update]):
      return self.ctx.add_async_function(
        lambda: tf.group(tf.compat.v1.train.get_or_create_global_step().assign_add(1, read_value=False))
      )


def _logits(columns: List[feature.FeatureColumn]) -> tf.Tensor:
  products = []
  for user, item, dim in _FFM_SLOT:
    vectors = [
      columns[slot].embedding_lookup(columns[slot].feature_slot.add_feature_slice(dim)) for slot in (user, item)
    ]
    products.append(tf.reduce_sum(vectors[0] * vectors[1], axis=1))
  biases = [tf.reduce_sum(columns[slot].get_bias(), axis=1) for slot in range(_NUM_BIAS_SLOTS)]
  return tf.add_n(products) + tf.add_n(biases)


class FFMParams(base_model_params.SingleTaskModelParams):
  """The settings under which the model is known by name."""

  def task(self) -> hyperparams.InstantiableParams:
    params = TestFFMModel.params()
    params.train.per_replica_batch_size = _NUM_EXAMPLES
    return params
