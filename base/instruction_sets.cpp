// Compiled with the flags of all other files, whose macros tell what the compiler may use. Only data: see
// startup/check_cpu.cpp.
#include "base/instruction_sets.h"

namespace dropforge {

namespace {

enum Word : unsigned { kEax, kEbx, kEcx, kEdx };
enum State : unsigned { kAvxState = 0x6, kAvx512State = 0xe6, kTileState = 0x60000 };
enum Leaf : unsigned { kExtended = 0x80000001 };

}  // namespace

// Intel SDM volume 2A, CPUID; AMD APM volume 3, appendix E. In ascending order, so that the first one missing is the
// most telling.
constinit const InstructionSet kCompiledFor[] = {
#ifdef __SSE3__
    {"sse3", 1, 0, kEcx, 0, 0},
#endif
#ifdef __SSSE3__
    {"ssse3", 1, 0, kEcx, 9, 0},
#endif
#ifdef __SSE4_1__
    {"sse4.1", 1, 0, kEcx, 19, 0},
#endif
#ifdef __SSE4_2__
    {"sse4.2", 1, 0, kEcx, 20, 0},
#endif
#ifdef __POPCNT__
    {"popcnt", 1, 0, kEcx, 23, 0},
#endif
#ifdef __MOVBE__
    {"movbe", 1, 0, kEcx, 22, 0},
#endif
#ifdef __LZCNT__
    {"lzcnt", kExtended, 0, kEcx, 5, 0},
#endif
#ifdef __AVX__
    {"avx", 1, 0, kEcx, 28, kAvxState},
#endif
#ifdef __F16C__
    {"f16c", 1, 0, kEcx, 29, kAvxState},
#endif
#ifdef __FMA__
    {"fma", 1, 0, kEcx, 12, kAvxState},
#endif
#ifdef __AVX2__
    {"avx2", 7, 0, kEbx, 5, kAvxState},
#endif
#ifdef __BMI__
    {"bmi", 7, 0, kEbx, 3, 0},
#endif
#ifdef __BMI2__
    {"bmi2", 7, 0, kEbx, 8, 0},
#endif
#ifdef __GFNI__
    {"gfni", 7, 0, kEcx, 8, 0},
#endif
#ifdef __AVXVNNI__
    {"avxvnni", 7, 1, kEax, 4, kAvxState},
#endif
#ifdef __AVX512F__
    {"avx512f", 7, 0, kEbx, 16, kAvx512State},
#endif
#ifdef __AVX512CD__
    {"avx512cd", 7, 0, kEbx, 28, kAvx512State},
#endif
#ifdef __AVX512DQ__
    {"avx512dq", 7, 0, kEbx, 17, kAvx512State},
#endif
#ifdef __AVX512BW__
    {"avx512bw", 7, 0, kEbx, 30, kAvx512State},
#endif
#ifdef __AVX512VL__
    {"avx512vl", 7, 0, kEbx, 31, kAvx512State},
#endif
#ifdef __AVX512IFMA__
    {"avx512ifma", 7, 0, kEbx, 21, kAvx512State},
#endif
#ifdef __AVX512VBMI__
    {"avx512vbmi", 7, 0, kEcx, 1, kAvx512State},
#endif
#ifdef __AVX512VBMI2__
    {"avx512vbmi2", 7, 0, kEcx, 6, kAvx512State},
#endif
#ifdef __AVX512VNNI__
    {"avx512vnni", 7, 0, kEcx, 11, kAvx512State},
#endif
#ifdef __AVX512BITALG__
    {"avx512bitalg", 7, 0, kEcx, 12, kAvx512State},
#endif
#ifdef __AVX512VPOPCNTDQ__
    {"avx512vpopcntdq", 7, 0, kEcx, 14, kAvx512State},
#endif
#ifdef __AVX512BF16__
    {"avx512bf16", 7, 1, kEax, 5, kAvx512State},
#endif
#ifdef __AVX512FP16__
    {"avx512fp16", 7, 0, kEdx, 23, kAvx512State},
#endif
#ifdef __AMX_BF16__
    {"amx-bf16", 7, 0, kEdx, 22, kTileState},
#endif
    {nullptr, 0, 0, kEax, 0, 0}};

}  // namespace dropforge
