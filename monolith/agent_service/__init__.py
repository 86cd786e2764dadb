# SPDX-License-Identifier: Apache-2.0
"""How the servers of one exported model find each other."""
