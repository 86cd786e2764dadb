# SPDX-License-Identifier: Apache-2.0
"""Examples in docstrings do what they say, and every layer, loss and optimizer has one."""

import doctest
import importlib
import pkgutil

from conformance import cases
from conformance import register  # noqa: F401  fills the lists of `cases`
import numpy as np
import pytest

from monolith.native_training import layers
from monolith.native_training import losses
from monolith.native_training import optimizers

import tensorflow as tf  # isort: skip

_PACKAGES = (layers, losses, optimizers)
_MODULES = [m.name for p in _PACKAGES for m in pkgutil.iter_modules(p.__path__, p.__name__ + ".")]


@pytest.mark.parametrize("name", _MODULES)
def test_examples_hold(name):
  module = importlib.import_module(name)
  result = doctest.testmod(module, extraglobs={"tf": tf, "np": np}, optionflags=doctest.NORMALIZE_WHITESPACE)
  assert result.failed == 0


@pytest.mark.parametrize("name", [n for n in _MODULES if not n.startswith(layers.__name__) and "._" not in n])
def test_losses_and_optimizers_have_an_example(name):
  tests = doctest.DocTestFinder(exclude_empty=True).find(importlib.import_module(name))
  assert any(test.examples for test in tests)


def test_layers_have_an_example():
  classes = {type(case.build()) for case in cases.LAYERS}
  ours = [c for c in classes if c.__module__.startswith("monolith.")]
  assert not sorted(c.__name__ for c in ours if ">>> " not in (c.__doc__ or ""))
