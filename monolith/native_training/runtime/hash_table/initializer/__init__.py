# SPDX-License-Identifier: Apache-2.0
"""Generated module of the initializers' configs."""
