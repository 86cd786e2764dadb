# SPDX-License-Identifier: Apache-2.0
"""Every rule of the house fires on a bad sample and is silent on a good one."""

import importlib.util
import pathlib
import subprocess
import sys

import pytest

_PATH = pathlib.Path(__file__).parents[2] / "build_tools" / "lint.py"
_SPEC = importlib.util.spec_from_file_location("lint", _PATH)
assert _SPEC is not None and _SPEC.loader is not None
lint = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(lint)

LICENSE = "# SPDX-License-Identifier: Apache-2.0\n"
OP = 'REGISTER_OP("Good")\n    .SetShapeFn(ScalarShape)\n    .Doc(R"doc(It does.)doc");\n'
HOME = "/ho" + "me/ann/x"

SAMPLES = [
  # rule, path, bad text, its line, words of the problem, good text
  (lint.check_license, "cc/a.cc", "int a;\n", 1, "no licence", "// SPDX-License-Identifier: Apache-2.0\nint a;\n"),
  (lint.check_license, "a.py", '"""Doc."""\n\n' + LICENSE, 1, "no licence", ""),
  (lint.check_license, "a.sh", "#!/bin/sh\n", 1, "no licence", "#!/bin/sh\n" + LICENSE),
  (lint.check_file_length, "a.py", "a = 1\n" * 901, 901, "901 lines, more than 900; split it", "a = 1\n" * 900),
  (lint.check_file_length, "a.proto", "\n" * 1000, 901, "1000 lines", "\n"),
  (lint.check_no_assert, "monolith/a/b.py", "x = 1\nassert x\n", 2, "assert in the library", "x = 'assert x'\n"),
  (lint.check_op_declarations, "cc/ops/a.cc", OP + OP.replace(".Doc", ".Dok"), 4, "op Good has no .Doc", OP + OP),
  (lint.check_op_declarations, "cc/ops/a.cc", OP.replace(".SetShapeFn", ".Set"), 1, "no shape function", OP),
  (lint.check_op_declarations, "cc/ops/a.cc", OP.replace("ScalarShape", "UnknownShape"), 1, "no shape function", OP),
  (
    lint.check_plain_libraries,
    "cc/hash_table/a.h",
    '#include <vector>\n#include "tensorflow/core/platform/env.h"\n',
    2,
    "a TensorFlow header",
    '#include "cc/hash_table/b.h"\n',
  ),
  (lint.check_plain_libraries, "cc/distribution/a.cc", "# include <tensorflow/c/c_api.h>\n", 1, "cc/kernels", "\n"),
  (
    lint.check_no_machine_paths,
    "docs/a.md",
    f"text\nput it in {HOME}\n",
    2,
    "somebody's machine",
    "https://x.org/home/y\n",
  ),
  (lint.check_no_machine_paths, "Makefile", f"X := '{HOME}'\n", 1, "somebody's machine", "X := build/home/x\n"),
]


@pytest.mark.parametrize("rule, path, bad, line, words, good", SAMPLES)
def test_rule_fires_on_the_bad_sample_only(rule, path, bad, line, words, good):
  ((found, what),) = rule(pathlib.PurePath(path), bad)
  assert found == line and words in what
  assert not list(rule(pathlib.PurePath(path), good))


def test_every_rule_has_a_sample():
  assert {sample[0] for sample in SAMPLES} == set(lint.RULES)


@pytest.mark.parametrize(
  "rule, path, text",
  [
    (lint.check_no_assert, "tests/a_test.py", "assert True\n"),
    (lint.check_no_assert, "monolithic/a.py", "assert True\n"),
    (lint.check_plain_libraries, "cc/kernels/a.cc", '#include "tensorflow/core/framework/op_kernel.h"\n'),
    (lint.check_license, "README.md", "# Title\n"),
    (lint.check_file_length, "data.json", "\n" * 1000),
  ],
)
def test_rule_is_for_its_own_files(rule, path, text):
  assert not list(rule(pathlib.PurePath(path), text))


def _repository(root, **files):
  subprocess.run(["git", "init", "-q"], cwd=root, check=True)
  for name, text in files.items():
    path = root / name.replace("__", "/").replace("_dot_", ".")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_problems_carry_path_and_line(tmp_path):
  _repository(tmp_path, a_dot_py="x = 1\n", b_dot_py=LICENSE, _dot_gitignore="c.py\n", c_dot_py="ignored = 1\n")
  assert [p.split(": no licence")[0] for p in lint.house_rules(tmp_path)] == ["a.py:1"]


def test_binary_and_data_files_are_left_out(tmp_path):
  _repository(tmp_path, examples__movielens__data__a_dot_txt=HOME)
  (tmp_path / "golden").write_bytes(b"\xff\xfe" + HOME.encode())
  assert lint.house_rules(tmp_path) == []


def test_this_tree_obeys_the_house_rules():
  if not (lint.ROOT / ".git").exists():
    pytest.skip("not a git checkout")
  assert lint.house_rules(lint.ROOT) == []


def test_a_failing_step_fails_the_run_but_not_the_steps_after_it(monkeypatch, capsys):
  monkeypatch.setattr(lint, "STEPS", {"one": lambda root: ["a.py:1: bad"], "two": lambda root: []})
  assert lint.main([]) == 1
  assert capsys.readouterr().out == "one: failed\n  a.py:1: bad\ntwo: ok\n"
  assert lint.main(["--only", "two"]) == 0


def test_a_missing_tool_is_named(monkeypatch, capsys):
  monkeypatch.setattr(lint.shutil, "which", lambda name, path=None: None)
  assert lint.main(["--only", "ruff"]) == 1
  assert "ruff is not installed; install the package with its extra" in capsys.readouterr().out


@pytest.mark.parametrize(
  "step, name, bad", [("clang-format", "cc/a.cc", "int  a ;\n"), ("ruff", "a.py", "import os\n")]
)
def test_tools_report_what_they_find(tmp_path, step, name, bad):
  try:
    lint._tool(step)
  except FileNotFoundError:
    pytest.skip(f"{step} is not installed")
  _repository(tmp_path, **{name.replace("/", "__").replace(".", "_dot_"): bad})
  assert any(name in line for line in lint.STEPS[step](tmp_path))


def test_runs_as_a_script():
  finished = subprocess.run([sys.executable, str(_PATH), "--help"], capture_output=True, text=True)
  assert finished.returncode == 0 and "house-rules" in finished.stdout
