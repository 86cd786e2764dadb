# SPDX-License-Identifier: Apache-2.0
"""What the README shows runs, and what it names exists."""

import pathlib
import re
import subprocess
import sys

import numpy as np

ROOT = pathlib.Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def _blocks(language):
  fenced = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
  return [text for kind, text in fenced if kind == language]


def test_the_python_block_runs_and_does_what_it_says(capsys):
  block, _ = _blocks("python")
  names = {}
  exec(compile(block, "README.md", "exec"), names)
  printed = capsys.readouterr().out
  assert "'user'" in printed and "'movie'" in printed
  table, users = names["table"], names["users"]
  np.testing.assert_allclose(table.lookup({"user": users})["user"], np.full([2, 2], -0.1 / np.sqrt(2)), rtol=1e-6)


def test_the_keras_block_runs_and_saves(tmp_path, monkeypatch):
  _, block = _blocks("python")
  monkeypatch.chdir(tmp_path)
  names = {}
  exec(compile(block, "README.md", "exec"), names)
  again = names["tf"].keras.models.load_model("model.keras")
  predictions = [model.predict(names["ids"], verbose=0) for model in (names["model"], again)]
  np.testing.assert_array_equal(*predictions)
  assert again.layers[0].table_sizes() == {"embedding": 1000}


def test_the_python_block_is_short():
  block, _ = _blocks("python")
  assert len([line for line in block.splitlines() if line.strip()]) <= 16


def test_commands_name_targets_of_the_makefile():
  makefile = (ROOT / "Makefile").read_text()
  targets = re.findall(r"^make (\S+)", "\n".join(_blocks("sh")), re.MULTILINE)
  assert targets == ["demo", "test"]
  for target in targets:
    assert re.search(rf"^{target}:", makefile, re.MULTILINE)


def test_links_lead_somewhere():
  for page in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/architecture.md"):
    text = (ROOT / page).read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)#]+)\)", text):
      if "://" not in link:
        assert ((ROOT / page).parent / link).exists(), f"{page}: {link}"


def test_the_map_names_what_exists():
  (code_map,) = _blocks("")
  for name in re.findall(r"(?:monolith|cc|tests|examples|benchmarks|protos)/[\w/]*", code_map):
    assert (ROOT / name).exists(), name
  for name in re.findall(r"\b[a-z]+(?:_[a-z]+)+\b(?!/)", code_map):
    in_package = ROOT / "monolith" / "native_training" / f"{name}.py"
    assert in_package.exists() or (ROOT / "cc" / name).exists() or name == "native_training" or name == "hash_table", (
      name
    )


def test_what_is_refused_by_name_is_among_the_limits():
  limits = README[README.index("## Limits") :]
  for name in (
    "warm_start_from", "DistributedExporter", "ExportMode.DISTRIBUTED", "reduce_network_packets",
    "create_in_worker_multi_type_hash_table", "create_in_worker_native_multi_hash_table",
  ):  # fmt: skip
    assert f"`{name}" in limits, name


def test_the_import_that_loading_an_export_needs():
  (statement,) = re.findall(r"`(import monolith[\w.]+)`", README)
  subprocess.run([sys.executable, "-c", statement], cwd=ROOT, check=True, capture_output=True)
