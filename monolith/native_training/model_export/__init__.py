# SPDX-License-Identifier: Apache-2.0
"""Turns trained models into SavedModels.

Older model code imports two modules of this package as `monolith.model_export.<module>`; both names give
the same objects. They are resolved at first use, because an exporter imports the tables, which in turn ask
`export_context` whether an export is going on.
"""

import importlib as _importlib
import sys as _sys
import types as _types


class _Alias(_types.ModuleType):
  """Stands for a module under its old name until somebody asks for something in it."""

  def __init__(self, name: str, target: str):
    super().__init__(name, f"Old name of {target}.")
    self._target = target

  def __getattr__(self, name: str):
    if name.startswith("__"):  # questions of the import system are no use
      raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
    return getattr(_importlib.import_module(self._target), name)

  def __dir__(self):
    return dir(_importlib.import_module(self._target))


for _module in ("export_context", "saved_model_exporters"):
  _old = f"monolith.model_export.{_module}"
  _sys.modules.setdefault(_old, _Alias(_old, f"{__name__}.{_module}"))

del _sys, _types, _module, _old
