# SPDX-License-Identifier: Apache-2.0
"""NestedMap."""

import copy

import pytest

from monolith.core.py_utils import NestedMap


def _map():
  return NestedMap(a=1, b=NestedMap(c=[2, NestedMap(d=3)], e=4))


def test_keys_are_attributes():
  m = NestedMap(x=1)
  m.y = 2
  assert m["y"] == 2 and m.x == 1
  del m.x
  with pytest.raises(AttributeError) as error:
    m.x  # noqa: B018
  assert str(error.value) == "'x'; available attributes: ['y']"


def test_missing_attribute_lists_the_others():
  with pytest.raises(AttributeError) as error:
    NestedMap(x=1).q  # noqa: B018
  assert str(error.value) == "'q'; available attributes: ['x']"


@pytest.mark.parametrize("key", ["1a", "a-b", "", "a b"])
def test_bad_identifiers_are_refused(key):
  with pytest.raises(ValueError, match=f"^Invalid NestedMap key '{key}'$"):
    NestedMap()[key] = 1
  with pytest.raises(ValueError, match="Invalid NestedMap key"):
    NestedMap({key: 1})


@pytest.mark.parametrize("key, message", [(1, "Invalid NestedMap key 1"), ("items", "'items' is a method of dict")])
def test_reserved_and_other_keys_are_refused(key, message):
  for change in (lambda m: m.__setitem__(key, 1), lambda m: m.update({key: 1}), lambda m: m.setdefault(key, 1)):
    with pytest.raises(ValueError, match=message):
      change(NestedMap())


def test_paths():
  m = _map()
  assert m.GetItem("b.e") == 4 and m.Get("b.e") == 4
  assert m.Get("b.z") is None and m.Get("a.z", 9) == 9
  with pytest.raises(KeyError, match="b.z"):
    m.GetItem("b.z")
  m.Set("x.y.z", 5)
  assert m.x.y.z == 5
  with pytest.raises(ValueError, match="a is int, not a NestedMap, so a.y"):
    m.Set("a.y", 1)


def test_flatten():
  assert _map().Flatten() == [1, 2, 3, 4]
  assert [k for k, _ in _map().FlattenItems()] == ["a", "b.c[0]", "b.c[1].d", "b.e"]


def test_pack_and_transform():
  assert _map().Pack([5, 6, 7, 8]).Flatten() == [5, 6, 7, 8]
  assert _map().Transform(lambda v: 10 * v).b.c[1].d == 30
  with pytest.raises(ValueError, match="3 values for 4 leaves"):
    _map().Pack([1, 2, 3])


def test_filter():
  assert _map().Filter(lambda v: v > 2) == {"b": {"c": [{"d": 3}], "e": 4}}
  assert _map().FilterKeyVal(lambda k, _: k.startswith("b.c")) == {"b": {"c": [2, {"d": 3}]}}
  assert _map().Filter(lambda _: False) == {}


def test_compatibility_is_about_structure():
  assert _map().IsCompatible(_map().Transform(str))
  assert not _map().IsCompatible(NestedMap(a=1))


def test_from_nested_dict():
  m = NestedMap.FromNestedDict({"a": {"b": [{"c": 1}]}})
  assert m.a.b[0].c == 1


def test_deep_copy_shares_leaves():
  leaf = object()
  m = NestedMap(a=NestedMap(b=leaf))
  for copied in (m.DeepCopy(), copy.deepcopy(m)):
    assert copied.a.b is leaf and copied.a is not m.a


def test_debug_string_lines_up():
  assert NestedMap(a=1, bcd=NestedMap(e=2)).DebugString() == "a        1\nbcd.e    2"


def test_vlog_writes_the_lines(caplog):
  from absl import logging

  logging.get_absl_logger().addHandler(caplog.handler)
  before = logging.get_verbosity()
  logging.set_verbosity(1)
  try:
    NestedMap(a=1).VLog(1, "map")
  finally:
    logging.set_verbosity(before)
    logging.get_absl_logger().removeHandler(caplog.handler)
  assert "map: a    1" in caplog.text
