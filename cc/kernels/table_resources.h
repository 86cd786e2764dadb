// SPDX-License-Identifier: Apache-2.0
// What table ops share through TensorFlow's resource manager.
#ifndef CC_KERNELS_TABLE_RESOURCES_H_
#define CC_KERNELS_TABLE_RESOURCES_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "cc/hash_table/eviction_thread.h"
#include "cc/hash_table/multi_table.h"
#include "cc/hash_table/probabilistic_filter.h"
#include "cc/hash_table/sliding_filter.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/resource_base.h"
#include "tensorflow/core/framework/resource_mgr.h"
#include "tensorflow/core/platform/refcount.h"

namespace monolith {

class FilterResource : public ::tensorflow::ResourceBase {
 public:
  // A filter that admits everything.
  FilterResource() = default;
  explicit FilterResource(std::unique_ptr<SlidingFilter> filter) : sliding_(filter.get()), filter_(std::move(filter)) {}
  explicit FilterResource(std::unique_ptr<ProbabilisticFilter> filter) : filter_(std::move(filter)) {}
  // Null if everything is admitted.
  AdmissionFilter* filter() const { return filter_.get(); }
  // Null for a filter that keeps no counts: there is nothing to save, and without a table it refuses nothing.
  SlidingFilter* sliding() const { return sliding_; }
  std::string DebugString() const override { return "Monolith occurrence filter"; }

 private:
  SlidingFilter* const sliding_ = nullptr;
  const std::unique_ptr<AdmissionFilter> filter_;
};

class SyncClientResource : public ::tensorflow::ResourceBase {
 public:
  std::string DebugString() const override { return "Monolith parameter-sync client"; }
};

class TableResource : public ::tensorflow::ResourceBase {
 public:
  TableResource(const TableConfig& config, ::tensorflow::core::RefCountPtr<FilterResource> filter)
      : table_(NewEmbeddingTable(config)), eviction_({table_.get()}), filter_(std::move(filter)) {}
  EmbeddingTable& table() { return *table_; }
  AdmissionFilter* filter() const { return filter_->filter(); }
  std::string DebugString() const override;

 private:
  const std::unique_ptr<EmbeddingTable> table_;
  const EvictionThread eviction_;  // works on table_: ends before it
  const ::tensorflow::core::RefCountPtr<FilterResource> filter_;
};

class MultiTableResource : public ::tensorflow::ResourceBase {
 public:
  MultiTableResource(const std::vector<TableConfig>& configs, ::tensorflow::core::RefCountPtr<FilterResource> filter)
      : tables_(configs), eviction_(&tables_), filter_(std::move(filter)) {}
  MultiTable& tables() { return tables_; }
  AdmissionFilter* filter() const { return filter_->filter(); }
  std::string DebugString() const override;

 private:
  MultiTable tables_;
  const EvictionThread eviction_;  // works on tables_: ends before them
  const ::tensorflow::core::RefCountPtr<FilterResource> filter_;
};

// Finds what a handle stands for; the error of one that was not created says what to run first.
absl::Status FindTable(::tensorflow::OpKernelContext* ctx, const ::tensorflow::ResourceHandle& handle,
                       ::tensorflow::core::RefCountPtr<TableResource>* resource);
absl::Status FindTable(::tensorflow::OpKernelContext* ctx, const ::tensorflow::ResourceHandle& handle,
                       ::tensorflow::core::RefCountPtr<MultiTableResource>* resource);
// The same for the handle in input 0.
template <typename Resource>
absl::Status FindTable(::tensorflow::OpKernelContext* ctx, ::tensorflow::core::RefCountPtr<Resource>* resource) {
  return FindTable(ctx, ::tensorflow::HandleFromInput(ctx, 0), resource);
}

}  // namespace monolith

#endif  // CC_KERNELS_TABLE_RESOURCES_H_
