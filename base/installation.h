// The folders of this program and of the files that are installed with it.
#pragma once

#include "base/file.h"

namespace dropforge {

/// The folder of this program's file, links resolved; empty if the system does not say.
fs::path program_folder();

/// ../share/dropforge, seen from program_folder(). The build folder has the layout of an installation, so that programs
/// run without one.
fs::path shared_folder();

}  // namespace dropforge
