# SPDX-License-Identifier: Apache-2.0
"""Params: defining, setting, finding, freezing, printing, instantiating."""

import copy
import enum

import pytest

from monolith.core import hyperparams

import tensorflow as tf  # isort: skip


class TestEnum(enum.Enum):
  __test__ = False
  A = 1
  B = 2


def _params(**kwargs):
  p = hyperparams.Params()
  for name, value in kwargs.items():
    p.define(name, value, f"About {name}.")
  return p


def test_define_get_and_set():
  p = _params(foo=1)
  assert p.foo == p["foo"] == p.get("foo") == 1
  p.foo = 2
  assert p["foo"] == 2
  p["foo"] = 3
  assert p.foo == 3
  assert p.description("foo") == "About foo."


@pytest.mark.parametrize("name", ["Foo", "1foo", "_foo", "foo-bar", "", "foo.bar"])
def test_bad_names_are_refused(name):
  with pytest.raises(AssertionError, match="bad parameter name"):
    _params().define(name, 1, "")
  with pytest.raises(ValueError, match="lower-case letters"):
    _params().define(name, 1, "")


def test_defining_twice_is_refused():
  p = _params(foo=1)
  with pytest.raises(AttributeError, match="^Parameter foo is already defined$"):
    p.define("foo", 2, "")


@pytest.mark.parametrize(
  "access", [lambda p: p.bar, lambda p: p["bar"], lambda p: p.get("bar"), lambda p: p.set(bar=1)]
)
def test_unknown_names_are_refused(access):
  with pytest.raises(AttributeError, match="^bar$"):
    access(_params(foo=1))


def test_unknown_names_cannot_be_assigned():
  p = _params(foo=1)
  with pytest.raises(AttributeError, match="^bar$"):
    p.bar = 1
  with pytest.raises(AttributeError, match="^bar$"):
    p["bar"] = 1


def test_similar_names_are_suggested():
  p = _params(activation=1, activations=2, units=3)
  with pytest.raises(AttributeError) as error:
    p.actuvation = 4
  assert str(error.value) == "actuvation (did you mean: [activation,activations])"


def test_short_names_get_no_suggestion():
  with pytest.raises(AttributeError, match="^abc$"):
    _params(abcd=1).get("abc")


def test_dots_descend():
  p = _params(a=_params(b=_params(c=1)), lst=[_params(x=1), _params(x=2)])
  assert p.get("a.b.c") == 1 and p.get("lst[1].x") == 2
  assert p.set(**{"a.b.c": 5, "lst[0].x": 7}) is p
  assert p.a.b.c == 5 and p.lst[0].x == 7


@pytest.mark.parametrize(
  "name, message",
  [("z.b", "z"), ("a.z.c", "a.z"), ("a.b.z", "a.b.z"), ("lst[9].x", r"lst\[9\]"), ("a.b.color", "a.b.color")],
)
def test_paths_that_lack_a_part(name, message):
  p = _params(a=_params(b=_params(c=1)), lst=[_params(x=1)])
  for access in (p.get, lambda n: p.set(**{n: 1}), p.delete):
    with pytest.raises(AttributeError, match=f"^{message}$"):
      access(name)


def test_missing_leaf_comes_with_a_suggestion():
  with pytest.raises(AttributeError) as error:
    _params(a=_params(activation=1)).get("a.activatoin")
  assert str(error.value) == "a.activatoin (did you mean: [activation])"


def test_only_params_can_be_descended_into():
  with pytest.raises(AssertionError, match="^Cannot introspect <class 'dict'> for d$"):
    _params(d={"x": 1}).get("d.x")


def test_delete():
  p = _params(foo=1, a=_params(b=1, c=2))
  assert p.delete("foo", "a.b") is p
  assert "foo" not in p and "b" not in p.a and "c" in p.a
  del p.a
  assert len(p) == 0
  with pytest.raises(AttributeError, match="^foo$"):
    del p.foo


def test_frozen_params_do_not_change():
  p = _params(foo=1, inner=_params(bar=2))
  assert not p.is_immutable()
  p.freeze()
  assert p.is_immutable()
  changes = [
    lambda: p.define("x", 1, ""), lambda: setattr(p, "foo", 2), lambda: delattr(p, "foo"),
    lambda: p.delete("foo"), lambda: setattr(p, "_immutable", False),
  ]  # fmt: skip
  for change in changes:
    with pytest.raises(TypeError, match=r"^This Params instance is immutable\.$"):
      change()
  with pytest.raises(TypeError) as error:
    p.set(foo=2)
  assert str(error.value) == "This Params instance is immutable: " + str(p)
  p.inner.bar = 3
  assert p.foo == 1 and p.inner.bar == 3


def test_copies_are_deep_and_stay_frozen():
  p = _params(foo=[1], inner=_params(bar=2))
  p.freeze()
  q = p.copy()
  q.foo.append(2)
  q.inner.bar = 3
  assert q.is_immutable() and not q.inner.is_immutable()
  assert p.foo == [1] and p.inner.bar == 2
  assert copy.deepcopy(p) == p


def test_tensors_are_copied_by_reference():
  with tf.Graph().as_default():
    tensor = tf.constant(1.0)
    p = _params(one=tensor, many=[tensor, (tensor,)], named={"t": tensor})
    q = p.copy()
  assert q.one is tensor and q.many[0] is tensor and q.many[1][0] is tensor and q.named["t"] is tensor
  assert q.many is not p.many and q == p


def test_equality_ignores_descriptions():
  p, q = _params(foo=1, inner=_params(bar=2)), _params(foo=1)
  q.define("inner", _params(), "Else.")
  q.inner.define("bar", 2, "Else.")
  assert p == q
  q.inner.bar = 3
  assert p != q
  assert p != _params(foo=1) and p != 1
  with pytest.raises(TypeError, match="unhashable"):
    hash(p)


def test_container_methods():
  p = _params(b=1, a=2)
  assert "a" in p and p.contain("b") and "c" not in p and not p.contain("c") and len(p) == 2
  assert dir(p) == ["a", "b"]
  assert list(p.iter_params()) == [("b", 1), ("a", 2)]


def test_text():
  inner = _params(bar=2)
  p = _params(foo=1, inner=inner, list=[1, inner, 2], dict={"a": 1, "b": inner}, enum=TestEnum.B, word="w")
  assert str(p) == (
    "{\n"
    "  dict: {'a': 1, 'b': {'bar': 2}}\n"
    "  enum: TestEnum.B\n"
    "  foo: 1\n"
    "  inner: {\n"
    "    bar: 2\n"
    "  }\n"
    "  list: [1, {'bar': 2}, 2]\n"
    '  word: "w"\n'
    "}"
  )


def test_text_uses_repr_methods_and_leaves_named_tuples():
  import collections

  class Spelled:
    def Repr(self):
      return "spelled"

  Pair = collections.namedtuple("Pair", "x")
  assert str(_params(a=Spelled(), b=Pair(1))) == "{\n  a: spelled\n  b: Pair(x=1)\n}"


def test_copy_params_to():
  source, target = _params(a=1, b=_params(c=2), skipped=3), _params(a=0, b=None)
  assert hyperparams.copy_params_to(source, target, skip=["skipped"]) is target
  assert target.a == 1 and target.b == source.b and target.b is not source.b
  with pytest.raises(AttributeError, match="^skipped$"):
    hyperparams.copy_params_to(source, target)


def test_update_params_removes_what_it_used():
  p = _params(a=1, inner=_params(b=2, deep=_params(c=3)))
  args = {"a": 10, "b": 20, "c": 30, "d": 40}
  hyperparams.update_params(p, args)
  assert args == {"d": 40}
  assert (p.a, p.inner.b, p.inner.deep.c) == (10, 20, 30)


def test_update_params_takes_nested_dicts():
  p = _params(inner=_params(b=2))
  args = {"inner": {"b": 5}}
  hyperparams.update_params(p, args)
  assert args == {} and p.inner.b == 5


class _Plain:
  def __init__(self, a, b=2):
    self.a, self.b = a, b


class _TakesParams:
  @classmethod
  def params(cls):
    p = hyperparams.InstantiableParams(cls)
    p.define("x", 1, "")
    return p

  def __init__(self, params):
    self.p = params


class _Base:
  def __init__(self, trainable=True, dtype=None, name=None):
    self.trainable, self.dtype, self.name = trainable, dtype, name


class _Derived(_Base):
  def __init__(self, a=None, **kwargs):
    super().__init__(**kwargs)
    self.a = a


def _instantiable(cls, **kwargs):
  p = hyperparams.InstantiableParams(cls)
  for name, value in kwargs.items():
    p.define(name, value, "")
  return p


def test_instantiate_passes_what_the_constructor_names():
  made = _instantiable(_Plain, a=None, b=5, other=6).instantiate()
  assert (made.a, made.b) == (None, 5)


def test_instantiate_finds_arguments_in_nested_params():
  assert _instantiable(_Plain, group=_params(a=7)).instantiate().a == 7


def test_instantiate_refuses_nested_params_that_disagree():
  p = _instantiable(_Plain, one=_params(a=1), two=_params(a=2))
  with pytest.raises(ValueError, match="_Plain: a stands in several nested Params"):
    p.instantiate()


def test_instantiate_passes_params_that_are_arguments():
  given = _params(b=9)
  made = _instantiable(_Plain, a=given, b=1).instantiate()
  assert made.a is given and made.b == 1


def test_instantiate_hands_over_itself():
  p = _TakesParams.params()
  assert p.instantiate().p is p


def test_instantiate_passes_base_settings_that_are_set():
  made = _instantiable(_Derived, a=1, trainable=False, dtype="float64", name="n").instantiate()
  assert (made.a, made.trainable, made.dtype, made.name) == (1, False, "float64", "n")


def test_instantiate_refuses_settings_that_cannot_arrive():
  class Closed(_Base):
    def __init__(self, a=None):
      super().__init__()

  assert isinstance(_instantiable(Closed, a=1, name="n", trainable=True).instantiate(), Closed)
  with pytest.raises(ValueError, match="Closed: trainable cannot be set"):
    _instantiable(Closed, a=1, trainable=False).instantiate()


def test_instantiate_needs_a_class():
  with pytest.raises(ValueError, match="cls is None"):
    hyperparams.InstantiableParams().instantiate()


def test_copies_keep_the_class():
  assert _instantiable(_Plain, a=1).copy().instantiate().a == 1
