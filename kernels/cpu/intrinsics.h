// The compilers' x86 intrinsics. GCC 12 warns of an uninitialised value in its own _mm512_undefined_ps() (GCC bug
// 105593).
#pragma once

#if defined(__x86_64__)
#pragma GCC diagnostic push
#ifndef __clang__
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>
#pragma GCC diagnostic pop
#endif
