// SPDX-License-Identifier: Apache-2.0
#include "cc/kernels/table_resources.h"

#include "absl/strings/str_cat.h"
#include "cc/monitoring/table_summary.h"

namespace monolith {
namespace {

using ::tensorflow::OpKernelContext;
using ::tensorflow::ResourceHandle;
using ::tensorflow::core::RefCountPtr;

template <typename Resource>
absl::Status Find(OpKernelContext* ctx, const ResourceHandle& handle, const char* kind, const char* remedy,
                  RefCountPtr<Resource>* resource) {
  const absl::Status found = ::tensorflow::LookupResource(ctx, handle, resource);
  if (!absl::IsNotFound(found)) return found;
  return absl::NotFoundError(absl::StrCat(kind, " '", handle.name(), "' has not been created; ", remedy));
}

}  // namespace

std::string TableResource::DebugString() const { return TableSummary(*table_); }

std::string MultiTableResource::DebugString() const {
  std::string text = "{\"tables\": [";
  for (int i = 0; i < tables_.num_tables(); ++i) {
    absl::StrAppend(&text, i == 0 ? "" : ", ", TableSummary(tables_.table(i)));
  }
  return text + "]}";
}

absl::Status FindTable(OpKernelContext* ctx, const ResourceHandle& handle, RefCountPtr<TableResource>* resource) {
  return Find(ctx, handle, "hash table", "run the op that makes its handle.", resource);
}

absl::Status FindTable(OpKernelContext* ctx, const ResourceHandle& handle, RefCountPtr<MultiTableResource>* resource) {
  return Find(ctx, handle, "multi hash table", "run its initializer first.", resource);
}

}  // namespace monolith
