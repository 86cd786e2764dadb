// SPDX-License-Identifier: Apache-2.0
// Measurements of this process: the log says now and then how many there were lately, their mean and the largest.
#ifndef CC_KERNELS_EMIT_TIMER_H_
#define CC_KERNELS_EMIT_TIMER_H_

#include <string>

#include "tensorflow/core/platform/env.h"

namespace monolith {

// What measurements of `key` are reported as; tags are "k=v|k2=v2", and other tags are counted apart.
std::string TimerName(const std::string& key, const std::string& tags);

// Adds a measurement. Any thread may call.
void EmitTimer(::tensorflow::Env* env, const std::string& name, double value);

}  // namespace monolith

#endif  // CC_KERNELS_EMIT_TIMER_H_
