// SPDX-License-Identifier: Apache-2.0
#include "cc/kernels/run_units.h"

#include <algorithm>
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

absl::Status RunRanges(::tensorflow::OpKernelContext* ctx, int64_t size, int64_t size_of_unit, int64_t cost_per_unit,
                       const std::function<void(int64_t begin, int64_t end)>& work) {
  return RunUnits(ctx, (size + size_of_unit - 1) / size_of_unit, cost_per_unit, [&](int64_t unit) {
    const int64_t begin = unit * size_of_unit;
    work(begin, std::min(begin + size_of_unit, size));
  });
}

}  // namespace monolith
