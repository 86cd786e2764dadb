# SPDX-License-Identifier: Apache-2.0
"""GradNorm: weights of several losses, learned so that their gradients have like lengths."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from monolith.core.keras_params import with_params
from monolith.native_training.layers import _summaries

Gradients = Sequence[Sequence[Any]]  # a list for each loss, with one element for each shared tensor


def imbalance(
  norms: tf.Tensor, weights: tf.Tensor, scale: float, power: float, relative: bool, epsilon: float
) -> tf.Tensor:
  """Returns how far weighed gradient norms are from each other, a scalar.

  With g the norms `[n]` and w the weights `[n]` of n losses, a = sum of g w / n:

      scale * sum of |g w - a| ^ power, or with `relative` of (|g w - a| / (a + epsilon)) ^ power
  """
  weighed = norms * weights
  average = tf.reduce_mean(weighed)
  difference = tf.abs(weighed - average)
  if relative:
    difference = difference / (average + epsilon)
  return scale * tf.reduce_sum(difference**power)


def _norm(owner: str, name: str, gradients: Sequence[Any]) -> tf.Tensor:
  """Returns the length of all gradients of one loss as one vector."""
  parts = [tf.reshape(tf.convert_to_tensor(g), [-1]) for g in gradients if g is not None]
  if not parts:
    raise ValueError(
      f"{owner}: loss {name!r} does not depend on the shared inputs; leave it out, or pass what it shares with others."
    )
  return tf.stop_gradient(tf.norm(tf.concat(parts, axis=0)))


@with_params
class GradNorm(tf.keras.layers.Layer):
  """Balances losses by the gradients that they send into what they share.

  A simpler GradNorm than the paper's (Chen et al., 2018, https://arxiv.org/abs/1711.02257, equation 2): the weights are
  a softmax of learned numbers, hence positive with the sum 1, and the norms are to be equal, not adapted to how fast
  each task learns; see `imbalance`.

  Input shape: n scalars, the losses, with the gradients of each by what they share, tensors of any shape, or the tape
  and the shared tensors to take them from.
  Output shape: two scalars.

  The call gives two losses: the first trains only the weights, towards equal `weight * norm of gradient`; the second is
  the weighed sum of the losses, and trains all but the weights. The author of a model adds both.

  The gradients of n losses by what they share cost n passes back through what lies between, so share a late, small
  tensor.

  Weights: grad_norm_weights `[n]` (zeros: all losses weigh 1/n at first).

  >>> norm = GradNorm(["click", "like"])
  >>> with tf.GradientTape(persistent=True) as tape:
  ...   shared = tf.constant([[1.0, 2.0]])
  ...   tape.watch(shared)
  ...   losses = [tf.reduce_sum(shared), 2 * tf.reduce_sum(shared)]
  >>> balance, weighed = norm(losses, [shared], tape=tape)
  >>> round(float(balance), 4), float(weighed)
  (0.25, 4.5)

  Args:
    loss_names: a name for each loss, for summaries and errors.
    scale: multiplies the first loss.
    loss_pow: power of the differences in it; > 0.
    relative_diff: divide the differences by the average, so that the first loss does not shrink with the gradients.
    epsilon: added to that average.

  Raises:
    ValueError: an argument is none of these, or the call's arguments do not fit.
  """

  def __init__(
    self,
    loss_names: Sequence[str],
    scale: float = 1.0,
    loss_pow: float = 2.0,
    relative_diff: bool = False,
    epsilon: float = 1e-6,
    **kwargs: Any,
  ):
    # A cast of a loss outside of its tape would have no gradient.
    super().__init__(**{"autocast": False, **kwargs})
    self.loss_names = [str(name) for name in loss_names or ()]
    if len(set(self.loss_names)) != len(self.loss_names) or not self.loss_names:
      raise ValueError(f"{self.name}: loss_names is {loss_names!r}; give at least one, each another.")
    if loss_pow <= 0:
      raise ValueError(f"{self.name}: loss_pow is {loss_pow}; it must be > 0.")
    self.scale = scale
    self.loss_pow = loss_pow
    self.relative_diff = relative_diff
    self.epsilon = epsilon

  def build(self, input_shape: Any) -> None:
    self.grad_norm_weights = self.add_weight(
      name="grad_norm_weights", shape=[len(self.loss_names)], initializer="zeros"
    )
    super().build(input_shape)

  def get_loss_weights(self) -> tf.Tensor:
    """Returns the losses' weights `[n]`, which have the sum 1. (`get_weights` is Keras' own.)"""
    return tf.nn.softmax(tf.convert_to_tensor(self.grad_norm_weights))

  def call(
    self,
    losses: Sequence[tf.Tensor],
    shared_inputs: Sequence[tf.Tensor] | None = None,
    gradients: Gradients | None = None,
    tape: tf.GradientTape | None = None,
  ) -> tuple[tf.Tensor, tf.Tensor]:
    """Computes both losses.

    Args:
      losses: a scalar for each of `loss_names`.
      shared_inputs: tensors of any shape that the losses are computed from, such as the output of a shared tower.
      gradients: for each loss its gradients by the shared tensors, where the caller has them; None is 0.
      tape: where there is no graph: a persistent tape that has watched the shared inputs and recorded the losses.

    Returns:
      The loss of the weights, and the weighed loss; scalars.
    """
    losses = list(losses) if isinstance(losses, (list, tuple)) else [losses]
    if len(losses) != len(self.loss_names):
      raise ValueError(f"{self.name}: got {len(losses)} losses for the names {list(self.loss_names)}; give one each.")
    if gradients is None:
      gradients = self._gradients(losses, shared_inputs, tape)
    if len(gradients) != len(losses):
      raise ValueError(f"{self.name}: got gradients of {len(gradients)} losses, but {len(losses)} losses.")
    norms = tf.stack([_norm(self.name, name, g) for name, g in zip(self.loss_names, gradients, strict=True)])
    weights = tf.cast(self.get_loss_weights(), norms.dtype)
    self._record(weights, norms)
    balance = imbalance(norms, weights, self.scale, self.loss_pow, self.relative_diff, self.epsilon)
    return balance, tf.reduce_sum(tf.stack(losses) * tf.stop_gradient(weights))

  def _gradients(self, losses: list[tf.Tensor], shared_inputs: Any, tape: tf.GradientTape | None) -> Gradients:
    """Returns the gradients of every loss by every shared input."""
    if shared_inputs is None:
      raise ValueError(f"{self.name}: pass shared_inputs, or gradients by them.")
    shared = list(shared_inputs) if isinstance(shared_inputs, (list, tuple)) else [shared_inputs]
    if tape is not None:
      return [tape.gradient(loss, shared) for loss in losses]
    if tf.executing_eagerly():
      raise ValueError(
        f"{self.name}: outside of a graph pass the persistent tape that recorded the losses, or gradients."
      )
    return [tf.gradients(loss, shared) for loss in losses]

  def _record(self, weights: tf.Tensor, norms: tf.Tensor) -> None:
    for i, name in enumerate(self.loss_names):
      _summaries.scalar(f"gradnorm_weight/{name}", weights[i])
      _summaries.scalar(f"gnorm/{name}", norms[i])
      _summaries.scalar(f"wgnorm/{name}", weights[i] * norms[i])

  def compute_output_shape(self, input_shape: Any) -> list[tf.TensorShape]:
    return [tf.TensorShape([]), tf.TensorShape([])]

  def get_config(self) -> dict[str, Any]:
    config = super().get_config()
    config.update(
      loss_names=list(self.loss_names),
      scale=self.scale,
      loss_pow=self.loss_pow,
      relative_diff=self.relative_diff,
      epsilon=self.epsilon,
    )
    return config
