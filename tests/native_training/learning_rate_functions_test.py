# SPDX-License-Identifier: Apache-2.0
"""Learning rates as functions of the global step."""

import numpy as np
import pytest

from monolith.native_training import learning_rate_functions

import tensorflow as tf  # isort: skip


def test_rate_moves_with_the_global_step():
  with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    step = tf.compat.v1.train.get_or_create_global_step()
    rate = learning_rate_functions.PolynomialDecay(0.01, 10, 0.11)()
    session.run(tf.compat.v1.global_variables_initializer())
    rates = []
    for _ in range(2):
      session.run(step.assign_add(1))
      rates.append(session.run(rate))
  np.testing.assert_allclose(rates, [0.02, 0.03], rtol=1e-6)


def test_rate_works_eagerly_too():
  step = tf.compat.v1.train.get_or_create_global_step()
  step.assign(0)
  decay = learning_rate_functions.PolynomialDecay(0.01, 10, 0.11)
  before = float(decay())
  step.assign(2)
  after = float(decay())
  step.assign(0)
  np.testing.assert_allclose([before, after], [0.01, 0.03], rtol=1e-6)


def test_equal_arguments_give_equal_texts():
  make = lambda end: str(learning_rate_functions.PolynomialDecay(0.01, 10, end))  # noqa: E731
  assert make(0.11) == make(0.11) != make(0.12)


def test_text_lists_parameters_in_order():
  assert str(learning_rate_functions.PolynomialDecay(0.01, 10)) == (
    'LearningRateFunction("PolynomialDecay",Params:cycle=False,decay_steps=10,end_learning_rate=0.0001,'
    "initial_learning_rate=0.01,name=None,power=1.0)"
  )


def test_base_must_be_overridden():
  class Nothing(learning_rate_functions.LearningRateFunction):
    pass

  with pytest.raises(NotImplementedError, match="Nothing does not define __call__"):
    Nothing()()


def test_decay_steps_must_be_positive():
  with pytest.raises(ValueError, match="decay_steps is 0; it must be > 0"):
    learning_rate_functions.PolynomialDecay(0.01, 0)


def test_drives_a_dense_optimizer():
  with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    tf.compat.v1.train.get_or_create_global_step()
    variables = [tf.compat.v1.get_variable(n, initializer=v) for n, v in (("a", [1.0, 2.0]), ("b", [3.0, 4.0]))]
    rate = learning_rate_functions.PolynomialDecay(3.0, 10, 11.0)
    optimizer = tf.compat.v1.train.AdagradOptimizer(rate, initial_accumulator_value=0.1)
    step = optimizer.apply_gradients(zip([tf.constant([0.1, 0.1]), tf.constant([0.01, 0.01])], variables, strict=True))
    session.run(tf.compat.v1.global_variables_initializer())
    for _ in range(3):
      session.run(step)
    a, b = session.run(variables)
  np.testing.assert_allclose(a, [-1.6026098728179932, -0.6026098728179932], rtol=1e-5)
  np.testing.assert_allclose(b, [2.715679168701172, 3.715679168701172], rtol=1e-5)
