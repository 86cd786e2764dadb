// SPDX-License-Identifier: Apache-2.0
#include "cc/kernels/run_units.h"

#include <mutex>

#include "cc/kernels/status_util.h"
#include "tensorflow/core/util/work_sharder.h"

namespace monolith {

int NumThreads(::tensorflow::OpKernelContext* ctx) {
  return ctx->device()->tensorflow_cpu_worker_threads()->num_threads;
}

absl::Status RunUnits(::tensorflow::OpKernelContext* ctx, int64_t num_units, int64_t cost_per_unit,
                      const std::function<void(int64_t unit)>& work) {
  if (num_units == 0) return absl::OkStatus();
  const auto& workers = *ctx->device()->tensorflow_cpu_worker_threads();
  std::mutex mutex;
  absl::Status status;
  const auto run = [&](int64_t begin, int64_t end) {
    const absl::Status done = ToStatus([&] {
      for (int64_t i = begin; i < end; ++i) work(i);
    });
    std::lock_guard<std::mutex> lock(mutex);
    status.Update(done);
  };
  ::tensorflow::Shard(workers.num_threads, workers.workers, num_units, cost_per_unit, run);
  return status;
}

}  // namespace monolith
