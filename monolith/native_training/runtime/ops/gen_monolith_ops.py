# SPDX-License-Identifier: Apache-2.0
"""Every op of the library as a Python function, in snake_case and under its raw name."""

from __future__ import annotations

from monolith.native_training.runtime.ops import _op_library

_library = _op_library.load()
LIBRARY_PATH = str(_op_library.LIBRARY_PATH)

globals().update({name: value for name, value in vars(_library).items() if not name.startswith("_")})


def __getattr__(name: str):
  raise AttributeError(f"The op library has no op {name!r}; it was built from other sources: build it again.")
