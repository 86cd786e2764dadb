// SPDX-License-Identifier: Apache-2.0
#ifndef CC_MONITORING_PROCESS_MEMORY_H_
#define CC_MONITORING_PROCESS_MEMORY_H_

#include <cstdint>

namespace monolith {

// Bytes of this process that are in memory now; 0 where the system does not say.
int64_t ResidentBytes();

}  // namespace monolith

#endif  // CC_MONITORING_PROCESS_MEMORY_H_
