# SPDX-License-Identifier: Apache-2.0
"""Learning rates that are functions of the global step."""

from __future__ import annotations

import tensorflow as tf


class LearningRateFunction:
  """A learning rate that is computed when it is called.

  Two functions count as the same where their texts are equal: adjacent embedding slices with the same configs are
  merged by that rule, so a subclass keeps all that it depends on in plain attributes.
  """

  def __call__(self) -> tf.Tensor:
    """Returns the current rate, a float scalar.

    Raises:
      NotImplementedError: the subclass does not say how.
    """
    raise NotImplementedError(
      f"{type(self).__name__} does not define __call__; return the rate as a float scalar there."
    )

  def __str__(self) -> str:
    params = ",".join(f"{key}={value}" for key, value in sorted(vars(self).items()))
    return f'LearningRateFunction("{type(self).__name__}",Params:{params})'


class PolynomialDecay(LearningRateFunction):
  """Moves from one rate to another over a number of global steps; `end > initial` is a warm-up.

  At step `s = min(global_step, decay_steps)` the rate is
  `(initial - end) * (1 - s / decay_steps) ** power + end`, as `tf.compat.v1.train.polynomial_decay` computes it.

  Args:
    initial_learning_rate: the rate at step 0.
    decay_steps: steps until `end_learning_rate`; > 0.
    end_learning_rate: the rate from then on.
    power: 1 is a straight line.
    cycle: start over, with longer cycles, instead of staying at the end.
    name: prefix of the ops' names.

  Raises:
    ValueError: `decay_steps` is not positive.
  """

  def __init__(
    self,
    initial_learning_rate: float,
    decay_steps: int,
    end_learning_rate: float = 0.0001,
    power: float = 1.0,
    cycle: bool = False,
    name: str | None = None,
  ):
    if decay_steps <= 0:
      raise ValueError(
        f"PolynomialDecay: decay_steps is {decay_steps}; it must be > 0. For a constant rate pass the number."
      )
    self.initial_learning_rate = initial_learning_rate
    self.decay_steps = decay_steps
    self.end_learning_rate = end_learning_rate
    self.power = power
    self.cycle = cycle
    self.name = name

  def __call__(self) -> tf.Tensor:
    rate = tf.compat.v1.train.polynomial_decay(
      learning_rate=self.initial_learning_rate,
      global_step=tf.compat.v1.train.get_or_create_global_step(),
      decay_steps=self.decay_steps,
      end_learning_rate=self.end_learning_rate,
      power=self.power,
      cycle=self.cycle,
      name=self.name,
    )
    # Eagerly TensorFlow hands back a function, to be called at every step; ours is already that function.
    return rate() if callable(rate) else rate
