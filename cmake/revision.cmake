# Writes OUTPUT, a C++ file that defines the git revision of SOURCE_DIR, if it would change. Runs at every build.
execute_process(COMMAND git -C ${SOURCE_DIR} describe --always --dirty --abbrev=12 --exclude=*
                OUTPUT_VARIABLE revision OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE failed)
if(failed)
    set(revision unknown)
endif()
file(CONFIGURE OUTPUT ${OUTPUT} @ONLY CONTENT [[
#include "base/revision.h"
namespace dropforge {
const char* const kRevision = "@revision@";
}
]])
