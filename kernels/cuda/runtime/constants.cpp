#include "kernels/cuda/runtime/constants.h"

#include <algorithm>
#include <utility>

namespace dropforge::kernels::on_cuda {

Constants::~Constants() {
    for (const Copy& copy : copies_) context_.release(copy.device, std::ssize(copy.host));
}

const void* Constants::find_bytes(std::span<const std::byte> bytes) {
    if (bytes.empty()) return nullptr;
    for (const Copy& copy : copies_)
        if (std::ranges::equal(copy.host, bytes)) return copy.device;
    Copy copy{{bytes.begin(), bytes.end()}, nullptr};
    copies_.reserve(copies_.size() + 1);  // so that nothing throws once device memory is allocated
    copy.device = context_.allocate(std::ssize(bytes));
    copies_.push_back(std::move(copy));
    context_.upload(copies_.back().device, copies_.back().host.data(), std::ssize(bytes));
    return copies_.back().device;
}

}  // namespace dropforge::kernels::on_cuda
