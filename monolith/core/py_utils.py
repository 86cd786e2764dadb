# SPDX-License-Identifier: Apache-2.0
"""NestedMap: a dict whose keys are attributes, with operations over the whole tree."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_RESERVED = frozenset(dir(dict))
_PAIR = Callable[[str, Any], bool]


class NestedMap(dict):
  """A dict with identifiers as keys, which are attributes too.

  Trees are made of NestedMaps, lists and leaves; lists may hold NestedMaps. Every operation visits keys in sorted
  order.

  Raises:
    ValueError: a key is no string, no identifier, or the name of a method of dict.
  """

  def __init__(self, *args: Any, **kwargs: Any):
    super().__init__(*args, **kwargs)
    for key in self:
      self.CheckKey(key)

  @staticmethod
  def CheckKey(key: Any) -> None:
    """Raises ValueError unless `key` can be an attribute."""
    if not isinstance(key, str) or not _IDENTIFIER.match(key):
      raise ValueError(f"Invalid NestedMap key {key!r}")
    if key in _RESERVED:
      raise ValueError(f"{key!r} is a method of dict; NestedMap cannot have it as a key.")

  def __setitem__(self, key: str, value: Any) -> None:
    self.CheckKey(key)
    super().__setitem__(key, value)

  def setdefault(self, key: str, default: Any = None) -> Any:
    self.CheckKey(key)
    return super().setdefault(key, default)

  def update(self, *args: Any, **kwargs: Any) -> None:
    for key, value in dict(*args, **kwargs).items():
      self[key] = value

  def __setattr__(self, name: str, value: Any) -> None:
    self[name] = value

  def __getattr__(self, name: str) -> Any:
    try:
      return self[name]
    except KeyError:
      raise AttributeError(f"'{name}'; available attributes: {sorted(self)}") from None

  def __delattr__(self, name: str) -> None:
    try:
      del self[name]
    except KeyError:
      raise AttributeError(f"'{name}'; available attributes: {sorted(self)}") from None

  def copy(self) -> NestedMap:
    return NestedMap(self)

  def __deepcopy__(self, unused_memo: dict[int, Any]) -> NestedMap:
    """Copies the structure only: leaves are shared."""
    return self.DeepCopy()

  def DeepCopy(self) -> NestedMap:
    """Returns a copy of the structure; leaves are shared."""
    return self.Pack(self.Flatten())

  @staticmethod
  def FromNestedDict(x: Any) -> Any:
    """Turns every dict in a tree of dicts, lists and tuples into a NestedMap."""
    if isinstance(x, dict):
      return NestedMap({key: NestedMap.FromNestedDict(value) for key, value in x.items()})
    if isinstance(x, (list, tuple)) and not hasattr(x, "_fields"):
      return type(x)(NestedMap.FromNestedDict(value) for value in x)
    return x

  def GetItem(self, key: str) -> Any:
    """Returns the value at a dotted path such as `a.b`.

    Raises:
      KeyError: nothing lies there.
    """
    current: Any = self
    for part in key.split("."):
      if not isinstance(current, dict) or part not in current:
        raise KeyError(key)
      current = current[part]
    return current

  def Get(self, key: str, default: Any = None) -> Any:
    """Returns the value at a dotted path, or `default`."""
    try:
      return self.GetItem(key)
    except KeyError:
      return default

  def Set(self, key: str, value: Any) -> None:
    """Puts a value at a dotted path; makes the levels that lack.

    Raises:
      ValueError: a level on the way is no dict.
    """
    *levels, last = key.split(".")
    current: Any = self
    for i, part in enumerate(levels):
      if part not in current:
        current[part] = NestedMap()
      current = current[part]
      if not isinstance(current, dict):
        raise ValueError(
          f"{'.'.join(levels[: i + 1])} is {type(current).__name__}, not a NestedMap, so {key} cannot be set below it."
        )
    current[last] = value

  def Flatten(self) -> list[Any]:
    """Returns the leaves."""
    return [value for _, value in self.FlattenItems()]

  def FlattenItems(self) -> list[tuple[str, Any]]:
    """Returns (path, leaf) pairs; a path looks like `b.c[1].d`."""
    return list(_items("", self))

  def Pack(self, values: Iterable[Any]) -> NestedMap:
    """Returns a tree of this structure with other leaves.

    Args:
      values: as many as `Flatten` returns, in its order.

    Raises:
      ValueError: there are more or fewer.
    """
    given = list(values)
    count = len(self.Flatten())
    if len(given) != count:
      raise ValueError(
        f"NestedMap.Pack: {len(given)} values for {count} leaves; give one a leaf, in the order of Flatten()."
      )
    source = iter(given)
    return _rebuild(self, lambda _: next(source))

  def Transform(self, fn: Callable[[Any], Any]) -> NestedMap:
    """Returns a tree of this structure with `fn(leaf)` as leaves."""
    return self.Pack([fn(value) for value in self.Flatten()])

  def Filter(self, fn: Callable[[Any], bool]) -> NestedMap:
    """Returns the tree of those leaves for which `fn(leaf)` is true; what is left empty goes too."""
    return self.FilterKeyVal(lambda _, value: fn(value))

  def FilterKeyVal(self, fn: _PAIR) -> NestedMap:
    """Returns the tree of those leaves for which `fn(path, leaf)` is true; what is left empty goes too."""
    kept = _filter("", self, fn)
    return NestedMap() if kept is _DROPPED else kept

  def IsCompatible(self, other: NestedMap) -> bool:
    """Whether both trees have the same structure, leaves aside."""
    return [k for k, _ in self.FlattenItems()] == [k for k, _ in other.FlattenItems()]

  def DebugString(self) -> str:
    """Returns a line a leaf, `path    value`, paths padded to the longest plus four."""
    items = self.FlattenItems()
    width = max((len(path) for path, _ in items), default=0) + 4
    return "\n".join(f"{path:<{width}}{value}" for path, value in items)

  def VLog(self, level: int, prefix: str = "") -> None:
    """Logs `DebugString` line by line at absl's verbosity `level`."""
    from absl import logging

    for line in self.DebugString().splitlines():
      logging.vlog(level, "%s: %s", prefix, line)


_DROPPED = object()


def _join(prefix: str, key: str) -> str:
  return f"{prefix}.{key}" if prefix else key


def _items(prefix: str, node: Any) -> Iterator[tuple[str, Any]]:
  if isinstance(node, NestedMap):
    for key in sorted(node):
      yield from _items(_join(prefix, key), node[key])
  elif isinstance(node, list):
    for i, value in enumerate(node):
      yield from _items(f"{prefix}[{i}]", value)
  else:
    yield prefix, node


def _rebuild(node: Any, leaf: Callable[[Any], Any]) -> Any:
  if isinstance(node, NestedMap):
    return NestedMap({key: _rebuild(node[key], leaf) for key in sorted(node)})
  if isinstance(node, list):
    return [_rebuild(value, leaf) for value in node]
  return leaf(node)


def _filter(prefix: str, node: Any, fn: _PAIR) -> Any:
  if isinstance(node, NestedMap):
    kept = {key: _filter(_join(prefix, key), node[key], fn) for key in sorted(node)}
    result: Any = NestedMap({key: value for key, value in kept.items() if value is not _DROPPED})
  elif isinstance(node, list):
    result = [v for i, x in enumerate(node) if (v := _filter(f"{prefix}[{i}]", x, fn)) is not _DROPPED]
  else:
    return node if fn(prefix, node) else _DROPPED
  return result if result else _DROPPED
