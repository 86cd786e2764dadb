# SPDX-License-Identifier: Apache-2.0
"""Will this user like that movie? Bias terms, a factorization machine and an MLP over embeddings.

    logit = sum of biases + sum over pairs of features <v_i, v_j> + MLP(v_1, v_2, ...)

Reference: Guo et al., DeepFM (https://arxiv.org/abs/1703.04247).
"""

from __future__ import annotations

import dataclasses
from typing import Any, Dict, Iterator, Mapping, Optional, Tuple

import monolith  # noqa: F401  (selects Keras 2 before TensorFlow is imported)

import numpy as np
import tensorflow as tf

from examples.movielens.features import SLOTS, FeatureBuilder, Ragged
from monolith.native_training import entry
from monolith.native_training import tf_estimator
from monolith.native_training.data import utils as data_utils
from monolith.native_training.layers.mlp import MLP
from monolith.native_training.model_export.export_context import ExportMode
from monolith.native_training.native_model import EstimatorSpec, MonolithModel

WITH_BIAS = ("user", "movie", "genre", "year", "user_genre")
WITH_VECTOR = ("user", "movie", "genre", "year", "liked")


@dataclasses.dataclass(frozen=True)
class Settings:
  """What was chosen on a validation part of the training ratings (their latest fifth)."""

  batch_size: int = 128
  epochs: int = 4
  dim: int = 8
  vector_learning_rate: float = 0.05
  bias_learning_rate: float = 0.1
  dense_learning_rate: float = 0.01
  initial_accumulator_value: float = 1.4e-4
  vector_weight_decay: float = 1e-6
  bias_weight_decay: float = 8e-5
  hidden: Tuple[int, ...] = (64, 32)
  seed: int = 1


class BatchSource:
  """Batches of ratings as the nested arrays that tf.data takes.

  Args:
    builder: makes the fids.
    liked: float32 [ratings], the labels.
    train_rows: int [n], the ratings to learn from.
    test_rows: int [m], the ratings to evaluate on.
  """

  def __init__(self, builder: FeatureBuilder, liked: np.ndarray, train_rows: np.ndarray, test_rows: np.ndarray):
    self._builder = builder
    self._liked = liked
    self._train_rows = train_rows
    self._test_rows = test_rows

  def __deepcopy__(self, memo) -> BatchSource:
    """Never changes, so copies of a model share it."""
    return self

  def batches(self, mode: str, settings: Settings) -> Iterator[Dict[str, Any]]:
    """Shuffled training batches for some epochs (a rest too small is left out), or the test rows."""
    size = settings.batch_size
    if mode != tf_estimator.ModeKeys.TRAIN:
      for begin in range(0, len(self._test_rows), size * 8):
        yield self._batch(self._test_rows[begin : begin + size * 8])
      return
    rng = np.random.RandomState(settings.seed)
    size = min(size, len(self._train_rows))
    for _ in range(settings.epochs):
      rows = rng.permutation(self._train_rows)
      for begin in range(0, len(rows) - size + 1, size):
        yield self._batch(rows[begin : begin + size])

  def _batch(self, rows: np.ndarray) -> Dict[str, Any]:
    return {**{name: tuple(ragged) for name, ragged in self._builder.batch(rows).items()}, "label": self._liked[rows]}


class MovieRanker(MonolithModel):
  """The probability that a user rates a movie with at least four stars.

  Args:
    source: where batches come from; None for a model that is only exported.
    settings: sizes and rates.
  """

  def __init__(self, source: Optional[BatchSource], settings: Settings = Settings()):
    params = type(self).params()
    params.name = "movielens"
    params.metrics.enable_deep_insight = False
    params.train.per_replica_batch_size = settings.batch_size
    params.serving.export_mode = ExportMode.STANDALONE
    params.serving.shared_embedding = False
    super().__init__(params)
    self.source = source
    self.settings = settings
    data_utils.register_slots(SLOTS)

  def input_fn(self, mode: str) -> tf.data.Dataset:
    """Dicts of ragged fids [B, None] and, but for the exported model, `label` float32 [B]."""
    source = self.source
    if source is None:
      raise ValueError("This MovieRanker was built without a source of batches; give it one to train.")
    ids = (tf.TensorSpec([None], tf.int64), tf.TensorSpec([None], tf.int64))
    dataset = tf.data.Dataset.from_generator(
      lambda: source.batches(mode, self.settings),
      output_signature={**{name: ids for name in SLOTS}, "label": tf.TensorSpec([None], tf.float32)},
    )

    def to_ragged(batch):
      return {
        name: value if name == "label" else tf.RaggedTensor.from_row_splits(*value, validate=False)
        for name, value in batch.items()
      }

    return dataset.map(to_ragged)

  def model_fn(self, features: Mapping[str, tf.Tensor], mode: str) -> EstimatorSpec:
    """One head; `label` may be missing where nothing is trained."""
    s = self.settings
    for name in SLOTS:
      self.create_embedding_feature_column(name, combiner="reduce_mean")
    bias: Any = self.lookup_embedding_slice(
      WITH_BIAS,
      "bias",
      slice_dim=1,
      out_type="add_n",
      initializer=entry.ZerosInitializer(),
      optimizer=self._adagrad(s.bias_learning_rate, s.bias_weight_decay),
      compressor=entry.Fp32Compressor(),
    )
    vectors: Any = self.lookup_embedding_slice(
      WITH_VECTOR,
      "vector",
      slice_dim=s.dim,
      out_type="stack",
      initializer=entry.RandomUniformInitializer(-0.05, 0.05),
      optimizer=self._adagrad(s.vector_learning_rate, s.vector_weight_decay),
      compressor=entry.Fp32Compressor(),
    )  # [B, features, dim]
    deep = MLP(
      [*s.hidden, 1],
      name="mlp",
      use_weight_norm=False,
      initializers=[tf.keras.initializers.GlorotUniform(seed=s.seed + i) for i in range(len(s.hidden) + 1)],
    )
    total = tf.reduce_sum(vectors, 1)
    pairs = 0.5 * tf.reduce_sum(total * total - tf.reduce_sum(vectors * vectors, 1), 1)
    joined = tf.reshape(vectors, [-1, len(WITH_VECTOR) * s.dim])
    logit = bias[:, 0] + pairs + deep(joined)[:, 0]
    label = features.get("label")
    loss = (
      None if label is None else tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels=label, logits=logit))
    )
    return EstimatorSpec(
      label=label,
      pred=tf.nn.sigmoid(logit, name="liked"),
      head_name="liked",
      loss=loss,
      optimizer=tf.compat.v1.train.AdagradOptimizer(s.dense_learning_rate),
    )

  def _adagrad(self, learning_rate: float, weight_decay: float) -> entry.AdagradOptimizer:
    return entry.AdagradOptimizer(
      learning_rate=learning_rate,
      weight_decay_factor=weight_decay,
      initial_accumulator_value=self.settings.initial_accumulator_value,
    )

  def serving_input_receiver_fn(self) -> tf_estimator.export.ServingInputReceiver:
    """Takes `examples`: serialized tf.train.Examples [B] with an int64 list of fids a feature."""
    examples = tf.compat.v1.placeholder(tf.string, [None], "examples")
    features = tf.io.parse_example(
      examples, {name: tf.io.RaggedFeature(tf.int64, row_splits_dtype=tf.int64) for name in SLOTS}
    )
    return tf_estimator.export.ServingInputReceiver(features, {"examples": examples})


def to_examples(fids: Mapping[str, Ragged]) -> list[bytes]:
  """Serialized tf.train.Examples, as the exported model takes them."""
  number = len(next(iter(fids.values())).row_splits) - 1
  examples = []
  for row in range(number):
    example = tf.train.Example()
    for name, (values, splits) in fids.items():
      example.features.feature[name].int64_list.value.extend(values[splits[row] : splits[row + 1]].tolist())
    examples.append(example.SerializeToString())
  return examples
