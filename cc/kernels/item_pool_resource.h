// SPDX-License-Identifier: Apache-2.0
#ifndef CC_KERNELS_ITEM_POOL_RESOURCE_H_
#define CC_KERNELS_ITEM_POOL_RESOURCE_H_

#include <memory>
#include <string>
#include <utility>

#include "cc/data/item_pool.h"
#include "tensorflow/core/framework/resource_mgr.h"

namespace monolith {

class ItemPoolResource : public ::tensorflow::ResourceBase {
 public:
  ItemPoolResource(int64_t start_num, int64_t most_items)
      : start_num(start_num), most_items(most_items), pool(std::make_shared<data::ItemPool>(start_num, most_items)) {}
  std::string DebugString() const override { return "Monolith item pool"; }

  const int64_t start_num, most_items;
  const std::shared_ptr<data::ItemPool> pool;  // datasets hold it too
};

}  // namespace monolith

#endif  // CC_KERNELS_ITEM_POOL_RESOURCE_H_
