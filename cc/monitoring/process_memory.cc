// SPDX-License-Identifier: Apache-2.0
#include "cc/monitoring/process_memory.h"

#include <unistd.h>

#include <fstream>

namespace monolith {

int64_t ResidentBytes() {
  int64_t total_pages = 0, resident_pages = 0;
  std::ifstream statm("/proc/self/statm");
  if (!(statm >> total_pages >> resident_pages)) return 0;
  return resident_pages * static_cast<int64_t>(sysconf(_SC_PAGESIZE));
}

}  // namespace monolith
