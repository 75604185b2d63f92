# The CPU kernels, kernels/cpu, are compiled once for each level (kernels/cpu_level.h). The objects of a level become one, in which everything but
# its table's function is a local symbol: without that, the linker would keep a single copy of each inline function that several levels share, such
# as those of the standard library, and it could be the copy that was compiled for a CPU that this one is not. The kernels themselves know nothing
# of it. (Tried instead: a namespace for each level leaves those of shared headers; Highway, or `#pragma GCC target`, compiles them for the baseline,
# but then clang defines no macros of the target, and what is included before the pragma and what within it decides about speed.)
set(cpu_levels baseline)
set(cpu_flags_baseline "")
if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64)$")
    list(APPEND cpu_levels avx2 avx512 avx512_bf16 amx_bf16)
    set(cpu_flags_avx2 -mavx2 -mfma -mf16c -mbmi -mbmi2)
    set(cpu_flags_avx512 ${cpu_flags_avx2} -mavx512f -mavx512bw -mavx512vl -mavx512dq)
    set(cpu_flags_avx512_bf16 ${cpu_flags_avx512} -mavx512bf16)
    set(cpu_flags_amx_bf16 ${cpu_flags_avx512_bf16} -mamx-tile -mamx-bf16)
endif()

list(GET cpu_levels -1 highest)

# Only binutils' linker makes ordinary sections of groups, one of which is kept of several, without a final link; with clang++, CMake prefers LLVM's.
if(CMAKE_LINKER MATCHES "lld")
    find_program(BINUTILS_LINKER NAMES ld.bfd ld REQUIRED)
else()
    set(BINUTILS_LINKER ${CMAKE_LINKER})
endif()

file(GLOB cpu_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/kernels/cpu/*.cpp)
foreach(level ${cpu_levels})
    set(objects kernels_cpu_${level})
    add_library(${objects} OBJECT ${cpu_sources})
    # Static variables of inline functions are weak symbols then, which can be made local; unique ones cannot.
    target_compile_options(${objects} PRIVATE ${cpu_flags_${level}} $<$<CXX_COMPILER_ID:GNU>:-fno-gnu-unique>)
    if(DROPFORGE_FUZZ)  # what reads files is linked with them, but no fuzzer runs them
        target_compile_options(${objects} PRIVATE -O0 -fno-sanitize=all)
    endif()
    target_compile_definitions(${objects} PRIVATE DROPFORGE_CPU_LEVEL=${level})
    target_link_libraries(${objects} PRIVATE base OpenMP::OpenMP_CXX)
    target_include_directories(${objects} PRIVATE ${PROJECT_SOURCE_DIR})
    if(NOT level STREQUAL highest)  # clang-tidy reads each file once
        set_target_properties(${objects} PROPERTIES EXPORT_COMPILE_COMMANDS OFF)
    endif()
    set(one ${CMAKE_BINARY_DIR}/kernels_cpu_${level}.o)
    add_custom_command(OUTPUT ${one} DEPENDS ${objects} $<TARGET_OBJECTS:${objects}> COMMAND_EXPAND_LISTS VERBATIM
                       COMMAND ${BINUTILS_LINKER} -r --force-group-allocation -o ${one}.all $<TARGET_OBJECTS:${objects}>
                       COMMAND ${CMAKE_OBJCOPY} --wildcard "--keep-global-symbol=_ZN9dropforge7kernels*cpu_${level}Ev" ${one}.all ${one}
                       COMMENT "Making the CPU kernels for ${level} one object")
    set_source_files_properties(${one} PROPERTIES EXTERNAL_OBJECT TRUE GENERATED TRUE)
    target_sources(kernels PRIVATE ${one})
endforeach()
