# SPDX-License-Identifier: Apache-2.0
"""Command-line flags for the fields of a dataclass.

    @gflags_utils.extract_flags_decorator()
    @dataclasses.dataclass
    class Config:
      \"\"\":param rate: learning rate.\"\"\"
      rate: float = 0.1

defines `--rate`, and `gflags_utils.update(config)` takes what the command line says for fields that code left alone.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import inspect
import re
import typing
from typing import Any, Callable, Dict, Iterable, Iterator, Mapping, Optional, Type, TypeVar

from absl import flags

from monolith.native_training import _flags

__all__ = ["LinkDataclassToFlags", "extract_flags", "extract_flags_decorator", "extract_help_info", "update"]

T = TypeVar("T")

_PARAM = re.compile(r"^\s*:param\s+(?:\w+\s+)?(\w+)\s*:\s*(.*)$")


def extract_help_info(cls: Type[Any], is_nested: bool = True) -> Dict[str, str]:
  """{name: text} of the `:param name: text` lines in a class' docstring; lines that go on are joined by a blank.

  Args:
    cls: the class.
    is_nested: also take those of its bases, which it may overrule.
  """
  found: Dict[str, str] = {}
  for one in reversed(cls.__mro__) if is_nested else [cls]:
    name = None
    for line in (one.__doc__ or "").splitlines():
      match = _PARAM.match(line)
      if match:
        name = match[1]
        found[name] = match[2].strip()
      elif name is not None and line.strip():
        found[name] += " " + line.strip()
      else:
        name = None
  return found


def _flag_fields(cls: Type[Any], is_nested: bool) -> Iterator[tuple[dataclasses.Field, Any]]:
  """(field, its type without Optional) of the fields that a flag can hold."""
  hints = typing.get_type_hints(cls)
  own = inspect.get_annotations(cls)
  for field in dataclasses.fields(cls):
    if not is_nested and field.name not in own:
      continue
    kinds = [kind for kind in typing.get_args(hints[field.name]) if kind is not type(None)] or [hints[field.name]]
    if len(kinds) == 1 and isinstance(kinds[0], type) and issubclass(kinds[0], (bool, int, float, str, enum.Enum)):
      yield field, kinds[0]


def _define(name: str, kind: Any, default: Any, text: str) -> None:
  # bool before int, whose subclass it is.
  definers: Dict[type, Any] = {
    bool: flags.DEFINE_bool,
    int: flags.DEFINE_integer,
    float: flags.DEFINE_float,
    str: flags.DEFINE_string,
  }
  # A script imported later may define a flag of that name for itself.
  if issubclass(kind, enum.Enum):
    flags.DEFINE_enum_class(name, default, kind, text, allow_override=True)  # type: ignore[call-overload]
    return
  definer = next(definer for base, definer in definers.items() if issubclass(kind, base))
  definer(name, default, text, allow_override=True)


def extract_flags(dcls: Type[Any], is_nested: bool = True, skip_flags: Optional[Iterable[str]] = None) -> None:
  """Defines a flag for each documented field of a dataclass that is a bool, int, float, string or enum.

  A flag that exists already is left alone. Enum flags take the members' names in lower case.

  Args:
    dcls: the dataclass.
    is_nested: also the fields that it inherits.
    skip_flags: names of fields to leave out.
  """
  texts, skipped = extract_help_info(dcls), set(skip_flags or ())
  for field, kind in _flag_fields(dcls, is_nested):
    if field.name in texts and field.name not in skipped and field.name not in flags.FLAGS:
      default = None if field.default is dataclasses.MISSING else field.default
      _define(field.name, kind, default, texts[field.name])


def extract_flags_decorator(
  remove_flags: Optional[Iterable[str]] = None, is_nested: bool = True
) -> Callable[[Type[T]], Type[T]]:
  """`extract_flags` as a decorator of a dataclass.

  Args:
    remove_flags: names of fields to leave out.
    is_nested: also the fields that it inherits.
  """

  def decorate(cls: Type[T]) -> Type[T]:
    extract_flags(cls, is_nested, remove_flags)
    return cls

  return decorate


def update(config: Any) -> None:
  """Sets those fields of a dataclass object that have their default to what was given by flags of their names."""
  for field in dataclasses.fields(config):
    if _flags.is_flag_set(field.name) and getattr(config, field.name) == field.default:
      setattr(config, field.name, _flags.flag_value(field.name, None))


class LinkDataclassToFlags:
  """Decorator of a dataclass whose fields, where nobody set them, have the values of flags.

  Args:
    linked_list: fields that have flags of the same names.
    linked_map: {field: flag}.

  Raises:
    ValueError: the class has no such field, when it is decorated, or there is no such flag, when an object is made.
  """

  def __init__(self, linked_list: Optional[Iterable[str]] = None, linked_map: Optional[Mapping[str, str]] = None):
    self._links = {**{name: name for name in linked_list or ()}, **(linked_map or {})}

  def __call__(self, cls: Type[T]) -> Type[T]:
    defaults = {field.name: field.default for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    unknown = sorted(set(self._links) - set(defaults))
    if unknown:
      raise ValueError(f"LinkDataclassToFlags: {cls.__name__} has no fields {unknown}; it has {sorted(defaults)}.")
    original_post = getattr(cls, "__post_init__", None)

    def post_init(this: Any, *args: Any) -> None:
      if original_post is not None:
        original_post(this, *args)
      self._fill(this, cls.__name__, defaults)

    linked: Any = cls
    linked.__post_init__ = post_init  # of classes that derive from this one, too
    if original_post is None:
      original: Any = cls.__init__

      @functools.wraps(original)
      def init(this: Any, *args: Any, **kwargs: Any) -> None:
        original(this, *args, **kwargs)
        post_init(this)

      linked.__init__ = init
    return cls

  def _fill(self, config: Any, class_name: str, defaults: Mapping[str, Any]) -> None:
    for field, flag in self._links.items():
      if flag not in flags.FLAGS:
        raise ValueError(f"{class_name}.{field} is linked to the flag {flag!r}, which nobody has defined.")
      if getattr(config, field) == defaults[field]:
        setattr(config, field, _flags.flag_value(flag, None))
