# SPDX-License-Identifier: Apache-2.0
"""`params()` of classes with ordinary constructors."""

import pytest

from monolith.core import hyperparams, keras_params

import tensorflow as tf  # isort: skip


@keras_params.with_params
class _Scale(tf.keras.layers.Layer):
  def __init__(self, factor, offset=0.5, **kwargs):
    super().__init__(**kwargs)
    self.factor, self.offset = factor, offset


class _Wide(_Scale):
  def __init__(self, width=3, offset=1.5, **kwargs):
    super().__init__(factor=2.0, offset=offset, **kwargs)
    self.width = width


def test_params_hold_constructor_base_and_keras_arguments():
  p = _Scale.params()
  own = {
    "factor": None,
    "offset": 0.5,
    "cls": _Scale,
    "name": "_Scale",
    "trainable": True,
    "dtype": None,
    "dynamic": False,
  }
  assert dict(p.iter_params()) == own | dict.fromkeys(set(hyperparams.allowed_kwargs) - {"name"})


def test_layers_are_named_after_their_class_and_take_base_settings():
  p = _Scale.params()
  p.factor, p.trainable, p.dtype = 3.0, False, "float64"
  layer = p.instantiate()
  assert (layer.name, layer.factor, layer.offset, layer.trainable, layer.dtype) == (
    "_Scale",
    3.0,
    0.5,
    False,
    "float64",
  )


def test_subclass_that_is_not_decorated_makes_itself():
  p = _Wide.params()
  assert (p.cls, p.name, p.width, p.offset) == (_Wide, "_Wide", 3, 1.5)
  assert isinstance(p.instantiate(), _Wide)


def test_defaults_override_nested_params_of_the_base():
  class Base:
    @classmethod
    def params(cls):
      p = hyperparams.InstantiableParams(cls)
      p.define("group", hyperparams.Params(), "")
      p.group.define("size", 1, "")
      return p

  @keras_params.with_params
  class Derived(Base):
    def __init__(self, size=5):
      self.size = size

  p = Derived.params()
  assert p.group.size == 5 and "size" not in p
  p.group.size = 6
  assert p.instantiate().size == 6


def test_extend_as_list():
  extend = keras_params.extend_as_list
  assert extend([1], 3) == [1, None, None] and extend((1, 2), 1) == [1, 2] and extend("a", 2) == ["a", "a"]
  original = {"k": []}
  first, second = extend(original, 2)
  assert first is original and second == original and second["k"] is not original["k"]


def test_extend_as_list_shares_what_cannot_be_copied():
  import threading

  lock = threading.Lock()
  assert keras_params.extend_as_list(lock, 2) == [lock, lock]


def test_check_list():
  check = keras_params.check_list
  given = [1]
  assert check(given, lambda n: n == 1) is given
  assert check(None, lambda n: True, could_be_none=True) is None
  with pytest.raises(TypeError, match="^ListChecker cannot accept None candidate$"):
    check(None, lambda n: True)
  with pytest.raises(TypeError, match=r"ListChecker got candidate in the wrong type\[<class 'int'>\]"):
    check(1, lambda n: True)
  with pytest.raises(ValueError, match="ListChecker got candidate beyonds the range: its length is 1"):
    check([1], lambda n: n > 1)


def test_static_shapes():
  with tf.Graph().as_default():
    known = tf.compat.v1.placeholder(tf.float32, [None, 3])
    unknown = tf.compat.v1.placeholder(tf.float32)
    assert (keras_params.get_ndim(known), keras_params.int_shape(known)) == (2, (-1, 3))
    assert (keras_params.get_ndim(unknown), keras_params.int_shape(unknown)) == (None, None)
