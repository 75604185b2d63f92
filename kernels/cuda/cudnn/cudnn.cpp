#ifdef DROPFORGE_CUDNN
#include "kernels/cuda/cudnn/cudnn.h"

#include <dlfcn.h>

#include <cstdlib>

#include "base/error.h"
#include "kernels/cuda/libraries/library.h"

namespace dropforge::kernels::on_cuda {

CudnnHandle open_cudnn(const CudaContext& context) {
    // The frontend opens CUDA's runtime by name, which may find another version.
    const std::string major = std::to_string(CUDART_VERSION / 1000);
    setenv("CUDNN_FRONTEND_CUDART_LIB_NAME", Library::open({"libcudart.so." + major}).path().c_str(), 0);
    const Library library = Library::open({"libcudnn.so.9"});
    use_cudnn(dlopen(library.path().c_str(), RTLD_NOW));
    return make_cudnn(context.stream());
}

std::string cudnn_name() {
    const int64_t version = cudnn_version();
    return fmt::format("cuDNN {}.{}.{}", version / 10000, version / 100 % 100, version % 100);
}

}  // namespace dropforge::kernels::on_cuda
#endif
