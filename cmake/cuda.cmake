# What there is of the CUDA Toolkit. Its headers alone are enough to run the kernels of kernels/cuda on fibers (tests/simt); with nvcc there is
# the library kernels_cuda, the CUDA backend. Sets CUDA_HEADERS (a folder, or empty), CUDA_TOOLKIT (likewise) and NVCC (a program, or empty).
set(CUDA_HEADERS "")
set(CUDA_TOOLKIT "")
set(NVCC "")
if(NOT DROPFORGE_CUDA STREQUAL OFF)
    find_program(NVCC_PROGRAM nvcc HINTS ENV CUDA_PATH ENV CUDA_HOME PATHS /usr/local/cuda PATH_SUFFIXES bin)
    find_path(CUDA_HEADERS_FOLDER cuda_bf16.h HINTS ENV CUDA_PATH ENV CUDA_HOME PATHS /usr/local/cuda PATH_SUFFIXES include)
    mark_as_advanced(NVCC_PROGRAM CUDA_HEADERS_FOLDER)
    if(NVCC_PROGRAM)
        set(NVCC ${NVCC_PROGRAM})
    elseif(DROPFORGE_CUDA STREQUAL ON)
        message(FATAL_ERROR "DROPFORGE_CUDA=ON, but nvcc is neither on the PATH nor in CUDA_PATH, CUDA_HOME or /usr/local/cuda")
    endif()
    if(CUDA_HEADERS_FOLDER)
        set(CUDA_HEADERS ${CUDA_HEADERS_FOLDER})
        cmake_path(GET CUDA_HEADERS PARENT_PATH CUDA_TOOLKIT)
    elseif(DROPFORGE_CUDA STREQUAL ON)
        message(FATAL_ERROR "DROPFORGE_CUDA=ON, but there is no cuda_bf16.h in CUDA_PATH, CUDA_HOME or /usr/local/cuda")
    endif()
endif()

# Compiled by the host's compiler in both forms of the backend, this and the emulated one of tests/.
file(GLOB cuda_host_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/kernels/cuda/*.cpp)
set_source_files_properties(${PROJECT_SOURCE_DIR}/kernels/cuda/libraries.cpp
                            PROPERTIES COMPILE_DEFINITIONS "DROPFORGE_CUDA_TOOLKIT=\"${CUDA_TOOLKIT}\"")

# Sanitizers are for the emulated backend: nvcc knows nothing of them.
if(NVCC AND CUDA_HEADERS AND NOT DROPFORGE_SANITIZE)
    set(CMAKE_CUDA_COMPILER ${NVCC})
    set(CMAKE_CUDA_HOST_COMPILER ${CMAKE_CXX_COMPILER})
    if(CCACHE)
        set(CMAKE_CUDA_COMPILER_LAUNCHER ${CCACHE})
    endif()
    list(TRANSFORM DROPFORGE_CUDA_ARCHITECTURES APPEND -real OUTPUT_VARIABLE CMAKE_CUDA_ARCHITECTURES)
    list(GET DROPFORGE_CUDA_ARCHITECTURES -1 newest)
    list(APPEND CMAKE_CUDA_ARCHITECTURES ${newest}-virtual)
    enable_language(CUDA)
    if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)  # CMake 3.25 does not know that nvcc takes it
        set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)
        set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION -std=c++20)
    endif()
    set(CMAKE_CUDA_EXTENSIONS OFF)

    # The kernels are apart from the host's part: they need none of its libraries' headers, which nvcc cannot all read. Products and sums are not
    # joined, as in the emulated form: docs/gpu-without-a-gpu.md, "Numbers".
    file(GLOB cuda_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/kernels/cuda/*.cu)
    add_library(kernels_cuda_device OBJECT ${cuda_sources})
    target_include_directories(kernels_cuda_device PRIVATE ${PROJECT_SOURCE_DIR})
    target_compile_options(kernels_cuda_device PRIVATE -O3 --expt-relaxed-constexpr -fmad=false -lineinfo -Xcompiler=-Wall,-Wextra)

    add_library(kernels_cuda STATIC ${cuda_host_sources})
    target_include_directories(kernels_cuda SYSTEM PRIVATE ${CUDA_HEADERS})
    target_link_libraries(kernels_cuda PRIVATE kernels_cuda_device PUBLIC kernels ${CMAKE_DL_LIBS})
endif()
