// DROPFORGE_ASAN: defined if the address sanitizer is on.
#pragma once

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define DROPFORGE_ASAN 1
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define DROPFORGE_ASAN 1
#endif
#if DROPFORGE_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
