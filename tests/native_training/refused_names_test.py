# SPDX-License-Identifier: Apache-2.0
"""Names that modules do not have, and say so."""

from __future__ import annotations

import pytest

from monolith.native_training import _refused_names, cpu_training, distributed_ps_factory, distribution_ops
from monolith.native_training.data import feature_utils


@pytest.mark.parametrize(
  "module, name, words",
  [
    (cpu_training, "distributed_train", "cpu_training.distributed_train is not supported yet; use .*local_train"),
    (distribution_ops, "reorder_by_indices", "distribution_ops.reorder_by_indices is not supported yet; tables live"),
    (feature_utils, "use_f100_multi_head", "feature_utils.use_f100_multi_head is not built: .*scatter_label"),
  ],
)
def test_what_is_not_built_says_what_to_use(module, name, words):
  with pytest.raises(AttributeError, match=words):
    getattr(module, name)


@pytest.mark.parametrize("module", [cpu_training, distributed_ps_factory, distribution_ops, feature_utils])
def test_other_names_are_unknown(module):
  with pytest.raises(AttributeError, match=f"module '{module.__name__}' has no attribute 'typo'"):
    module.typo  # noqa: B018
  assert not hasattr(module, "typo")


def test_a_name_that_is_there_stays(tmp_path, monkeypatch):
  (tmp_path / "some_module.py").write_text(
    "from monolith.native_training import _refused_names\n"
    "kept = 1\n"
    "__getattr__ = _refused_names.refusing(__name__, {'gone': 'is gone; use kept.'})\n"
  )
  monkeypatch.syspath_prepend(tmp_path)
  import some_module

  assert some_module.kept == 1
  with pytest.raises(AttributeError, match="some_module.gone is gone; use kept"):
    some_module.gone  # noqa: B018
  with pytest.raises(AttributeError, match="elsewhere.gone is gone"):
    _refused_names.refusing("package.elsewhere", {"gone": "is gone"})("gone")
