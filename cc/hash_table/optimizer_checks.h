// SPDX-License-Identifier: Apache-2.0
// Ranges of optimizer settings. Each throws a TableError that names the optimizer, the field, the value and the range.
#ifndef CC_HASH_TABLE_OPTIMIZER_CHECKS_H_
#define CC_HASH_TABLE_OPTIMIZER_CHECKS_H_

#include <string>

#include "cc/hash_table/table_config.h"

namespace monolith {

inline void RequireThat(bool holds, const OptimizerConfig& config, const char* field, float value, const char* range) {
  if (holds) return;
  throw TableError(config.name + ": " + field + " is " + std::to_string(value) + "; it must be " + range + ".");
}

inline void RequireNotNegative(const OptimizerConfig& config, const char* field, float value) {
  RequireThat(value >= 0, config, field, value, ">= 0");
}

inline void RequirePositive(const OptimizerConfig& config, const char* field, float value) {
  RequireThat(value > 0, config, field, value, "> 0");
}

// The share of the old value in a running average.
inline void RequireDecay(const OptimizerConfig& config, const char* field, float value) {
  RequireThat(value >= 0 && value < 1, config, field, value, "in [0, 1)");
}

}  // namespace monolith

#endif  // CC_HASH_TABLE_OPTIMIZER_CHECKS_H_
