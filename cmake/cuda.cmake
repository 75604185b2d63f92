# What there is of the CUDA Toolkit: the machine's, or the wheels that `./dev setup cuda` put into .cuda/. Its headers alone are enough to run the
# kernels of kernels/cuda on fibers (kernels/cuda/emulator); with nvcc there is the library kernels_cuda, the CUDA backend. Sets CUDA_HEADERS (a folder, or
# empty), CUDA_TOOLKIT (likewise), NVCC, CUOBJDUMP and NVDISASM (programs, or empty).
set(CUDA_HEADERS "")
set(CUDA_TOOLKIT "")
set(NVCC "")
set(CUOBJDUMP "")
set(NVDISASM "")

# Older ones lack what the kernels use; their folder is passed over.
function(nvcc_is_recent result program)
    execute_process(COMMAND ${program} --version OUTPUT_VARIABLE text ERROR_QUIET)
    if(NOT text MATCHES "release ([0-9.]+)," OR CMAKE_MATCH_1 VERSION_LESS 12.6)
        set(${result} FALSE PARENT_SCOPE)
    endif()
endfunction()

# Looks again where what was found in an earlier run is gone.
foreach(found NVCC_PROGRAM CUDA_HEADERS_FOLDER CUOBJDUMP_PROGRAM NVDISASM_PROGRAM)
    if(DEFINED CACHE{${found}} AND NOT EXISTS "$CACHE{${found}}")
        unset(${found} CACHE)
    endif()
endforeach()

if(NOT DROPFORGE_CUDA STREQUAL OFF)
    set(cuda_places HINTS ENV CUDA_PATH ENV CUDA_HOME PATHS /usr/local/cuda ${PROJECT_SOURCE_DIR}/.cuda/nvidia/cu13)
    find_program(NVCC_PROGRAM nvcc ${cuda_places} PATH_SUFFIXES bin VALIDATOR nvcc_is_recent)
    if(NVCC_PROGRAM)
        set(NVCC ${NVCC_PROGRAM})
        file(REAL_PATH ${NVCC} nvcc_file)
        cmake_path(GET nvcc_file PARENT_PATH nvcc_folder)
        list(PREPEND cuda_places HINTS ${nvcc_folder}/..)  # headers of the same toolkit
    elseif(DROPFORGE_CUDA STREQUAL ON)
        message(FATAL_ERROR "DROPFORGE_CUDA=ON, but nvcc (12.6 or later) is neither on the PATH nor in CUDA_PATH, CUDA_HOME, /usr/local/cuda "
                            "or .cuda: `./dev setup cuda` installs it")
    endif()
    find_path(CUDA_HEADERS_FOLDER cuda_bf16.h ${cuda_places} PATH_SUFFIXES include targets/x86_64-linux/include)
    find_program(CUOBJDUMP_PROGRAM cuobjdump ${cuda_places} PATH_SUFFIXES bin)
    find_program(NVDISASM_PROGRAM nvdisasm ${cuda_places} PATH_SUFFIXES bin)
    mark_as_advanced(NVCC_PROGRAM CUDA_HEADERS_FOLDER CUOBJDUMP_PROGRAM NVDISASM_PROGRAM)
    if(CUDA_HEADERS_FOLDER)
        set(CUDA_HEADERS ${CUDA_HEADERS_FOLDER})
        cmake_path(GET CUDA_HEADERS PARENT_PATH CUDA_TOOLKIT)
    elseif(DROPFORGE_CUDA STREQUAL ON)
        message(FATAL_ERROR "DROPFORGE_CUDA=ON, but there is no cuda_bf16.h with nvcc, nor in CUDA_PATH, CUDA_HOME, /usr/local/cuda or .cuda")
    endif()
    if(CUOBJDUMP_PROGRAM AND NVDISASM_PROGRAM)
        set(CUOBJDUMP ${CUOBJDUMP_PROGRAM})
        set(NVDISASM ${NVDISASM_PROGRAM})
    endif()
endif()

# Compiled by the host's compiler in both forms of the backend, this and the emulated one of tests/.
file(GLOB cuda_host_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/kernels/cuda/*.cpp ${PROJECT_SOURCE_DIR}/kernels/cuda/*/*.cpp)
list(FILTER cuda_host_sources EXCLUDE REGEX "/emulator/|/cudnn_graphs[.]cpp$")  # the latter below
set(searched_toolkit ${CUDA_TOOLKIT})
if(DROPFORGE_PORTABLE)
    set(searched_toolkit "")
endif()
set_source_files_properties(${PROJECT_SOURCE_DIR}/kernels/cuda/libraries/library.cpp
                            PROPERTIES COMPILE_DEFINITIONS "DROPFORGE_CUDA_TOOLKIT=\"${searched_toolkit}\"")

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

    # The kernels are separate from the host code: they need none of its libraries' headers, not all of which nvcc can read. Multiplications and additions are not
    # joined, as in the emulated form: docs/gpu-without-a-gpu.md, "Numbers".
    file(GLOB cuda_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/kernels/cuda/*/*.cu)
    add_library(kernels_cuda_device OBJECT ${cuda_sources})
    target_include_directories(kernels_cuda_device PRIVATE ${PROJECT_SOURCE_DIR})
    target_compile_options(kernels_cuda_device PRIVATE -O3 --expt-relaxed-constexpr -fmad=false -lineinfo -Xcompiler=-Wall,-Wextra)

    add_library(kernels_cuda STATIC ${cuda_host_sources})
    target_include_directories(kernels_cuda SYSTEM PRIVATE ${CUDA_HEADERS})
    target_link_libraries(kernels_cuda PRIVATE kernels_cuda_device PUBLIC kernels ${CMAKE_DL_LIBS})

    # Attention by cuDNN, where its headers and those of cudnn-frontend are. The latter take a minute to compile: they are read by one file alone.
    find_path(CUDNN_FRONTEND_HEADERS cudnn_frontend.h HINTS ${CUDA_HEADERS} ${PROJECT_SOURCE_DIR}/.cuda/include)
    find_path(CUDNN_HEADERS cudnn.h HINTS ${CUDA_HEADERS} ${PROJECT_SOURCE_DIR}/.cuda/nvidia/cu13/include)
    mark_as_advanced(CUDNN_FRONTEND_HEADERS CUDNN_HEADERS)
    if(CUDNN_FRONTEND_HEADERS AND CUDNN_HEADERS)
        add_library(cudnn_graphs STATIC ${PROJECT_SOURCE_DIR}/kernels/cuda/cudnn/cudnn_graphs.cpp)
        target_include_directories(cudnn_graphs SYSTEM PRIVATE ${CUDA_HEADERS} ${CUDNN_HEADERS} ${CUDNN_FRONTEND_HEADERS})
        target_compile_options(cudnn_graphs PRIVATE -O1)  # none of it is in a loop
        target_link_libraries(cudnn_graphs PUBLIC base ${CMAKE_DL_LIBS})
        target_link_libraries(kernels_cuda PRIVATE cudnn_graphs)
        target_compile_definitions(kernels_cuda PRIVATE DROPFORGE_CUDNN=1)
    else()
        message(STATUS "no cudnn_frontend.h (./dev setup cuda brings it): attention by our own kernels only")
    endif()
endif()
