# SPDX-License-Identifier: Apache-2.0
"""Search for the width of each slot's embedding, with distillation from a trained model if one is there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

_SUMMARY = "arch_embedding_weights_after_softmax"


def sample_choices(probabilities: tf.Tensor, uniform: tf.Tensor) -> tf.Tensor:
  """Draws one choice a row, in proportion to its probabilities.

  Args:
    probabilities: float `[rows, choices]`; rows need not add up to 1.
    uniform: float `[rows]`, from [0, 1).

  Returns:
    int32 `[rows]`.
  """
  ends = tf.cumsum(probabilities, axis=1)
  passed = tf.cast(ends <= (uniform * ends[:, -1])[:, tf.newaxis], tf.int32)
  # Rounding may carry a draw past the end, to choices that a row does not have.
  last = tf.reduce_max(tf.where(probabilities > 0, tf.range(tf.shape(probabilities)[1]), 0), axis=1)
  return tf.minimum(tf.reduce_sum(passed, axis=1), last)


class TeacherEmbeddingTransform(tf.keras.layers.Layer):
  """Brings each slot of a teacher's embeddings to the width of the student's, by a linear map of its own.

  Input shape: float `[B, sum(teacher_embedding_sizes_list)]`.
  Output shape: float `[B, sum(max_choice_per_embedding)]`.

  Each slot has the product of its two widths in weights, and as many products a row.

  Weights: teacher_embedding_transform_weight `[Σ size * max_choice, 1]`, slot after slot, each `[size, max_choice]` row
  by row; teacher_embedding_transform_bias `[Σ max_choice]`.

  >>> TeacherEmbeddingTransform([3, 1], [2, 4])(tf.zeros([5, 6])).shape.as_list()
  [5, 4]

  Args:
    max_choice_per_embedding: the student's width of each slot.
    teacher_embedding_sizes_list: the teacher's width of each slot.

  Raises:
    ValueError: the lists differ in length, are empty or have a number below 1, or the input has another width.
  """

  def __init__(
    self, max_choice_per_embedding: Sequence[int], teacher_embedding_sizes_list: Sequence[int], **kwargs: Any
  ):
    super().__init__(**kwargs)
    self.max_choice_per_embedding = [int(n) for n in max_choice_per_embedding]
    self.teacher_embedding_sizes_list = [int(n) for n in teacher_embedding_sizes_list]
    if len(self.max_choice_per_embedding) != len(self.teacher_embedding_sizes_list):
      raise ValueError(
        f"{self.name}: {len(self.max_choice_per_embedding)} widths of the student and "
        f"{len(self.teacher_embedding_sizes_list)} of the teacher; give one of each a slot."
      )
    if min([*self.max_choice_per_embedding, *self.teacher_embedding_sizes_list], default=0) < 1:
      raise ValueError(
        f"{self.name}: widths of the student are {list(max_choice_per_embedding)}, of the teacher "
        f"{list(teacher_embedding_sizes_list)}; give at least one slot, and widths of at least 1."
      )

  def build(self, input_shape: Any) -> None:
    _check_width(self.name, "the teacher's embedding", input_shape, sum(self.teacher_embedding_sizes_list))
    sizes = zip(self.teacher_embedding_sizes_list, self.max_choice_per_embedding, strict=True)
    self.transform_weight = self.add_weight(
      name="teacher_embedding_transform_weight",
      shape=[sum(size * choice for size, choice in sizes), 1],
      initializer=tf.keras.initializers.TruncatedNormal(stddev=0.15),
    )
    self.transform_bias = self.add_weight(
      name="teacher_embedding_transform_bias", shape=[sum(self.max_choice_per_embedding)], initializer="zeros"
    )
    super().build(input_shape)

  def call(self, inputs: tf.Tensor) -> tf.Tensor:
    sizes, choices = self.teacher_embedding_sizes_list, self.max_choice_per_embedding
    kernels = tf.split(
      tf.convert_to_tensor(self.transform_weight), [s * c for s, c in zip(sizes, choices, strict=True)]
    )
    parts = tf.split(inputs, sizes, axis=1)
    transformed = [
      tf.matmul(part, tf.reshape(kernel, [size, choice]))
      for part, kernel, size, choice in zip(parts, kernels, sizes, choices, strict=True)
    ]
    return tf.concat(transformed, axis=1) + self.transform_bias

  def compute_output_shape(self, input_shape: Any) -> tf.TensorShape:
    return tf.TensorShape([tf.TensorShape(input_shape)[0], sum(self.max_choice_per_embedding)])

  def get_config(self) -> dict[str, Any]:
    config = super().get_config()
    config.update(
      max_choice_per_embedding=list(self.max_choice_per_embedding),
      teacher_embedding_sizes_list=list(self.teacher_embedding_sizes_list),
    )
    return config


class MixedEmbedOpComb(tf.keras.layers.Layer):
  """Learns which width each slot's embedding needs, while the model trains.

  Source: Joglekar et al., 2019 (NIS), https://arxiv.org/abs/1907.04471, adapted to choices that follow one another.

  A slot's embedding has the columns of all its choices side by side: for sizes [2, 3], columns 0 and 1 belong to the
  first choice and 2 to 4 to the second. Every call draws one choice of each slot for the whole batch, and the columns
  of all others are 0. While the global step is below `pretraining_steps` every choice of a slot is as likely as
  another; from then on their probabilities p are the softmax of the slot's part of arch_embedding_weights. The chosen
  columns are multiplied by `1 + p - stop_gradient(p)`: by 1, with a gradient to p. If a slot's first size is 0, it can
  do without an embedding; p of that choice is multiplied by `clip(step - warmup_steps, 0, 1)`, so it starts after the
  warm-up.

  Input shape: float `[B, ΣΣ sizes]`, or, with a teacher, a pair (embedding, teacher) where teacher is float
  `[B, sum(teacher_embedding_sizes_list)]`.
  Output shape: like the embedding; with a teacher (masked embedding, loss, name of the transform), where the loss is
  a scalar, the mean squared difference between the teacher, brought to the student's width, and the masked embedding.

  Tables and input are as wide as all choices of a slot together, so each further choice costs columns while it is
  searched; choices far apart tell more.

  Weights: arch_embedding_weights `[number of choices of all slots]`, uniform in ±0.001, and those of the
  `TeacherEmbeddingTransform`.

  The step is TensorFlow's global step, which is created if there is none. Call the layer outside of Keras' functional
  API if it has a teacher: a name is no Keras tensor.

  >>> layer = MixedEmbedOpComb(["user"], [[4]], warmup_steps=0, pretraining_steps=10)
  >>> layer(tf.ones([1, 4])).numpy().tolist()
  [[1.0, 1.0, 1.0, 1.0]]

  Args:
    slot_names: a name for each slot.
    embedding_size_choices_list: for each slot the sizes to choose from; only the first may be 0.
    warmup_steps: steps before slots can do without an embedding.
    pretraining_steps: steps before choices follow the learned probabilities.
    teacher_embedding_sizes_list: the teacher's width of each slot; None without a teacher.
    distillation_mask: compare the chosen columns only, not those that are 0.

  Raises:
    ValueError: the lists differ in length or are empty, a size is negative or 0 where it may not be, or an input has
      another width.
  """

  def __init__(
    self,
    slot_names: Sequence[str],
    embedding_size_choices_list: Sequence[Sequence[int]],
    warmup_steps: int,
    pretraining_steps: int,
    teacher_embedding_sizes_list: Sequence[int] | None = None,
    distillation_mask: bool = False,
    **kwargs: Any,
  ):
    super().__init__(**kwargs)
    self.slot_names = [str(name) for name in slot_names]
    self.embedding_size_choices_list = [[int(size) for size in sizes] for sizes in embedding_size_choices_list]
    self.warmup_steps = int(warmup_steps)
    self.pretraining_steps = int(pretraining_steps)
    self.teacher_embedding_sizes_list = None
    self.distillation_mask = distillation_mask
    self._check_choices()
    self.teacher_embedding_transform = None
    if teacher_embedding_sizes_list is not None:
      self.teacher_embedding_sizes_list = [int(size) for size in teacher_embedding_sizes_list]
      self.teacher_embedding_transform = TeacherEmbeddingTransform(
        [sum(sizes) for sizes in self.embedding_size_choices_list],
        self.teacher_embedding_sizes_list,
        name=f"{self.name}_teacher_embedding_transform",
        dtype=self._dtype_policy,
      )

  def _check_choices(self) -> None:
    choices = self.embedding_size_choices_list
    if len(self.slot_names) != len(choices) or not choices:
      raise ValueError(
        f"{self.name}: {len(self.slot_names)} slot_names for {len(choices)} lists of sizes; give each slot one of each."
      )
    for slot, sizes in zip(self.slot_names, choices, strict=True):
      if not sizes or sizes[0] < 0 or min(sizes[1:], default=1) < 1 or sum(sizes) == 0:
        raise ValueError(
          f"{self.name}: slot {slot!r} has sizes {list(sizes)}; give at least one above 0, and 0 only as the first."
        )

  # The choices of all slots, as a matrix with a row for each slot.

  @property
  def _num_choices(self) -> list[int]:
    return [len(sizes) for sizes in self.embedding_size_choices_list]

  def _valid(self) -> np.ndarray:
    """Which choices the slots have: bool `[slots, most]`; read row by row, those that are true are all choices."""
    counts = np.array(self._num_choices)
    return np.arange(counts.max()) < counts[:, np.newaxis]

  def _probabilities(self) -> tuple[tf.Tensor, tf.Tensor]:
    """The softmax of each slot, `[slots, most]` with 0 where there is no choice; the same after the warm-up rule."""
    valid = self._valid()
    logits = tf.scatter_nd(np.argwhere(valid), tf.convert_to_tensor(self.arch_embedding_weights), valid.shape)
    softmax = tf.nn.softmax(tf.where(valid, logits, logits.dtype.min))
    factor = tf.clip_by_value(self._float_step(softmax.dtype) - self.warmup_steps, 0, 1)
    can_vanish = np.array([sizes[0] == 0 for sizes in self.embedding_size_choices_list])
    vanishing = can_vanish[:, np.newaxis] & (np.arange(valid.shape[1]) == 0)
    return softmax, tf.where(vanishing, softmax * factor, softmax)

  def _float_step(self, dtype: tf.DType) -> tf.Tensor:
    return tf.cast(self._read_step(), dtype)

  def build(self, input_shape: Any) -> None:
    embedding_shape = input_shape
    if self.teacher_embedding_transform is not None:
      if not isinstance(input_shape, (list, tuple)) or len(input_shape) != 2:
        raise ValueError(f"{self.name}: the input is {input_shape}; with a teacher, pass a pair (embedding, teacher).")
      embedding_shape, teacher_shape = input_shape
      with tf.name_scope(self.teacher_embedding_transform.name):
        self.teacher_embedding_transform.build(teacher_shape)
    _check_width(self.name, "the embedding", embedding_shape, sum(map(sum, self.embedding_size_choices_list)))
    self.arch_embedding_weights = self.add_weight(
      name="arch_embedding_weights",
      shape=[sum(self._num_choices)],
      initializer=tf.keras.initializers.RandomUniform(-1e-3, 1e-3),
    )
    with tf.init_scope():
      step = tf.compat.v1.train.get_or_create_global_step()
    # Not an attribute: Keras would count it among the weights of the layer. Saved models must know it, though.
    self._read_step = lambda: tf.convert_to_tensor(step)
    self._track_trackable(step, "global_step")
    super().build(input_shape)

  def _masks(self) -> tf.Tensor:
    """What the columns of all slots are multiplied by, `[ΣΣ sizes]`, after a draw."""
    valid = self._valid()
    _, probabilities = self._probabilities()
    pretraining = self._read_step() < tf.cast(self.pretraining_steps, tf.int64)
    weights = tf.where(pretraining, tf.constant(valid, probabilities.dtype), tf.stop_gradient(probabilities))
    chosen = sample_choices(weights, tf.random.uniform([len(valid)], dtype=probabilities.dtype))
    one_hot = tf.one_hot(chosen, valid.shape[1], dtype=probabilities.dtype)
    multipliers = one_hot * (1 + (probabilities - tf.stop_gradient(probabilities)))  # exactly 1
    # Every column belongs to one choice.
    sizes = [size for sizes in self.embedding_size_choices_list for size in sizes]
    owners = np.repeat(np.arange(len(sizes)), sizes)
    return tf.gather(tf.boolean_mask(multipliers, valid), owners)

  def call(self, inputs: Any) -> Any:
    masks = self._masks()
    if self.teacher_embedding_transform is None:
      return inputs * masks
    embedding, teacher = inputs
    masked = embedding * masks
    transformed = self.teacher_embedding_transform(teacher)
    if self.distillation_mask:
      transformed *= masks
    loss = tf.reduce_mean(tf.math.squared_difference(transformed, masked))
    return masked, loss, self.teacher_embedding_transform.name

  def get_arch_embedding_weights(self) -> tf.Variable:
    """Returns the logits of all choices, slot after slot."""
    return self.arch_embedding_weights

  def get_summaries(self) -> dict[str, Any]:
    """Returns what tells how far the search has come, as tensors of the moment.

    `arch_entropy` is the sum of the slots' entropies in nats and `expected_emb_dims` the expected width of all slots
    together, both of the softmax itself; `arch_weights_after_softmax_list` has a pair (name, probability) for every
    choice, after the warm-up rule.

    Raises:
      AttributeError: the layer is not built.
    """
    valid = self._valid()
    softmax, probabilities = self._probabilities()
    sizes = np.zeros(valid.shape)
    sizes[valid] = [size for sizes in self.embedding_size_choices_list for size in sizes]
    names = [
      f"{_SUMMARY}/{slot}_{size}"
      for slot, choices in zip(self.slot_names, self.embedding_size_choices_list, strict=True)
      for size in choices
    ]
    scaled = tf.unstack(tf.boolean_mask(probabilities, valid), len(names))
    return {
      "arch_entropy": -tf.reduce_sum(tf.math.xlogy(softmax, softmax)),
      "expected_emb_dims": tf.reduce_sum(softmax * tf.constant(sizes, softmax.dtype)),
      "arch_weights_after_softmax_list": list(zip(names, scaled, strict=True)),
    }

  def compute_output_shape(self, input_shape: Any) -> Any:
    if self.teacher_embedding_transform is None:
      return tf.TensorShape(input_shape)
    return tf.TensorShape(input_shape[0]), tf.TensorShape([]), tf.TensorShape([])

  def get_config(self) -> dict[str, Any]:
    config = super().get_config()
    config.update(
      slot_names=list(self.slot_names),
      embedding_size_choices_list=[list(sizes) for sizes in self.embedding_size_choices_list],
      warmup_steps=self.warmup_steps,
      pretraining_steps=self.pretraining_steps,
      teacher_embedding_sizes_list=None
      if self.teacher_embedding_sizes_list is None
      else list(self.teacher_embedding_sizes_list),
      distillation_mask=self.distillation_mask,
    )
    return config


def _check_width(owner: str, what: str, shape: Any, width: int) -> None:
  shape = tf.TensorShape(shape)
  if shape.rank != 2 or shape[1] != width:
    raise ValueError(
      f"{owner}: {what} is {shape}; its slots have {width} columns together, so it must be [B, {width}]."
    )
