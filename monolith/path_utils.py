# SPDX-License-Identifier: Apache-2.0
"""Where the package lies; standard library only."""

from __future__ import annotations

import os

_PACKAGE = "monolith"
# Part of the path to look for -> whether it belongs to the base directory. The first that occurs decides.
_MARKS = (("__main__", True), ("site-packages", True), (_PACKAGE, False))


def _base_of(path: str) -> str:
  for mark, inside in _MARKS:
    index = path.rfind(f"/{mark}/")
    if index >= 0:
      base = path[: index + len(mark) + 1] if inside else path[:index]
      if os.path.exists(os.path.join(base, _PACKAGE)):
        return base
      raise ValueError(f"{path} should lie below {base}, but that directory has no {_PACKAGE}; reinstall the package.")
  raise ValueError(
    f"{path} has none of {', '.join(m for m, _ in _MARKS)} above it; import the package from its own directory."
  )


def find_main() -> str:
  """Returns the directory that holds the package: a zipped program's `__main__`, `site-packages`, or the source tree.

  Raises:
    ValueError: there is none, or the package is not in it.
  """
  return _base_of(os.path.abspath(__file__))


def get_libops_path(lib_name: str) -> str:
  """Returns the path of a file given relative to the directory of `find_main`."""
  return os.path.join(find_main(), lib_name)
