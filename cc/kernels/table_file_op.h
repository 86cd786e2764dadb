// SPDX-License-Identifier: Apache-2.0
// What ops that save and restore tables share.
#ifndef CC_KERNELS_TABLE_FILE_OP_H_
#define CC_KERNELS_TABLE_FILE_OP_H_

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cc/hash_table/table_config.h"
#include "cc/kernels/table_resources.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/platform/env.h"

namespace monolith {

// Finds the table behind input 0, then lets Run work with the basenames of input 1 on a thread of its own.
template <typename Resource>
class TableFileOp : public ::tensorflow::AsyncOpKernel {
 public:
  using AsyncOpKernel::AsyncOpKernel;

  void ComputeAsync(::tensorflow::OpKernelContext* ctx, DoneCallback done) override {
    ::tensorflow::core::RefCountPtr<Resource> found;
    OP_REQUIRES_OK_ASYNC(ctx, FindTable(ctx, &found), done);
    auto* held = found.release();
    ctx->env()->SchedClosure([this, ctx, held, done = std::move(done)] {
      const ::tensorflow::core::RefCountPtr<Resource> resource(held);
      const auto flat = ctx->input(1).flat<::tensorflow::tstring>();
      const std::vector<std::string> basenames(flat.data(), flat.data() + flat.size());
      OP_REQUIRES_OK_ASYNC(ctx, Run(ctx->env(), resource.get(), basenames), done);
      ctx->set_output(0, ctx->input(0));
      done();
    });
  }

 protected:
  virtual absl::Status Run(::tensorflow::Env* env, Resource* resource, const std::vector<std::string>& basenames) = 0;
};

// The attributes of a save.
struct SaveSettings {
  absl::Status Read(::tensorflow::OpKernelConstruction* ctx);
  // How many files the entries go into.
  int NumShards(uint64_t num_entries) const;

  int num_shards = -1;                 // below 1: by the number of entries
  std::optional<ExpireConfig> expire;  // what to leave out, if the table's own configuration does not say so
};

// Makes the directory of the one basename that a save has.
absl::Status PrepareSave(::tensorflow::Env* env, const std::vector<std::string>& basenames);

// The attributes of a restore: only fids of this shard are kept.
struct RestoreSettings {
  absl::Status Read(::tensorflow::OpKernelConstruction* ctx);

  int shard = 0;
  int num_shards = 1;
};

// Refuses a restore from nothing.
absl::Status CheckRestore(const std::vector<std::string>& basenames);

}  // namespace monolith

#endif  // CC_KERNELS_TABLE_FILE_OP_H_
