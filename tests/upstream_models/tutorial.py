# SPDX-License-Identifier: Apache-2.0
"""Batch training of a movie ranking model, written as model code for ByteDance's Monolith was: its imports, its names,
`tf.estimator`. The one line that is not is marked."""

__import__("monolith").enable_tf_estimator_names()  # the added line

import csv

import tensorflow as tf
from absl import app, flags, logging

from monolith.native_training import entry
from monolith.native_training.estimator import Estimator, EstimatorSpec, RunnerConfig
from monolith.native_training.native_model import MonolithModel
from monolith.native_training.service_discovery import ServiceDiscoveryType

RATINGS = flags.DEFINE_string("ratings", None, "ratings.csv")
OUTPUT = flags.DEFINE_string("output", None, "where checkpoints go")
MAX_FID = 2**63 - 1


class MovieRankingModelBase(MonolithModel):
  def __init__(self, params):
    super().__init__(params)
    self.p = params
    self.p.serving.export_when_saving = False

  def model_fn(self, features, mode):
    for s_name in ["mov", "uid"]:
      self.create_embedding_feature_column(s_name)

    mov_embedding, user_embedding = self.lookup_embedding_slice(
      features=["mov", "uid"], slice_name="vec", slice_dim=32, optimizer=entry.AdagradOptimizer(learning_rate=0.05)
    )
    ratings = tf.keras.Sequential(
      [
        tf.keras.layers.Dense(256, activation="relu"),
        tf.keras.layers.Dense(64, activation="relu"),
        tf.keras.layers.Dense(1),
      ]
    )
    rank = ratings(tf.concat((user_embedding, mov_embedding), axis=1))
    if mode == tf.estimator.ModeKeys.PREDICT:
      return EstimatorSpec(label=None, pred=rank, head_name="rank", loss=None, classification=False)
    label = features["label"]
    loss = tf.reduce_mean(tf.losses.mean_squared_error(rank, label))
    optimizer = tf.compat.v1.train.AdagradOptimizer(0.05)
    return EstimatorSpec(label=label, pred=rank, head_name="rank", loss=loss, optimizer=optimizer, classification=False)

  def serving_input_receiver_fn(self):
    placeholders = {
      "mov": tf.compat.v1.placeholder(tf.int64, shape=(None,)),
      "uid": tf.compat.v1.placeholder(tf.int64, shape=(None,)),
    }
    features = {k: tf.RaggedTensor.from_tensor(tf.expand_dims(v, -1)) for k, v in placeholders.items()}
    return tf.estimator.export.ServingInputReceiver(features, placeholders)


class MovieRankingBatchTraining(MovieRankingModelBase):
  def input_fn(self, mode):
    with open(RATINGS.value, newline="") as f:
      rows = list(csv.DictReader(f))
    dataset = tf.data.Dataset.from_tensor_slices(
      {
        "mov": ["mov:" + row["movieId"] for row in rows],
        "uid": ["uid:" + row["userId"] for row in rows],
        "label": [float(row["rating"]) for row in rows],
      }
    )

    def to_fid(x):
      return tf.RaggedTensor.from_tensor(tf.expand_dims(tf.strings.to_hash_bucket_fast(x, MAX_FID), axis=-1))

    def map_fn(x):
      return {
        "mov": to_fid(x["mov"]),
        "uid": to_fid(x["uid"]),
        "label": tf.expand_dims(tf.cast(x["label"], tf.float32), axis=-1),
      }

    return (
      dataset.cache()
      .shuffle(100000, seed=1)
      .repeat(3)
      .batch(512, drop_remainder=True)
      .map(map_fn, num_parallel_calls=tf.data.AUTOTUNE)
    )


def main(_):
  config = RunnerConfig(
    is_local=True,
    model_dir=OUTPUT.value,
    discovery_type=ServiceDiscoveryType.PRIMUS,
    save_checkpoints_steps=1000,
    enable_model_ckpt_info=True,
  )
  params = MovieRankingBatchTraining.params()
  params.name = "test_movie_ranking"
  params.train.per_replica_batch_size = 512
  estimator = Estimator(params, config)
  estimator.train(steps=120)
  predictions = [float(p[0]) for _, p in zip(range(512), estimator.predict())]
  print("mean prediction %.3f" % (sum(predictions) / len(predictions)))
  estimator.close()


if __name__ == "__main__":
  logging.set_verbosity(logging.INFO)
  logging.use_absl_handler()
  tf.compat.v1.disable_eager_execution()
  app.run(main)
