# SPDX-License-Identifier: Apache-2.0
"""Models by name.

    @RegisterSingleTaskModel
    class Small(SingleTaskModelParams):
      def task(self): ...

    GetParams("my_models.Small").instantiate()

A model's module is imported when the model is first asked for.
"""

from __future__ import annotations

from typing import TypeVar

from absl import logging

from monolith.core import base_model_params, hyperparams, model_imports

_T = TypeVar("_T", bound=type)
_PREFIX = "monolith.tasks."
_MODELS: dict[str, type[base_model_params.SingleTaskModelParams]] = {}


def _keys(cls: type) -> list[str]:
  full = f"{cls.__module__}.{cls.__name__}"
  short = full.replace(_PREFIX, "").replace("params.", "")
  return list(dict.fromkeys([full, short]))


def RegisterSingleTaskModel(src_cls: _T) -> _T:
  """Registers a class under `module.Class`, and under the same without `monolith.tasks.` and `params.`.

  Raises:
    TypeError: the class is no `SingleTaskModelParams`.
    ValueError: another class has the key.
  """
  if not (isinstance(src_cls, type) and issubclass(src_cls, base_model_params.SingleTaskModelParams)):
    raise TypeError(f"{src_cls!r} is not a SingleTaskModelParams; derive from it and define task().")
  keys = _keys(src_cls)
  for key in keys:
    if key in _MODELS:
      raise ValueError(f"Duplicate model registered for key {key}: {src_cls.__module__}.{src_cls.__name__}")
  _MODELS.update(dict.fromkeys(keys, src_cls))
  return src_cls


def GetAllRegisteredClasses() -> dict[str, type[base_model_params.SingleTaskModelParams]]:
  """Returns key -> class; warns in the log if nothing is registered."""
  if not _MODELS:
    logging.warning("No models are registered; import the modules that register them, or call ImportAllParams().")
  return dict(_MODELS)


def GetClass(class_key: str) -> type[base_model_params.SingleTaskModelParams]:
  """Returns a registered class; imports its module if it is not known yet.

  Raises:
    LookupError: the model is unknown; the known ones are in the log.
  """
  if class_key not in _MODELS:
    model_imports.ImportParams(class_key, require_success=False)
  if class_key not in _MODELS:
    for key in sorted(_MODELS):
      logging.info("Known model: %s", key)
    raise LookupError(f"Model {class_key} not found from list of above known models.")
  return _MODELS[class_key]


def GetParams(class_key: str) -> hyperparams.InstantiableParams:
  """Returns the Params of a registered model's task."""
  return GetClass(class_key)().task()
