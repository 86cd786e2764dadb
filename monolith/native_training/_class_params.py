# SPDX-License-Identifier: Apache-2.0
"""Gives a class a `params()` that is derived from its constructor."""

from __future__ import annotations

import inspect
import types
from typing import Any, Dict, TypeVar

from monolith.core import base_layer, hyperparams

__all__ = ["params", "with_params"]

_C = TypeVar("_C", bound=type)


def with_params(cls: _C) -> _C:
  """Class decorator: `cls.params()` returns settings made from the constructor's arguments."""
  cls.params = types.MethodType(params, cls)  # type: ignore[attr-defined]
  return cls


def params(cls: type) -> hyperparams.InstantiableParams:
  """The settings of `cls`: those of its nearest base that has any, then one for each constructor argument.

  Constructor arguments of all bases are gathered, the most derived last; each is defined with its default (None without
  one), or overwrites a setting of that name when the signature has a default. `name` becomes the class name.
  """
  result = _base_params(cls)
  _define_or_set(result, "name", base_layer.get_uname(cls.__name__), True)
  for name, default in _constructor_arguments(cls).items():
    if name != "name":
      has_default = default is not inspect.Parameter.empty
      _define_or_set(result, name, default if has_default else None, has_default)
  for name in hyperparams.allowed_kwargs:
    if name not in result:
      result.define(name, None, f"{name} of the base class.")
  return result


def _base_params(cls: type) -> hyperparams.InstantiableParams:
  for base in cls.__mro__[1:]:
    if hasattr(base, "params"):
      result = base.params()
      result.cls = cls
      return result
  return hyperparams.InstantiableParams(cls)


def _constructor_arguments(cls: type) -> Dict[str, Any]:
  """{argument: default or Parameter.empty} over all constructors, bases first, the most derived default winning."""
  arguments: Dict[str, Any] = {}
  for base in reversed(cls.__mro__[:-1]):
    if "__init__" not in vars(base):
      continue
    for name, parameter in list(inspect.signature(vars(base)["__init__"]).parameters.items())[1:]:
      if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD) or name == "params":
        continue
      arguments[name] = parameter.default
  return arguments


def _define_or_set(target: hyperparams.Params, name: str, value: Any, overwrite: bool) -> None:
  owner = _owner(target, name)
  if owner is None:
    target.define(name, value, f"{name} of the constructor.")
  elif overwrite:
    owner[name] = value


def _owner(target: hyperparams.Params, name: str) -> hyperparams.Params | None:
  """The Params, `target` or one nested in it, that defines `name`; None if none does."""
  if name in target:
    return target
  for _, value in target.iter_params():
    if isinstance(value, hyperparams.Params):
      owner = _owner(value, name)
      if owner is not None:
        return owner
  return None
