# What there is of the CUDA Toolkit: the machine's, or the wheels that `./dev setup cuda` put into .cuda/. Its headers alone are enough to run the
# kernels of kernels/cuda on fibers (tests/simt); nvcc compiles them for GPUs. Sets CUDA_HEADERS (a folder, or empty) and NVCC (a program, or
# empty), CUOBJDUMP and NVDISASM (programs, or empty).
set(CUDA_HEADERS "")
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
    elseif(DROPFORGE_CUDA STREQUAL ON)
        message(FATAL_ERROR "DROPFORGE_CUDA=ON, but there is no cuda_bf16.h beside nvcc, nor in CUDA_PATH, CUDA_HOME, /usr/local/cuda or .cuda")
    endif()
    if(CUOBJDUMP_PROGRAM AND NVDISASM_PROGRAM)
        set(CUOBJDUMP ${CUOBJDUMP_PROGRAM})
        set(NVDISASM ${NVDISASM_PROGRAM})
    endif()
endif()
