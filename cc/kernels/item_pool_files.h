// SPDX-License-Identifier: Apache-2.0
// Saved item pools: TFRecords of ChannelCaches, shard = channel modulo the number of shards, in files
//
//   <directory>/model.ckpt-<step>_item_pool_<worker>_<shard>_<workers>
//
// and, in older directories, the same without `model.ckpt-<step>_`.
#ifndef CC_KERNELS_ITEM_POOL_FILES_H_
#define CC_KERNELS_ITEM_POOL_FILES_H_

#include <string>

#include "absl/status/status.h"
#include "cc/data/item_pool.h"
#include "tensorflow/core/platform/env.h"

namespace monolith {

// The worker of this process, of so many.
struct PoolWorker {
  int64_t index = 0, count = 1;
};

// None of the files has its name before all are complete.
absl::Status SaveItemPool(::tensorflow::Env* env, const data::ItemPool& pool, const std::string& directory,
                          int64_t step, int64_t num_shards, const PoolWorker& worker);

// Reads what a worker saved at `step`, or at the highest step before it that this worker saved at: worker `index` modulo the
// number of workers that saved last. The pool changes only after every file has been read, and stays as it is where there are no files (*found is
// false). DataLoss, naming the file, if one is damaged.
absl::Status RestoreItemPool(::tensorflow::Env* env, data::ItemPool* pool, const std::string& directory, int64_t step,
                             const PoolWorker& worker, int64_t buffer_size, bool* found);

}  // namespace monolith

#endif  // CC_KERNELS_ITEM_POOL_FILES_H_
