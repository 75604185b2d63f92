// Where this program lies, and the files that came with it.
#pragma once

#include "base/file.h"

namespace dropforge {

/// The folder of this program's file, links resolved; empty if the system does not say.
fs::path program_folder();

/// ../share/dropforge of it. The build folder has the same as an installation, so that programs need none.
fs::path shared_folder();

}  // namespace dropforge
