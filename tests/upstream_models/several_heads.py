# SPDX-License-Identifier: Apache-2.0
"""Two heads, classification and regression, features that share a slot, and an extra output; see tutorial.py."""

__import__("monolith").enable_tf_estimator_names()  # the added line

import numpy as np
import tensorflow as tf
from absl import app, flags

from monolith.native_training.entry import AdagradOptimizer, RandomUniformInitializer
from monolith.native_training.estimator import Estimator, EstimatorSpec, RunnerConfig
from monolith.native_training.layers import MLP
from monolith.native_training.model_export.export_context import ExportMode
from monolith.native_training.native_model import MonolithModel, get_sigmoid_loss_and_pred

OUTPUT = flags.DEFINE_string("output", None, "where checkpoints go")
PS = flags.DEFINE_integer("ps", 0, "parameter servers")
BATCH = 64


class TwoHeads(MonolithModel):
  def __init__(self, params=None):
    super(TwoHeads, self).__init__(params)
    self.train.per_replica_batch_size = BATCH
    self.clip_norm = 10.0
    self.dense_weight_decay = 1e-5
    self.p.serving.export_mode = ExportMode.STANDALONE

  def input_fn(self, mode):
    rng = np.random.RandomState(7)
    users, items = rng.randint(50, size=4096), rng.randint(80, size=4096)
    history = rng.randint(80, size=(4096, 5))
    clicked = ((users * 7 + items * 3) % 10 < 4).astype(np.float32)

    def parse(user, item, past, click):
      ragged = lambda x: tf.RaggedTensor.from_tensor(x)
      return {
        "fc_user": ragged(user[:, None] + (1 << 48)),
        "fc_item": ragged(item[:, None] + (2 << 48)),
        "fc_history": ragged(past + (2 << 48)),
        "click": click,
        "staytime": 3.0 * click + 1.0,
        "req_time": tf.fill([BATCH], tf.constant(1600000000, tf.int64)),
      }

    return (
      tf.data.Dataset.from_tensor_slices((users, items, history, clicked))
      .repeat(4 if mode == tf.estimator.ModeKeys.TRAIN else 1)
      .batch(BATCH, drop_remainder=True)
      .map(parse)
    )

  def model_fn(self, features, mode):
    self.create_embedding_feature_column("fc_user")
    self.create_embedding_feature_column("fc_item", occurrence_threshold=1)
    self.create_embedding_feature_column("fc_history", shared_name="fc_item", max_seq_length=3)

    bias = self.lookup_embedding_slice(["fc_user", "fc_item"], "bias", slice_dim=1, out_type="add_n")
    user, item = self.lookup_embedding_slice(
      {"fc_user": 8, "fc_item": 8},
      "vec",
      initializer=RandomUniformInitializer(-0.1, 0.1),
      optimizer=AdagradOptimizer(learning_rate=0.1, initial_accumulator_value=0.1),
    )
    (history,) = self.lookup_embedding_slice([("fc_history", 8)], "vec")
    joined = tf.concat([user, item, tf.reduce_mean(history, axis=1), user * item], axis=1)
    click_logit = MLP(name="click_tower", output_dims=[32, 1], activations="relu")(joined) + bias
    stay = tf.reshape(MLP(name="stay_tower", output_dims=[16, 1], activations="relu")(joined), (-1,))
    self.add_extra_output(name="user_vector", outputs={"user": user})

    click_loss, click_pred = get_sigmoid_loss_and_pred(
      name="click",
      logits=click_logit,
      label=features.get("click"),
      batch_size=BATCH,
      sample_rate=None,
      sample_bias=False,
      mode=mode,
    )
    if mode == tf.estimator.ModeKeys.PREDICT:
      return EstimatorSpec(label=None, pred=[click_pred, stay], head_name=["click", "staytime"])
    self.add_loss(1e-4 * tf.reduce_sum(tf.square(user)))
    stay_loss = tf.reduce_sum(tf.square(stay - features["staytime"]))
    return EstimatorSpec(
      label=[features["click"], features["staytime"]],
      pred=[click_pred, stay],
      head_name=["click", "staytime"],
      loss=click_loss + 0.1 * stay_loss,
      optimizer=tf.compat.v1.train.AdamOptimizer(0.01),
      classification=[True, False],
    )

  def serving_input_receiver_fn(self):
    ids = {
      name: tf.compat.v1.placeholder(tf.int64, shape=(None, None), name=name)
      for name in ("fc_user", "fc_item", "fc_history")
    }
    features = {name: tf.RaggedTensor.from_tensor(x) for name, x in ids.items()}
    return tf.estimator.export.ServingInputReceiver(features, ids)


def main(_):
  config = RunnerConfig(is_local=True, num_ps=PS.value, model_dir=OUTPUT.value, save_checkpoints_steps=10000)
  estimator = Estimator(TwoHeads(), config)
  estimator.train(steps=None)
  clicks = np.array([p["click"] for p in estimator.predict()])
  rng = np.random.RandomState(7)
  users, items = rng.randint(50, size=4096), rng.randint(80, size=4096)
  labels = (users * 7 + items * 3) % 10 < 4
  order = np.argsort(clicks)
  ranks = np.empty(len(clicks))
  ranks[order] = np.arange(1, len(clicks) + 1)
  positives = labels.sum()
  auc = (ranks[labels].sum() - positives * (positives + 1) / 2) / (positives * (len(labels) - positives))
  print("auc %.3f" % auc)
  print("exported %s" % estimator.export_saved_model(batch_size=BATCH, name="two_heads"))
  estimator.close()


if __name__ == "__main__":
  tf.compat.v1.disable_eager_execution()
  app.run(main)
