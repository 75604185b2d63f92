// Where the tests find what they need. Defined in an object of its own, so that the tests' own objects are the same in
// every clone.
#pragma once

namespace dropforge {

extern const char* const kTestData;  // tests/golden
extern const char* const kPrograms;  // the folder of dropforge, bench and the tests

}  // namespace dropforge
