# SPDX-License-Identifier: Apache-2.0
"""`params()` for classes with ordinary constructors, Keras layers above all, and small argument helpers.

    @with_params
    class Scale(tf.keras.layers.Layer):
      def __init__(self, factor=1.0, **kwargs): ...

    p = Scale.params()
    p.factor = 2.0
    layer = p.instantiate()

A layer made this way is named after its class.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from monolith.core import base_layer, hyperparams

_T = TypeVar("_T", bound=type)

# `name` is the class name whatever a constructor says; `params` is how a class takes its settings, none of them.
_LEFT_OUT = ("name", "params")


def params(cls: type) -> hyperparams.InstantiableParams:
  """Returns the settings of a class: one for every argument of its constructor and of its bases'.

  The nearest base that has `params()` gives the start. `name` is the class name. An argument without a default starts
  as None; one with a default overrides what a base said, also where that lies in nested Params.
  """
  base = next((b for b in cls.__mro__[1:] if hasattr(b, "params")), None)
  p = base.params() if base is not None else hyperparams.InstantiableParams(cls)
  p.cls = cls
  name = base_layer.get_uname(cls.__name__)
  if "name" in p:
    p.name = name
  else:
    p.define("name", name, f"Name of this {cls.__name__}.")
  for owner, parameter in _constructor_parameters(cls):
    _define(p, parameter, owner)
  for kwarg in hyperparams.allowed_kwargs:
    if kwarg not in p:
      p.define(kwarg, None, "Argument of the Keras base layer; None leaves it out.")
  return p


def with_params(cls: _T) -> _T:
  """Gives a class its `params()`; a subclass that is not decorated gets its own settings, not this class's."""
  cls.params = classmethod(params)  # type: ignore[attr-defined]
  return cls


def _constructor_parameters(cls: type) -> Iterator[tuple[type, inspect.Parameter]]:
  """Yields the named constructor arguments of all bases, `cls` last."""
  for owner in reversed(cls.__mro__):
    if owner is object or "__init__" not in vars(owner):
      continue
    named = list(inspect.signature(owner.__init__).parameters.values())[1:]  # type: ignore[misc]
    yield from (
      (owner, p) for p in named if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD) and p.name not in _LEFT_OUT
    )


def _define(p: hyperparams.Params, parameter: inspect.Parameter, owner: type) -> None:
  has_default = parameter.default is not parameter.empty
  holder = _holder(p, parameter.name)
  if holder is None:
    default = parameter.default if has_default else None
    p.define(parameter.name, default, f"Argument {parameter.name} of {owner.__name__}.")
  elif has_default:
    holder[parameter.name] = parameter.default


def _holder(p: hyperparams.Params, name: str) -> hyperparams.Params | None:
  """Returns the Params, `p` or nested in it, that have `name`."""
  if name in p:
    return p
  nested = (value for _, value in p.iter_params() if isinstance(value, hyperparams.Params))
  return next((found for value in nested if (found := _holder(value, name)) is not None), None)


def extend_as_list(x: Any, n: int) -> list[Any]:
  """Returns a list of at least `n` elements.

  A list or tuple is padded with None (a longer one stays as long); anything else is repeated, as deep copies where it
  can be copied.
  """
  if isinstance(x, (list, tuple)):
    return [*x, *[None] * (n - len(x))]
  try:
    return [x, *(copy.deepcopy(x) for _ in range(n - 1))][:n]
  except (TypeError, ValueError, NotImplementedError, AttributeError):
    return [x] * n


def check_list(
  candidate: list[Any] | None, length_checker: Callable[[int], bool], could_be_none: bool = False
) -> list[Any] | None:
  """Returns `candidate` if it is a list whose length passes.

  Args:
    candidate: the list.
    length_checker: whether a length is fine.
    could_be_none: whether None passes too.

  Raises:
    TypeError: not a list.
    ValueError: the length does not pass.
  """
  if candidate is None:
    if could_be_none:
      return None
    raise TypeError("ListChecker cannot accept None candidate")
  if not isinstance(candidate, list):
    raise TypeError(f"ListChecker got candidate in the wrong type[{type(candidate)}]; pass a list.")
  if not length_checker(len(candidate)):
    raise ValueError(f"ListChecker got candidate beyonds the range: its length is {len(candidate)}.")
  return candidate


def get_ndim(x: Any) -> int | None:
  """Returns the static rank of a tensor, None if it is unknown."""
  return x.shape.rank


def int_shape(x: Any) -> tuple[int, ...] | None:
  """Returns the static shape of a tensor with -1 for what is unknown; None if the rank is."""
  return None if x.shape.rank is None else tuple(-1 if d is None else d for d in x.shape.as_list())
