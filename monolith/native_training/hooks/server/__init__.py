# SPDX-License-Identifier: Apache-2.0
"""Remote control of a training run."""
