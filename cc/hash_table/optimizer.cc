// SPDX-License-Identifier: Apache-2.0
#include "cc/hash_table/optimizer.h"

#include <map>
#include <utility>

namespace monolith {
namespace {

std::map<std::string, OptimizerFactory>& Registry() {
  static auto* registry = new std::map<std::string, OptimizerFactory>();
  return *registry;
}

std::string KnownNames() {
  std::string names;
  for (const auto& item : Registry()) names += (names.empty() ? "" : ", ") + item.first;
  return names;
}

}  // namespace

bool RegisterOptimizer(const std::string& name, OptimizerFactory factory) {
  return Registry().emplace(name, std::move(factory)).second;
}

std::unique_ptr<Optimizer> NewOptimizer(const OptimizerConfig& config, int dim) {
  if (config.name.empty()) throw TableError("the optimizer is unset; set one of " + KnownNames() + ".");
  const auto it = Registry().find(config.name);
  if (it == Registry().end()) {
    throw TableError("the optimizer '" + config.name + "' is not supported yet; use one of " + KnownNames() + ".");
  }
  return it->second(config, dim);
}

}  // namespace monolith
