# SPDX-License-Identifier: Apache-2.0
"""Params: named settings that refuse misspelt names, nest, freeze and print sorted.

    p = Params()
    p.define("units", 8, "Width of the layer.")
    p.define("train", Params(), "Settings of the training loop.")
    p.train.define("steps", None, "Steps to run; None runs for ever.")
    p.units = 16
    p.set(**{"train.steps": 100})
    p.unit = 4  # AttributeError: unit

`InstantiableParams` are the settings of one class and know how to construct it.
"""

from __future__ import annotations

import copy
import enum
import inspect
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from monolith.core.errors import CallerError

_NAME = re.compile(r"^[a-z][a-z0-9_]*$")
_LIST_ITEM = re.compile(r"^(.+)\[(\d+)\]$")
_IMMUTABLE = "This Params instance is immutable."

# Arguments of a Keras layer's base class that reach it through a constructor's **kwargs.
allowed_kwargs = (
  "input_dim",
  "input_shape",
  "batch_input_shape",
  "weights",
  "activity_regularizer",
  "autocast",
  "implementation",
  "name",
)


def _is_tensor(value: Any) -> bool:
  """Whether `value` is a TensorFlow tensor; without TensorFlow loaded nothing is."""
  tensorflow = sys.modules.get("tensorflow")
  return tensorflow is not None and hasattr(tensorflow, "Tensor") and isinstance(value, tensorflow.Tensor)


def _copy_value(value: Any, memo: dict[int, Any]) -> Any:
  """Copies deeply, but keeps tensors: a copy of one would be another node of the graph."""
  if _is_tensor(value):
    return value
  if type(value) in (list, tuple):
    return type(value)(_copy_value(v, memo) for v in value)
  if type(value) is dict:
    return {k: _copy_value(v, memo) for k, v in value.items()}
  return copy.deepcopy(value, memo)


def _equal_values(left: Any, right: Any) -> bool:
  if left is right:
    return True
  if _is_tensor(left) or _is_tensor(right):
    return False
  result = left == right
  return bool(result.all()) if hasattr(result, "all") else bool(result)


def _sorted_repr(value: Any) -> Any:
  """Rewrites a value so that its `repr` shows Params and dicts by sorted key."""
  if isinstance(value, Params):
    value = dict(value.iter_params())
  if isinstance(value, dict):
    return {key: _sorted_repr(value[key]) for key in sorted(value, key=str)}
  if isinstance(value, (list, tuple)) and not hasattr(value, "_fields"):
    return type(value)(_sorted_repr(v) for v in value)
  return value.Repr() if hasattr(value, "Repr") and not isinstance(value, type) else value


def _text(value: Any, depth: int) -> str:
  if isinstance(value, Params):
    return value._text(depth)
  if isinstance(value, str):
    return f'"{value}"'
  if isinstance(value, enum.Enum):
    return f"{type(value).__name__}.{value.name}"
  return str(_sorted_repr(value))


class _Param:
  """One named value with its description."""

  __slots__ = ("description", "value")

  def __init__(self, value: Any, description: str):
    self.value = value
    self.description = description


class Params:
  """An ordered map from name to value with a description a name.

  Names are attributes and items alike. Names have to be defined before they are set; a misspelt one is an
  `AttributeError` that lists similar names.
  """

  __hash__ = None  # type: ignore[assignment]

  def __init__(self) -> None:
    self.__dict__["_immutable"] = False
    self.__dict__["_params"] = {}

  def define(self, name: str, default_value: Any, description: str) -> None:
    """Adds a name.

    Args:
      name: lower-case letters, digits and underscores, a letter first.
      default_value: its value until it is set.
      description: what it means, for readers.

    Raises:
      CallerError: the name is not well formed.
      AttributeError: the name exists.
      TypeError: the Params are frozen.
    """
    self._check_mutable()
    if not isinstance(name, str) or not _NAME.match(name):
      raise CallerError(f"bad parameter name {name!r}; use lower-case letters, digits and underscores, a letter first.")
    if name in self._params:
      raise AttributeError(f"Parameter {name} is already defined")
    self._params[name] = _Param(default_value, description)

  # Reading.

  def __getattr__(self, name: str) -> Any:
    # Only names that Python does not find end up here. Dunder look-ups (copy, pickle) must fail before _params exists.
    if name in ("_params", "_immutable") or (name.startswith("__") and name.endswith("__")):
      raise AttributeError(name)
    return self._param(name).value

  def __getitem__(self, name: str) -> Any:
    return self._param(name).value

  def get(self, name: str) -> Any:
    """Returns a value; dots in the name descend into nested Params, and `part[2]` into a list of them.

    Raises:
      AttributeError: no such name.
      CallerError: a part before the last is no Params.
    """
    owner, leaf = self._descend(name)
    return owner._param(leaf, name).value

  def __contains__(self, name: object) -> bool:
    return name in self._params

  def contain(self, name: str) -> bool:
    return name in self._params

  def __len__(self) -> int:
    return len(self._params)

  def __dir__(self) -> list[str]:
    return sorted(self._params)

  def iter_params(self) -> Iterator[tuple[str, Any]]:
    """Yields (name, value) in the order of definition."""
    for name, param in self._params.items():
      yield name, param.value

  def description(self, name: str) -> str:
    """Returns what a name means, as `define` was told."""
    return self._param(name).description

  # Writing.

  def __setattr__(self, name: str, value: Any) -> None:
    self._check_mutable()
    if name in ("_params", "_immutable"):
      raise AttributeError(f"{name} is not a parameter")
    self._param(name).value = value

  def __setitem__(self, name: str, value: Any) -> None:
    self.__setattr__(name, value)

  def __delattr__(self, name: str) -> None:
    self._check_mutable()
    self._param(name)
    del self._params[name]

  def set(self, **kwargs: Any) -> Params:
    """Sets several values; names with dots, given as `**{"train.steps": 1}`, descend as in `get`. Returns self.

    Raises:
      AttributeError: no such name.
      CallerError: a part before the last is no Params.
      TypeError: the Params are frozen.
    """
    for name, value in kwargs.items():
      self._check_settable()
      owner, leaf = self._descend(name)
      owner._check_settable()
      owner._param(leaf, name).value = value
    return self

  def delete(self, *names: str) -> Params:
    """Removes names, which may have dots. Returns self."""
    self._check_mutable()
    for name in names:
      owner, leaf = self._descend(name)
      owner._check_mutable()
      owner._param(leaf, name)
      del owner._params[leaf]
    return self

  def freeze(self) -> None:
    """Makes these Params unchangeable; nested ones stay as they are, copies are frozen too."""
    self.__dict__["_immutable"] = True

  def is_immutable(self) -> bool:
    return self._immutable

  # Copying, comparing, printing.

  def copy(self) -> Any:
    """Returns a deep copy that shares tensors."""
    return copy.deepcopy(self)

  def __deepcopy__(self, memo: dict[int, Any]) -> Any:
    new = type(self).__new__(type(self))
    memo[id(self)] = new
    params = {n: _Param(_copy_value(p.value, memo), p.description) for n, p in self._params.items()}
    new.__dict__.update(_params=params, _immutable=self._immutable)
    return new

  def __eq__(self, other: object) -> bool:
    if not isinstance(other, Params):
      return NotImplemented
    if self._params.keys() != other._params.keys():
      return False
    return all(_equal_values(p.value, other._params[n].value) for n, p in self._params.items())

  def __str__(self) -> str:
    return self._text(0)

  __repr__ = __str__

  def _text(self, depth: int) -> str:
    indent = "  " * depth
    lines = [f"{indent}  {name}: {_text(self._params[name].value, depth + 1)}\n" for name in sorted(self._params)]
    return "{\n" + "".join(lines) + indent + "}"

  # Finding.

  def _check_mutable(self) -> None:
    if self._immutable:
      raise TypeError(_IMMUTABLE)

  def _check_settable(self) -> None:
    if self._immutable:
      raise TypeError(f"{_IMMUTABLE.removesuffix('.')}: {self}")

  def _param(self, name: str, full_name: str | None = None) -> _Param:
    try:
      return self._params[name]
    except KeyError:
      similar = sorted(key for key in self._params if _similarity(name, key) > 0.5)
      hint = f" (did you mean: [{','.join(similar)}])" if similar else ""
      raise AttributeError((full_name or name) + hint) from None

  def _descend(self, name: str) -> tuple[Params, str]:
    """Splits a dotted name into the Params that hold its last part, and that part."""
    parts = name.split(".")
    current: Any = self
    for i, part in enumerate(parts[:-1]):
      path = ".".join(parts[: i + 1])
      item = _LIST_ITEM.match(part)
      try:
        current = current._params[item.group(1) if item else part].value
        if item:
          current = current[int(item.group(2))]
      except (KeyError, IndexError, TypeError):
        raise AttributeError(path) from None
      if not isinstance(current, Params):
        raise CallerError(f"Cannot introspect {type(current)} for {path}")
    return current, parts[-1]


def _similarity(name: str, key: str) -> float:
  """Returns the share of the 3-character windows of `name`, the last one left out, that occur in `key`."""
  windows = [name[i : i + 3] for i in range(len(name) - 3)]
  return sum(w in key for w in windows) / len(windows) if windows else 0.0


def copy_params_to(from_p: Params, to_p: Params, skip: Iterable[str] | None = None) -> Params:
  """Sets in `to_p` every value of `from_p`, nested Params copied; returns `to_p`.

  Args:
    skip: names that are left out.

  Raises:
    AttributeError: `to_p` lacks a name.
  """
  skipped = set(skip or ())
  for name, value in from_p.iter_params():
    if name not in skipped:
      to_p.set(**{name: value.copy() if isinstance(value, Params) else value})
  return to_p


def update_params(ips: Params, args: dict[str, Any]) -> None:
  """Sets the values that `args` has for names of `ips` and of the Params nested in it.

  A used key is removed from `args`, so what is left names nothing. A dict given for nested Params is applied to them.
  """
  for name, value in list(ips.iter_params()):
    given = args.get(name)
    if isinstance(value, Params) and isinstance(given, dict):
      update_params(value, given)
      if not given:
        del args[name]
    elif name in args:
      ips[name] = args.pop(name)
    elif isinstance(value, Params):
      update_params(value, args)


class InstantiableParams(Params):
  """The settings of one class.

  Args:
    cls: the class that `instantiate` constructs.
  """

  def __init__(self, cls: type | None = None):
    super().__init__()
    self.define("cls", cls, "Class that these settings construct.")

  def instantiate(self) -> Any:
    """Constructs the class.

    A class whose constructor takes exactly `params`, and which has `params` itself, gets these Params. Any other class
    gets by keyword what its constructor names: from here, or else from Params nested here. Settings of its bases (such
    as a Keras layer's `name`, `dtype` and `trainable`) go through its `**kwargs` where they are set.

    Raises:
      ValueError: `cls` is not set; two nested Params disagree about an argument; or a setting differs from its default
        but the constructor has no way to take it.
    """
    if self.cls is None:
      raise ValueError("InstantiableParams.cls is None; set it to the class that instantiate() is to construct.")
    signature = inspect.signature(self.cls.__init__)
    names = [n for n, p in signature.parameters.items() if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)][1:]
    takes_more = any(p.kind == p.VAR_KEYWORD for p in signature.parameters.values())
    if names == ["params"] and not takes_more and hasattr(self.cls, "params"):
      return self.cls(self)
    kwargs = {}
    for name in names:
      found, value = self._argument(name)
      if found:
        kwargs[name] = value
    kwargs.update(self._base_arguments(names, takes_more))
    return self.cls(**kwargs)

  def _argument(self, name: str) -> tuple[bool, Any]:
    """Looks a constructor argument up, here first."""
    if name in self._params:
      return True, self._params[name].value
    values = list(_nested_values(self, name))
    if any(not _equal_values(values[0], v) for v in values[1:]):
      raise ValueError(
        f"{self.cls.__name__}: {name} stands in several nested Params with different values; define it at the top."
      )
    return (True, values[0]) if values else (False, None)

  def _base_arguments(self, own: list[str], takes_more: bool) -> dict[str, Any]:
    """Settings for the base classes: allowed kwargs that are not None, and others that differ from their defaults."""
    wanted = {
      n: self._params[n].value for n in allowed_kwargs if n in self._params and self._params[n].value is not None
    }
    for name, default in _base_defaults(self.cls).items():
      if name in self._params and name not in allowed_kwargs and not _equal_values(self._params[name].value, default):
        wanted[name] = self._params[name].value
    wanted = {n: v for n, v in wanted.items() if n not in own}
    if takes_more:
      return wanted
    # Every params-built object has a name; a class that does not ask for one does without.
    wanted.pop("name", None)
    if wanted:
      raise ValueError(
        f"{self.cls.__name__}: {', '.join(sorted(wanted))} cannot be set, since its constructor takes neither them "
        "nor **kwargs."
      )
    return {}


def _nested_values(params: Params, name: str) -> Iterator[Any]:
  for _, value in params.iter_params():
    if isinstance(value, Params):
      if name in value:
        yield value[name]
      yield from _nested_values(value, name)


def _base_defaults(cls: type) -> Mapping[str, Any]:
  """Defaults of the constructor arguments of `cls`'s bases, the nearest base first."""
  defaults: dict[str, Any] = {}
  for base in cls.__mro__[1:]:
    if "__init__" in vars(base) and base is not object:
      for name, parameter in inspect.signature(base.__init__).parameters.items():  # type: ignore[misc]
        if parameter.default is not parameter.empty:
          defaults.setdefault(name, parameter.default)
  return defaults
