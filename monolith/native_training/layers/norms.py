# SPDX-License-Identifier: Apache-2.0
"""Normalization: of batches and rows, and of the gradients of several losses."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from monolith.core.keras_params import with_params
from monolith.native_training.layers import _keras, _summaries
from monolith.native_training.layers._grad_norm import GradNorm
from monolith.native_training.layers._layer_norm import LayerNorm
from monolith.native_training.layers._modes import TRAIN, check_mode

__all__ = ["BatchNorm", "GradNorm", "LayerNorm"]


def _constant_initializer(value: Any) -> Any:
  """Returns an initializer for a number, or for whatever Keras takes."""
  if isinstance(value, (int, float)) and not isinstance(value, bool):
    return tf.keras.initializers.Constant(float(value))
  return _keras.get_initializer(value, "zeros")


@with_params
class BatchNorm(tf.keras.layers.Layer):
  """Batch normalization whose mode is fixed when the layer is made.

  Source: Ioffe and Szegedy, 2015, https://arxiv.org/abs/1502.03167, algorithm 1: `gamma * (x - mean) / sqrt(variance +
  epsilon) + beta`.

  Input and output are float `[..., D]`. In mode 'train' each of the D features is normalized with its mean and variance
  over all other axes, or, with `training_use_global_dist`, with `g * moving + (1 - g) * batch` where g is
  `global_dist_momentum` and `moving` is read before this step's update. In the other modes the moving statistics are
  used. The statistics are non-trainable moving averages: `moving = momentum * moving + (1 - momentum) * batch`. In a
  TF1 graph their updates join the collection UPDATE_OPS; elsewhere they happen in the call.

  Small batches have noisy statistics; blending in the moving ones steadies them, but ties the output to weights of
  the past, so gradients no longer see all of the normalization. A batch without rows changes no statistic.

  Weights: moving_mean, moving_variance, beta_offset (if `center`), gamma_scale (if `scale`), each `[D]`.

  >>> BatchNorm()(tf.constant([[1.0], [3.0]])).numpy().round(3).tolist()
  [[-1.0], [1.0]]
  >>> BatchNorm(mode="eval", epsilon=0.0)(tf.constant([[1.0], [3.0]])).numpy().tolist()
  [[1.0], [3.0]]

  Args:
    momentum: share of the old statistics that is kept at each step.
    center: add beta_offset.
    scale: multiply by gamma_scale.
    moving_mean_initializer, moving_variance_initializer, beta_initializer, gamma_initializer: a number, or a Keras
      initializer.
    regularizer: a Keras regularizer of beta_offset and gamma_scale.
    training_use_global_dist: blend moving and batch statistics in training.
    global_dist_momentum: the share of the moving ones then.
    stop_grad_of_var_mean: let no gradient through the batch statistics.
    epsilon: added to the variance.
    mode: 'train', 'eval' or 'infer'.

  Raises:
    ValueError: the mode is unknown, or the last dimension of the input is.
  """

  def __init__(
    self,
    momentum: float = 0.99,
    center: bool = True,
    scale: bool = True,
    moving_mean_initializer: Any = 0,
    moving_variance_initializer: Any = 1,
    beta_initializer: Any = 0,
    gamma_initializer: Any = 1,
    regularizer: Any = None,
    training_use_global_dist: bool = False,
    global_dist_momentum: float = 1.0,
    stop_grad_of_var_mean: bool = False,
    epsilon: float = 1e-6,
    mode: str = TRAIN,
    **kwargs: Any,
  ):
    super().__init__(**kwargs)
    self.momentum = momentum
    self.center = center
    self.scale = scale
    self.moving_mean_initializer = _constant_initializer(moving_mean_initializer)
    self.moving_variance_initializer = _constant_initializer(moving_variance_initializer)
    self.beta_initializer = _constant_initializer(beta_initializer)
    self.gamma_initializer = _constant_initializer(gamma_initializer)
    self.regularizer = tf.keras.regularizers.get(regularizer)
    self.training_use_global_dist = training_use_global_dist
    self.global_dist_momentum = global_dist_momentum
    self.stop_grad_of_var_mean = stop_grad_of_var_mean
    self.epsilon = epsilon
    self.mode = check_mode(self.name, mode)
    self.beta = self.gamma = None

  def set_use_global_dist(self, training_use_global_dist: bool) -> None:
    """Switches the blending of statistics for calls from now on."""
    self.training_use_global_dist = training_use_global_dist

  def build(self, input_shape: Any) -> None:
    dim = tf.TensorShape(input_shape)[-1]
    if dim is None:
      raise ValueError(f"{self.name}: the input is {tf.TensorShape(input_shape)}; its last dimension must be known.")
    self.moving_mean = self._add_statistic("moving_mean", dim, self.moving_mean_initializer)
    self.moving_variance = self._add_statistic("moving_variance", dim, self.moving_variance_initializer)
    if self.center:
      self.beta = self.add_weight(
        name="beta_offset", shape=[dim], initializer=self.beta_initializer, regularizer=self.regularizer
      )
    if self.scale:
      self.gamma = self.add_weight(
        name="gamma_scale", shape=[dim], initializer=self.gamma_initializer, regularizer=self.regularizer
      )
    super().build(input_shape)

  def _add_statistic(self, name: str, dim: int, initializer: Any) -> tf.Variable:
    return self.add_weight(name=name, shape=[dim], initializer=initializer, trainable=False)

  def call(self, inputs: tf.Tensor) -> tf.Tensor:
    mean, variance = self._train_statistics(inputs) if self.mode == TRAIN else self._moving_statistics()
    suffix = "train" if self.mode == TRAIN else "test"
    for kind, values in (("mean", mean), ("var", variance)):
      _summaries.histogram(f"{self.name}/{kind}_{suffix}", values)
      _summaries.scalar(f"{self.name}/{kind}_{suffix}_mean", tf.reduce_mean(values))
    return tf.nn.batch_normalization(inputs, mean, variance, self.beta, self.gamma, self.epsilon)

  def _moving_statistics(self) -> tuple[tf.Tensor, tf.Tensor]:
    mean, variance = tf.convert_to_tensor(self.moving_mean), tf.convert_to_tensor(self.moving_variance)
    return tf.stop_gradient(mean), tf.stop_gradient(tf.maximum(variance, 0.0))

  def _train_statistics(self, inputs: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    mean, variance = tf.nn.moments(inputs, axes=list(range(inputs.shape.rank - 1)))
    if self.stop_grad_of_var_mean:
      mean, variance = tf.stop_gradient(mean), tf.stop_gradient(variance)
    old_mean, old_variance = self._moving_statistics()
    # A batch without rows has no statistics: the moving ones stand in, and stay as they are.
    has_rows = tf.size(inputs) > 0
    mean = tf.where(has_rows, mean, tf.cast(old_mean, mean.dtype))
    variance = tf.where(has_rows, variance, tf.cast(old_variance, variance.dtype))
    with tf.control_dependencies([old_mean, old_variance]):
      self._update(self.moving_mean, mean)
      self._update(self.moving_variance, variance)
    if not self.training_use_global_dist:
      return mean, variance
    g = self.global_dist_momentum
    return g * old_mean + (1 - g) * mean, g * old_variance + (1 - g) * variance

  def _update(self, variable: tf.Variable, value: tf.Tensor) -> None:
    if not self.trainable:
      return
    value = tf.stop_gradient(tf.cast(value, variable.dtype))
    update = variable.assign_sub((1 - self.momentum) * (variable - value), read_value=False)
    if not tf.compat.v1.executing_eagerly_outside_functions():
      tf.compat.v1.add_to_collection(tf.compat.v1.GraphKeys.UPDATE_OPS, update)

  def compute_output_shape(self, input_shape: Any) -> Any:
    return input_shape

  def get_config(self) -> dict[str, Any]:
    config = super().get_config()
    names = ("moving_mean_initializer", "moving_variance_initializer", "beta_initializer", "gamma_initializer")
    config.update({name: tf.keras.initializers.serialize(getattr(self, name)) for name in names})
    config.update(
      momentum=self.momentum,
      center=self.center,
      scale=self.scale,
      regularizer=tf.keras.regularizers.serialize(self.regularizer),
      training_use_global_dist=self.training_use_global_dist,
      global_dist_momentum=self.global_dist_momentum,
      stop_grad_of_var_mean=self.stop_grad_of_var_mean,
      epsilon=self.epsilon,
      mode=self.mode,
    )
    return config
