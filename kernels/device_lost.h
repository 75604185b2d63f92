// The one error after which a device is of no more use to this process.
#pragma once

#include "base/error.h"

namespace dropforge::kernels {

/// The device has failed, or this process's part in it: what was queued is lost, every further call fails, and only a
/// new process can go on. Memory may still be released.
class DeviceLost : public Error {
  public:
    using Error::Error;
};

}  // namespace dropforge::kernels
