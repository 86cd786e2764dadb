# SPDX-License-Identifier: Apache-2.0
"""Reading absl flags without asking that somebody has defined or parsed them.

A notebook or a plain script never calls `app.run`, so `FLAGS.name` would raise `UnparsedFlagAccessError` there. Library
code reads flags only through this module.
"""

from __future__ import annotations

from typing import Any

from absl import flags

__all__ = ["flag_value", "is_flag_set"]


def is_flag_set(name: str) -> bool:
  """Whether flag `name` exists and was given a value, on the command line or in code."""
  return name in flags.FLAGS and not flags.FLAGS[name].using_default_value


def flag_value(name: str, default: Any) -> Any:
  """The value of flag `name`; `default` where no imported module defines it.

  While absl has not parsed the command line the value is the one assigned in code, or else the flag's own default.

  Args:
    name: the flag's name, without dashes.
    default: what to return when the flag does not exist.
  """
  if name not in flags.FLAGS:
    return default
  return flags.FLAGS[name].value
