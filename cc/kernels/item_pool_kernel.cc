// SPDX-License-Identifier: Apache-2.0
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cc/kernels/item_pool_files.h"
#include "cc/kernels/item_pool_resource.h"
#include "cc/kernels/record_op.h"
#include "cc/kernels/resource_use_op.h"
#include "cc/kernels/scalar_input.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/resource_op_kernel.h"
#include "tensorflow/core/platform/logging.h"

namespace monolith {
namespace {

using ::tensorflow::DEVICE_CPU;
using ::tensorflow::OpKernelConstruction;
using ::tensorflow::OpKernelContext;

constexpr int64_t kMostShards = 1024;

class ItemPoolCreateOp : public ::tensorflow::ResourceOpKernel<ItemPoolResource> {
 public:
  explicit ItemPoolCreateOp(OpKernelConstruction* ctx)
      : ResourceOpKernel(ctx),
        start_num_(Attr<int64_t>(ctx, "start_num")),
        most_items_(Attr<int64_t>(ctx, "max_item_num_per_channel")) {}

 private:
  absl::Status CreateResource(ItemPoolResource** resource) override {
    return NamingOp(type_string(), ToStatus([&] { *resource = new ItemPoolResource(start_num_, most_items_); }));
  }

  const int64_t start_num_, most_items_;
};

// Ops on a pool, whose handle they hand on.
class ItemPoolUseOp : public ResourceUseOp<ItemPoolResource> {
 public:
  using ResourceUseOp::ResourceUseOp;

 protected:
  virtual absl::Status UsePool(OpKernelContext* ctx, const ItemPoolResource& resource) = 0;

 private:
  absl::Status Use(OpKernelContext* ctx, ItemPoolResource* resource) final {
    ctx->set_output(0, ctx->input(0));
    return UsePool(ctx, *resource);
  }
};

// The part that files share: where they are, and whose.
class ItemPoolFileOp : public ItemPoolUseOp {
 public:
  explicit ItemPoolFileOp(OpKernelConstruction* ctx)
      : ItemPoolUseOp(ctx),
        directory_(Attr<std::string>(ctx, "model_path")),
        worker_{Attr<int64_t>(ctx, "worker"), Attr<int64_t>(ctx, "workers")} {
    OP_REQUIRES(ctx, !directory_.empty(),
                absl::InvalidArgumentError(absl::StrCat(type_string(), ": model_path is empty; name the directory.")));
    OP_REQUIRES(ctx, worker_.count >= 1 && worker_.index >= 0 && worker_.index < worker_.count,
                absl::InvalidArgumentError(absl::StrCat(type_string(), ": worker is ", worker_.index, " of ",
                                                        worker_.count, "; it must be in [0, workers).")));
  }

 protected:
  const std::string directory_;
  const PoolWorker worker_;
};

class ItemPoolSaveOp : public ItemPoolFileOp {
 public:
  explicit ItemPoolSaveOp(OpKernelConstruction* ctx) : ItemPoolFileOp(ctx), num_shards_(Attr<int64_t>(ctx, "nshards")) {
    OP_REQUIRES(ctx, num_shards_ >= 1 && num_shards_ <= kMostShards,
                absl::InvalidArgumentError(absl::StrCat(type_string(), ": nshards is ", num_shards_,
                                                        "; it must be in [1, ", kMostShards, "].")));
  }

 private:
  absl::Status UsePool(OpKernelContext* ctx, const ItemPoolResource& resource) override {
    int64_t step;
    TF_RETURN_IF_ERROR(ReadScalar(ctx, "global_step", &step));
    return SaveItemPool(ctx->env(), *resource.pool, directory_, step, num_shards_, worker_);
  }

  const int64_t num_shards_;
};

class ItemPoolRestoreOp : public ItemPoolFileOp {
 public:
  explicit ItemPoolRestoreOp(OpKernelConstruction* ctx)
      : ItemPoolFileOp(ctx), buffer_size_(Attr<int64_t>(ctx, "buffer_size")) {
    OP_REQUIRES(ctx, buffer_size_ >= 1,
                absl::InvalidArgumentError(
                    absl::StrCat(type_string(), ": buffer_size is ", buffer_size_, "; it must be at least 1 byte.")));
  }

 private:
  absl::Status UsePool(OpKernelContext* ctx, const ItemPoolResource& resource) override {
    int64_t step;
    TF_RETURN_IF_ERROR(ReadScalar(ctx, "global_step", &step));
    bool found = false;
    TF_RETURN_IF_ERROR(
        RestoreItemPool(ctx->env(), resource.pool.get(), directory_, step, worker_, buffer_size_, &found));
    if (!found) LOG(WARNING) << "no item pool in " << directory_ << " up to step " << step << "; it begins empty.";
    return absl::OkStatus();
  }

  const int64_t buffer_size_;
};

// Items for tests: in channels 1 to 4, up to twice as many as fit, with fids that follow from their numbers.
class ItemPoolRandomFillOp : public ItemPoolUseOp {
 public:
  using ItemPoolUseOp::ItemPoolUseOp;

 private:
  absl::Status UsePool(OpKernelContext*, const ItemPoolResource& resource) override {
    SeededUniform uniform(0, 0);
    for (int64_t channel = 1; channel <= 4; ++channel) {
      const auto n = static_cast<int64_t>(1 + uniform.Next() * 2 * static_cast<double>(resource.most_items));
      for (int64_t i = 0; i < n; ++i) {
        auto features = std::make_shared<data::ItemFeatures>();
        const auto gid = static_cast<int64_t>(uniform.Next() * 1e9);
        features->fids = {static_cast<uint64_t>(gid), static_cast<uint64_t>(channel)};
        resource.pool->Push(channel, gid, std::move(features));
      }
    }
    return absl::OkStatus();
  }
};

// Whether the saved pool is this one.
class ItemPoolCheckOp : public ItemPoolFileOp {
 public:
  explicit ItemPoolCheckOp(OpKernelConstruction* ctx)
      : ItemPoolFileOp(ctx), buffer_size_(Attr<int64_t>(ctx, "buffer_size")) {}

 private:
  absl::Status UsePool(OpKernelContext* ctx, const ItemPoolResource& resource) override {
    int64_t step;
    TF_RETURN_IF_ERROR(ReadScalar(ctx, "global_step", &step));
    data::ItemPool saved(resource.start_num, resource.most_items);
    bool found = false;
    TF_RETURN_IF_ERROR(RestoreItemPool(ctx->env(), &saved, directory_, step, worker_, buffer_size_, &found));
    if (found && saved.Equals(*resource.pool)) return absl::OkStatus();
    return absl::FailedPreconditionError(
        absl::StrCat(type_string(), ": the pool saved in ", directory_, found ? " is another one." : " is missing."));
  }

  const int64_t buffer_size_;
};

REGISTER_KERNEL_BUILDER(Name("ItemPoolCreate").Device(DEVICE_CPU), ItemPoolCreateOp);
REGISTER_KERNEL_BUILDER(Name("ItemPoolSave").Device(DEVICE_CPU), ItemPoolSaveOp);
REGISTER_KERNEL_BUILDER(Name("ItemPoolRestore").Device(DEVICE_CPU), ItemPoolRestoreOp);
REGISTER_KERNEL_BUILDER(Name("ItemPoolRandomFill").Device(DEVICE_CPU), ItemPoolRandomFillOp);
REGISTER_KERNEL_BUILDER(Name("ItemPoolCheck").Device(DEVICE_CPU), ItemPoolCheckOp);

}  // namespace
}  // namespace monolith
