# SPDX-License-Identifier: Apache-2.0
"""Imports the modules that register models.

A built-in task `t` keeps its models in `<root>.t.params.*`; its `params` module imports all of them. A model of one's
own may live in any module, and is named with that module's path.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable

from absl import logging

_ROOT = "monolith.tasks"
_DIRS: tuple[str, ...] = ("sparse_dense",)


def _Import(name: str) -> bool:
  """Imports a module; returns whether that worked. Only failing imports count as failure, other errors pass."""
  logging.info("Importing %s", name)
  try:
    importlib.import_module(name)
  except ImportError as error:
    logging.error("Could not import %s: %s", name, error)
    return False
  logging.info("Imported %s", name)
  return True


def ImportAllParams(task_root: str = _ROOT, task_dirs: Iterable[str] = _DIRS, require_success: bool = False) -> bool:
  """Imports `<task_root>.<task>.params.params` for every task.

  Returns:
    Whether any import worked.

  Raises:
    LookupError: none worked and `require_success` is true.
  """
  modules = [f"{task_root}.{task}.params.params" for task in task_dirs]
  # A list, so that every module is tried.
  success = any([_Import(module) for module in modules])
  if require_success and not success:
    raise LookupError(f"No model params found; tried {', '.join(modules) or 'nothing'}. Check task_root and task_dirs.")
  return success


def ImportParams(
  model_name: str, task_root: str = _ROOT, task_dirs: Iterable[str] = _DIRS, require_success: bool = True
) -> bool:
  """Imports the module in which a model registers itself.

  Args:
    model_name: `module.Class`; the module is tried as it stands, and for a built-in task `t.path` as
      `<task_root>.t.params.path` too.
    task_root: package of the built-in tasks.
    task_dirs: names of the built-in tasks.
    require_success: raise where nothing could be imported.

  Returns:
    Whether any import worked.

  Raises:
    ValueError: the name has no dot.
    LookupError: nothing could be imported and `require_success` is true.
  """
  if "." not in model_name:
    raise ValueError(f"Invalid model name {model_name!r}; give it as module.Class.")
  module = model_name.rpartition(".")[0]
  success = _Import(module)
  for task in task_dirs:
    if module.startswith(f"{task}."):
      success = _Import(f"{task_root}.{task}.params.{module[len(task) + 1 :]}") or success
  if require_success and not success:
    raise LookupError(
      f"Could not import {module} for model {model_name}; a model of your own needs the full path of its module, "
      f"a built-in one starts with its task, one of: {', '.join(task_dirs) or 'none'}."
    )
  return success
