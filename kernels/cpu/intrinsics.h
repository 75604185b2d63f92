// The compilers' intrinsics, where there are any. GCC 12 finds its own _mm512_undefined_ps() guilty (GCC bug 105593).
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
