#include "tests/support/paths.h"

namespace dropforge {

const char* const kTestData = DROPFORGE_TEST_DATA;
const char* const kPrograms = DROPFORGE_BIN;

}  // namespace dropforge
