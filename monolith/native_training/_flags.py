# SPDX-License-Identifier: Apache-2.0
"""Reading absl flags without asking that somebody has defined or parsed them.

A notebook or a plain script never calls `app.run`, so `FLAGS.name` would raise `UnparsedFlagAccessError` there. Library
code reads flags only through this module.
"""

from __future__ import annotations

from typing import Any

from absl import flags

__all__ = ["flag_value", "is_flag_defined"]


def is_flag_defined(name: str) -> bool:
  """Whether some imported module has defined the flag `name`."""
  return name in flags.FLAGS


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
