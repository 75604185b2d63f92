// The source that a program was built from.
#pragma once

namespace dropforge {

/// The git commit, with "-dirty" if files were changed since; "unknown" outside git. Defined by cmake/revision.cmake.
extern const char* const kRevision;

}  // namespace dropforge
