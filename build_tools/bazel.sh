#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs Bazel offline with Debian's rule packages (bazel-bootstrap, bazel-rules-java, bazel-rules-proto, bazel-platforms):
#   build_tools/bazel.sh build //...
# Another Bazel that finds its rules itself can be called directly.
set -euo pipefail
cd "$(dirname "$0")/.."
rules=/usr/share/bazel/rules
python=${PYTHON_BIN_PATH:-$(command -v .venv/bin/python || command -v python3)}
case "$python" in /*) ;; *) python="$PWD/$python" ;; esac
export PYTHON_BIN_PATH="$python"
command=${1:?usage: build_tools/bazel.sh COMMAND [ARGUMENTS]}
shift
exec bazel --host_jvm_args=-Xmx2g "$command" \
  --override_repository=rules_cc="$PWD/build_tools/bazel/rules_cc" \
  --override_repository=rules_java="$rules/java" \
  --override_repository=rules_proto="$rules/proto" \
  --override_repository=remote_coverage_tools="$PWD/build_tools/bazel/remote_coverage_tools" \
  --override_repository=platforms=/usr/share/bazel/platforms \
  --spawn_strategy=local --action_env=PYTHON_BIN_PATH --action_env=PATH --jobs="$(nproc)" "$@"
