# SPDX-License-Identifier: Apache-2.0
"""Logits of a model that was trained on a sample of the negatives."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from monolith.core.keras_params import with_params


@with_params
class LogitCorrection(tf.keras.layers.Layer):
  """Undoes the sampling of negatives.

  With z the logits and s the sample rate, the result is `z - ln s`; with `sample_bias`, where z predicts the odds
  before a sampling of their own, `ln sigmoid(z) - ln s`. Without a sample rate the `- ln s` is left out.

  To keep the share s of the negatives multiplies the odds by 1 / s. So a loss on corrected logits fits the sampled
  examples, while z itself predicts the odds of all (He et al., 2014, https://doi.org/10.1145/2648584.2648589, where the
  same equation is solved for the prediction afterwards). A small s trains faster, on less of what negatives say.

  Inputs are a pair (logits, sample rate) of float tensors that broadcast against each other; the sample rate, in (0,
  1], may be None. The output has the broadcast shape.

  >>> round(float(LogitCorrection()((tf.constant(1.0), tf.constant(0.5)))), 4)
  1.6931
  >>> LogitCorrection("sigmoid")((tf.constant([0.0]), None)).numpy().tolist()
  [0.5]

  Args:
    activation: a Keras activation that is applied last.
    sample_bias: use `ln sigmoid(z)` instead of z.
  """

  def __init__(self, activation: Any = None, sample_bias: bool = False, **kwargs: Any):
    super().__init__(**kwargs)
    self.activation = tf.keras.activations.get(activation)
    self.sample_bias = sample_bias
    self.supports_masking = True

  def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
    # Keras takes no None among the inputs, so an absent sample rate is left out on the way in.
    logits, sample_rate = self._split(inputs)
    return super().__call__([logits] if sample_rate is None else [logits, sample_rate], *args, **kwargs)

  def _split(self, inputs: Any) -> tuple[Any, Any]:
    if not isinstance(inputs, (list, tuple)):
      return inputs, None
    if len(inputs) not in (1, 2):
      raise ValueError(f"{self.name}: got {len(inputs)} inputs; pass (logits, sample_rate), the latter may be None.")
    return inputs[0], inputs[1] if len(inputs) == 2 else None

  def call(self, inputs: Any) -> tf.Tensor:
    logits, sample_rate = self._split(inputs)
    return self.activation(self.get_sample_logits(logits, sample_rate, self.sample_bias))

  @staticmethod
  def safe_log_sigmoid(logits: tf.Tensor) -> tf.Tensor:
    """Returns ln sigmoid(z), finite and with a finite gradient for every finite z."""
    return tf.math.log_sigmoid(logits)

  @staticmethod
  def get_sample_logits(logits: tf.Tensor, sample_rate: tf.Tensor | None, sample_bias: bool) -> tf.Tensor:
    """Returns the corrected logits without the activation; see the class."""
    corrected = LogitCorrection.safe_log_sigmoid(logits) if sample_bias else logits
    return corrected if sample_rate is None else corrected - tf.math.log(sample_rate)

  def compute_output_shape(self, input_shape: Any) -> tf.TensorShape:
    """Returns the broadcast of both shapes, or the logits' own shape."""
    shapes = input_shape if isinstance(input_shape, (list, tuple)) else [input_shape]
    if shapes and (shapes[0] is None or isinstance(shapes[0], int)):
      shapes = [shapes]
    known = [tf.TensorShape(s) for s in shapes if s is not None]
    result = known[0]
    for shape in known[1:]:
      result = tf.broadcast_static_shape(result, shape)
    return result

  def get_config(self) -> dict[str, Any]:
    config = super().get_config()
    config.update(activation=tf.keras.activations.serialize(self.activation), sample_bias=self.sample_bias)
    return config
