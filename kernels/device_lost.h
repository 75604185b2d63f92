// The error after which this process cannot use the device any more.
#pragma once

#include "base/error.h"

namespace dropforge::kernels {

/// The device, or this process's context on it, has failed: queued work is lost, later calls fail, and only a new
/// process can continue. Memory may still be released.
class DeviceLost : public Error {
  public:
    using Error::Error;
};

}  // namespace dropforge::kernels
