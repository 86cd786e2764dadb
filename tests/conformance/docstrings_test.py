# SPDX-License-Identifier: Apache-2.0
"""Examples in docstrings do what they say, and every layer, loss and optimizer has one."""

import doctest
import importlib
import inspect
import pkgutil
import re

from conformance import cases
from conformance import register  # noqa: F401  fills the lists of `cases`
import numpy as np
import pytest

from monolith.native_training import layers
from monolith.native_training import losses
from monolith.native_training import optimizers
from monolith.native_training.layers import advanced_activations
from monolith.native_training.layers import layer_ops
from monolith.native_training.layers import pooling
from monolith.native_training.losses import batch_softmax_loss
from monolith.native_training.losses import inbatch_auc_loss
from monolith.native_training.losses import ltr_losses
from monolith.native_training.runtime.ops import gen_monolith_ops

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


_OF_EVERY_LAYER = ("name", "dtype", "trainable", "dynamic")


def _own_layers():
  classes = {type(case.build()) for case in cases.LAYERS}
  return sorted((c for c in classes if c.__module__.startswith("monolith.")), key=lambda c: c.__name__)


@pytest.mark.parametrize("layer", _own_layers(), ids=lambda c: c.__name__)
def test_layers_tell_their_shapes_and_arguments(layer):
  """In the class's docstring, or for activations and pools, which are all alike, in the module's or the base's."""
  module, text = importlib.import_module(layer.__module__), layer.__doc__
  if module in (advanced_activations, pooling):
    text += module.__doc__ + pooling.Pooling.__doc__
  assert re.search(r"[Ii]nput|takes a", text) and re.search(r"[Oo]utput|returns", text)
  arguments = set(inspect.signature(layer.__init__).parameters) - {"self", "kwargs", *_OF_EVERY_LAYER}
  assert not [name for name in arguments if name not in text]


def _losses():
  functions = {ltr_losses.make_loss_fn}
  for module in (batch_softmax_loss, inbatch_auc_loss):
    functions |= {v for n, v in vars(module).items() if inspect.isfunction(v) and n.endswith("_loss") and n[0] != "_"}
  return sorted(functions, key=lambda f: f.__name__)


@pytest.mark.parametrize("loss", _losses(), ids=lambda f: f.__name__)
def test_losses_tell_their_shapes_arguments_and_source(loss):
  text = loss.__doc__ + (ltr_losses.__doc__ if loss is ltr_losses.make_loss_fn else "")
  assert not [name for name in inspect.signature(loss).parameters if f"{name}: " not in text]
  assert "Returns" in text and re.search(r"https://|et al\.", text) and ">>> " in text


def test_docs_say_that_search_ops_without_a_publication_are_left_out():
  assert "never published" in layer_ops.__doc__
  for op in ("bernoulli_gate", "discrete_gate", "discrete_truncated_gate", "nas_arch_weight", "segment_discrete_gate"):
    assert not hasattr(gen_monolith_ops, op)
