# SPDX-License-Identifier: Apache-2.0
"""Short names of modules that existing model code imports: `monolith.layers`, `monolith.base_model` and so on.

They are resolved when somebody imports them. An alias is the same module object as the one it stands for, and so is
what lies below it: `monolith.layers.mlp` is `monolith.native_training.layers.mlp`.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import sys
import types
from collections.abc import Sequence
from typing import Optional

ALIASES = {
  "monolith.base_model": "monolith.native_training.native_model",
  "monolith.data": "monolith.native_training.data",
  "monolith.entry": "monolith.native_training.entry",
  "monolith.estimator": "monolith.native_training.estimator",
  "monolith.layers": "monolith.native_training.layers",
  "monolith.model_export": "monolith.native_training.model_export",
}


def real_name(name: str) -> Optional[str]:
  """The module that an alias, or a name below one, stands for; None for any other name."""
  for alias, target in ALIASES.items():
    if name == alias or name.startswith(alias + "."):
      return target + name[len(alias) :]
  return None


class AliasFinder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
  """Imports the real module and enters it under the alias too."""

  def find_spec(
    self, fullname: str, path: Optional[Sequence[str]] = None, target: Optional[types.ModuleType] = None
  ) -> Optional[importlib.machinery.ModuleSpec]:
    if real_name(fullname) is None:
      return None
    return importlib.machinery.ModuleSpec(fullname, self)

  def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
    module = importlib.import_module(str(real_name(spec.name)))
    spec.loader_state = module.__spec__
    return module

  def exec_module(self, module: types.ModuleType) -> None:
    """The module has run under its own name; the import system must only not rename it."""
    alias_spec = module.__spec__
    if alias_spec is not None and alias_spec.loader is self:
      module.__spec__ = alias_spec.loader_state


def install() -> None:
  """Makes the aliases importable. Doing it twice changes nothing."""
  if not any(isinstance(finder, AliasFinder) for finder in sys.meta_path):
    sys.meta_path.insert(0, AliasFinder())
