# SPDX-License-Identifier: Apache-2.0
"""Dense: a fully connected layer with optional kernel normalization, partitioning and an optimizer of its own."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from monolith.core.keras_params import with_params
from monolith.native_training.layers import _kernel_norm, _keras, _summaries

_MONITOR = "inactive_relu_count_moving_avg"


def _in_tf1_graph() -> bool:
  return not tf.compat.v1.executing_eagerly_outside_functions()


def _is_relu(activation: Any) -> bool:
  return activation in (tf.keras.activations.relu, tf.nn.relu) or isinstance(activation, tf.keras.layers.ReLU)


@with_params
class Dense(tf.keras.layers.Layer):
  """`activation(x · K' + bias)` over the last axis.

  Input is float `[..., in]`, output `[..., units]`. K' is the kernel, or with `allow_kernel_norm` the kernel with
  columns of length 1 (times `trainable_kernel_norm` if `kernel_norm_trainable`, which starts at the lengths that the
  columns were drawn with; without it the initial scale is lost): weight normalization, Salimans and Kingma, 2016,
  https://arxiv.org/abs/1602.07868, equation 2.

  A layer has `in * units` weights and costs as many products a row; `units` sets both. Normalization costs a pass over
  the kernel at every step, whatever the batch.

  Weights, named `<layer>/<weight>` in graphs and eagerly: kernel `[in, units]`, trainable_kernel_norm `[units]` (both
  norm flags), bias `[units]` (use_bias), inactive_relu_count_moving_avg `[units]`, not trainable (the monitor).

  >>> Dense(1, "relu", kernel_initializer="ones")(tf.constant([[1.0, 2.0], [-3.0, 0.0]])).numpy().tolist()
  [[3.0], [0.0]]
  >>> dense = Dense(1, use_bias=False, kernel_initializer="ones", allow_kernel_norm=True)
  >>> dense(tf.ones([1, 4])).numpy().tolist()
  [[2.0]]

  Args:
    units: width of the output; > 0.
    activation: what Keras' `activations.get` takes, or a layer.
    use_bias: add a bias.
    kernel_initializer: a Keras initializer; None is glorot_uniform.
    bias_initializer: a Keras initializer.
    kernel_regularizer: a Keras regularizer of the kernel variable; its loss is in `losses`.
    bias_regularizer: a Keras regularizer of the bias; its loss is in `losses`.
    allow_kernel_norm: normalize the columns of the kernel.
    kernel_norm_trainable: learn the columns' lengths.
    partitioner: splits the kernel along axis 0 in TF1 graphs; default the variable scope's. Elsewhere the kernel is one
      variable: splitting is for parameter servers and changes no result.
    inactive_relu_monitor: keep and record a moving average of how many rows each unit is 0 in; the activation must be
      relu.
    inactive_relu_monitor_decay: weight of the newest count in it.
    optimizer: set as `optimizer` on every variable; the trainer applies a truthy one to that variable alone.

  Raises:
    ValueError: `units` is not positive; the monitor's activation is not relu; or the input's last dimension is unknown.
    TypeError: the dtype is not floating.
  """

  def __init__(
    self,
    units: int,
    activation: Any = None,
    use_bias: bool = True,
    kernel_initializer: Any = "glorot_uniform",
    bias_initializer: Any = "zeros",
    kernel_regularizer: Any = None,
    bias_regularizer: Any = None,
    allow_kernel_norm: bool = False,
    kernel_norm_trainable: bool = False,
    partitioner: Any = None,
    inactive_relu_monitor: bool = False,
    inactive_relu_monitor_decay: float = 0.1,
    optimizer: Any = None,
    **kwargs: Any,
  ):
    if "input_shape" not in kwargs and "input_dim" in kwargs:
      kwargs["input_shape"] = (kwargs.pop("input_dim"),)
    super().__init__(**kwargs)
    self.units = int(units)
    if self.units <= 0:
      raise ValueError(f"{self.name}: units is {units}; it must be > 0.")
    self.activation = tf.keras.activations.get(activation)
    self.use_bias = use_bias
    self.kernel_initializer = _keras.get_initializer(kernel_initializer, "glorot_uniform")
    self.bias_initializer = _keras.get_initializer(bias_initializer, "zeros")
    self.kernel_regularizer = tf.keras.regularizers.get(kernel_regularizer)
    self.bias_regularizer = tf.keras.regularizers.get(bias_regularizer)
    self.allow_kernel_norm = allow_kernel_norm
    self.kernel_norm_trainable = kernel_norm_trainable
    self.partitioner = partitioner
    self.inactive_relu_monitor = inactive_relu_monitor
    self.inactive_relu_monitor_decay = inactive_relu_monitor_decay
    self.optimizer = optimizer
    self.supports_masking = True
    if inactive_relu_monitor and not _is_relu(self.activation):
      raise ValueError(
        f"{self.name}: inactive_relu_monitor counts zeros of relu, but activation is {activation!r}; switch one off."
      )
    self._kernel_shards: list[tf.Variable] = []
    self.kernel_var: Any = None
    self.trainable_kernel_norm = self.bias = None
    self.inactive_relu_count_moving_avg: Any = None

  # Weights.

  def build(self, input_shape: Any) -> None:
    dtype = tf.as_dtype(self.dtype or tf.keras.backend.floatx())
    if not dtype.is_floating:
      raise TypeError(f"{self.name}: dtype is {dtype.name}; a Dense layer computes in floating point.")
    width = tf.TensorShape(input_shape)[-1]
    if width is None:
      raise ValueError(f"{self.name}: the input is {tf.TensorShape(input_shape)}; its last dimension must be known.")
    self.input_spec = tf.keras.layers.InputSpec(min_ndim=2, axes={-1: width})
    self._build_kernel(width, dtype)
    if self.use_bias:
      self.bias = self.add_weight(
        name="bias", shape=[self.units], initializer=self.bias_initializer, regularizer=self.bias_regularizer
      )
    if self.inactive_relu_monitor:
      keys = tf.compat.v1.GraphKeys
      self.inactive_relu_count_moving_avg = self.add_weight(
        name=_MONITOR,
        shape=[self.units],
        initializer="zeros",
        trainable=False,
        collections=[keys.METRIC_VARIABLES, keys.GLOBAL_VARIABLES],
      )
    for variable in self.weights:
      variable.optimizer = self.optimizer
    super().build(input_shape)

  def _build_kernel(self, width: int, dtype: tf.DType) -> None:
    shape, initializer = [width, self.units], self.kernel_initializer
    if self.allow_kernel_norm and self.kernel_norm_trainable:
      initializer, norms = _kernel_norm.draw_with_norms(initializer, shape, dtype)
    partitioner = self.partitioner or tf.compat.v1.get_variable_scope().partitioner
    if partitioner is not None and _in_tf1_graph():
      self._add_partitioned_kernel(shape, dtype, initializer, partitioner)
    else:
      self.kernel_var = self.add_weight(
        name="kernel", shape=shape, initializer=initializer, regularizer=self.kernel_regularizer
      )
    if self.allow_kernel_norm and self.kernel_norm_trainable:
      self.trainable_kernel_norm = self.add_weight(name="trainable_kernel_norm", shape=[self.units], initializer=norms)

  def _add_partitioned_kernel(self, shape: list[int], dtype: tf.DType, initializer: Any, partitioner: Any) -> None:
    """Creates the shards; a partitioned variable exists for `get_variable` only, which knows names from its scope."""
    current = tf.compat.v1.get_variable_scope()
    scope = tf.compat.v1.VariableScope(
      reuse=False,
      name=tf.compat.v1.get_default_graph().get_name_scope(),
      custom_getter=current.custom_getter,
      caching_device=current.caching_device,
      use_resource=True,
    )
    with tf.compat.v1.variable_scope(scope, auxiliary_name_scope=False):
      # A tensor is sliced by get_variable; a function would draw every shard on its own, with the fans of a shard.
      self.kernel_var = tf.compat.v1.get_variable(
        "kernel", initializer=initializer(shape, dtype=dtype), partitioner=partitioner, trainable=self.trainable
      )
    # Keras tracks lists of variables, but not the object that holds the shards.
    self._kernel_shards = [] if isinstance(self.kernel_var, tf.Variable) else list(self.kernel_var)
    if self.kernel_regularizer is not None:
      self.add_loss(lambda: self.kernel_regularizer(tf.convert_to_tensor(self.kernel_var)))

  @property
  def kernel(self) -> tf.Tensor:
    """The kernel in effect, normalized if it is to be; float `[in, units]`. The variable is `kernel_var`.

    Raises:
      AttributeError: the layer is not built.
    """
    if not self.built and self.kernel_var is None:
      raise AttributeError(f"{self.name} has no kernel before it is built.")
    kernel = tf.convert_to_tensor(self.kernel_var)
    if self.allow_kernel_norm:
      kernel = _kernel_norm.normalize(kernel, self.trainable_kernel_norm)
    return kernel

  # Computation.

  def call(self, inputs: tf.Tensor) -> tf.Tensor:
    inputs = tf.cast(inputs, self._compute_dtype or inputs.dtype)
    kernel = tf.cast(self.kernel, inputs.dtype)
    if inputs.shape.rank == 2:
      outputs = tf.matmul(inputs, kernel)
    else:
      outputs = tf.tensordot(inputs, kernel, [[-1], [0]])
      outputs = tf.ensure_shape(outputs, [*inputs.shape[:-1], self.units]) if inputs.shape.rank is not None else outputs
    if self.bias is not None:
      outputs = tf.nn.bias_add(outputs, tf.cast(self.bias, inputs.dtype))
    outputs = self.activation(outputs)
    return self._monitor(outputs) if self.inactive_relu_monitor else outputs

  def _monitor(self, outputs: tf.Tensor) -> tf.Tensor:
    """Records the moving average, then updates it before the output goes on."""
    average = self.inactive_relu_count_moving_avg
    _summaries.histogram(_MONITOR, average)
    rows = tf.reshape(outputs, [-1, self.units])
    inactive = tf.reduce_sum(tf.cast(tf.equal(rows, 0), average.dtype), axis=0)
    update = average.assign_sub(self.inactive_relu_monitor_decay * (average - inactive), read_value=False)
    if tf.executing_eagerly():
      return outputs
    with tf.control_dependencies([update]):
      return tf.identity(outputs)

  def compute_output_shape(self, input_shape: Any) -> tf.TensorShape:
    shape = tf.TensorShape(input_shape).with_rank_at_least(2)
    return shape[:-1].concatenate(self.units)

  def get_config(self) -> dict[str, Any]:
    config = super().get_config()
    config.update(
      units=self.units,
      activation=tf.keras.activations.serialize(self.activation),
      use_bias=self.use_bias,
      kernel_initializer=tf.keras.initializers.serialize(self.kernel_initializer),
      bias_initializer=tf.keras.initializers.serialize(self.bias_initializer),
      kernel_regularizer=tf.keras.regularizers.serialize(self.kernel_regularizer),
      bias_regularizer=tf.keras.regularizers.serialize(self.bias_regularizer),
      allow_kernel_norm=self.allow_kernel_norm,
      kernel_norm_trainable=self.kernel_norm_trainable,
      partitioner=self.partitioner,
      inactive_relu_monitor=self.inactive_relu_monitor,
      inactive_relu_monitor_decay=self.inactive_relu_monitor_decay,
      optimizer=self.optimizer,
    )
    return config
