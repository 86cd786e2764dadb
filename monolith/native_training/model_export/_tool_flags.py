# SPDX-License-Identifier: Apache-2.0
"""Flags of this package's programs.

They are defined when a program starts, not when its module is imported, so that importing two of them, or one beside a
trainer with flags of the same names, defines none twice.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

from absl import app, flags

from monolith.native_training import _flags

__all__ = ["Definitions", "define", "integers", "refuse_arguments", "required", "value_or_default"]

Definitions = Dict[str, Tuple[Callable[..., Any], Any, str]]
"""{name: (flags.DEFINE_..., default, what it is for)}."""


def define(definitions: Definitions) -> None:
  """Defines flags, but for those that somebody has defined."""
  for name, (define_flag, default, text) in definitions.items():
    if name not in flags.FLAGS:
      define_flag(name, default, text)


def refuse_arguments(argv: Sequence[str]) -> None:
  """Raises `app.UsageError` if there are arguments that are no flags."""
  if len(argv) > 1:
    raise app.UsageError(f"unexpected arguments: {' '.join(argv[1:])}")


def value_or_default(definitions: Definitions, name: str) -> Any:
  """The value of a flag; its default where `define` was not called, as when a program's function is."""
  return _flags.flag_value(name, definitions[name][1])


def required(name: str) -> str:
  """The value of a flag without which the program can do nothing.

  Raises:
    app.UsageError: it is not set.
  """
  value = _flags.flag_value(name, None)
  if not value:
    raise app.UsageError(f"--{name} is not set, and must be.")
  return value


def integers(name: str) -> Optional[List[int]]:
  """The integers of a flag that is a list; None where it is empty.

  Raises:
    app.UsageError: something in it is no integer.
  """
  values = _flags.flag_value(name, None)
  try:
    return [int(value) for value in values] if values else None
  except ValueError:
    raise app.UsageError(f"--{name} is {','.join(values)!r}; write integers with commas between them.") from None
