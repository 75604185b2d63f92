// TensorBoard event files. Formats:
// - a TFRecord frame (tensorflow.org/tutorials/load_data/tfrecord): u64 length, u32 masked CRC of the length's 8 bytes,
//   the bytes, u32 masked CRC of the bytes; little-endian; masked(c) = rotate_right(c, 15) + 0xa282ead8, CRC-32C;
// - each frame is one protobuf message Event (tensorboard/compat/proto/event.proto, summary.proto):
//     Event      { 1: double wall_time  2: int64 step  3: string file_version  5: Summary summary  7: SessionLog log }
//     Summary    { 1: repeated Value value }
//     Value      { 1: string tag  2: float simple_value }
//     SessionLog { 1: enum status (START = 1) }
// - protobuf's wire format: varint key = field number · 8 + wire type (0 varint, 1 eight bytes, 2 length and bytes,
//   5 four bytes).
#include <unistd.h>

#include <array>
#include <bit>
#include <cerrno>
#include <chrono>
#include <cstring>

#include "base/error.h"
#include "base/rollback.h"
#include "model/run/metrics.h"

namespace dropforge {

static_assert(std::endian::native == std::endian::little, "frames are written as they lie in memory");

namespace {

constexpr std::array<uint32_t, 256> make_crc_table() {
    std::array<uint32_t, 256> table{};
    for (uint32_t byte = 0; byte < 256; ++byte) {
        uint32_t remainder = byte;
        for (int bit = 0; bit < 8; ++bit) remainder = remainder >> 1 ^ ((remainder & 1) != 0 ? 0x82F63B78 : 0);
        table[byte] = remainder;
    }
    return table;
}

uint32_t masked_crc(std::string_view bytes) { return std::rotr(crc32c(bytes), 15) + 0xa282ead8; }

template <typename T>
std::string raw(T value) {
    return {reinterpret_cast<const char*>(&value), sizeof value};
}

std::string varint(uint64_t value) {
    std::string bytes;
    for (; value >= 0x80; value >>= 7) bytes += static_cast<char>(value | 0x80);
    return bytes + static_cast<char>(value);
}

enum WireType : uint64_t { kVarint = 0, kEightBytes = 1, kBytes = 2, kFourBytes = 5 };

std::string key(uint64_t field, WireType type) { return varint(field << 3 | type); }

std::string message(uint64_t field, const std::string& bytes) {
    return key(field, kBytes) + varint(bytes.size()) + bytes;
}

std::string event(double wall_time, int64_t step, const std::string& content) {
    return key(1, kEightBytes) + raw(wall_time) + key(2, kVarint) + varint(static_cast<uint64_t>(step)) + content;
}

}  // namespace

uint32_t crc32c(std::string_view bytes) {
    static constexpr std::array<uint32_t, 256> table = make_crc_table();
    uint32_t remainder = 0xFFFFFFFF;
    for (const char byte : bytes) remainder = remainder >> 8 ^ table[(remainder ^ static_cast<uint8_t>(byte)) & 0xFF];
    return ~remainder;
}

EventFile::EventFile(const fs::path& folder, int64_t resumed_from) {
    const double now = std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
    std::array<char, 256> host{"localhost"};
    gethostname(host.data(), host.size() - 1);
    path_ = folder / fmt::format("events.out.tfevents.{:010}.{}.{}", static_cast<int64_t>(now), host.data(), getpid());
    file_.reset(std::fopen(path_.c_str(), "abe"));
    require(file_ != nullptr, "{}: cannot write: {}", path_.string(), std::strerror(errno));
    Rollback file;
    file.add([this] { fs::remove(path_); });
    append(event(now, 0, message(3, "brain.Event:2")));
    if (resumed_from > 0) append(event(now, resumed_from + 1, message(7, key(1, kVarint) + varint(1))));
    file.commit();
}

void EventFile::scalars(int64_t step, double seconds_since_1970, const std::vector<Scalar>& values) {
    std::string summary;
    for (const auto& [tag, value] : values)
        summary += message(1, message(1, tag) + key(2, kFourBytes) + raw(static_cast<float>(value)));
    append(event(seconds_since_1970, step, message(5, summary)));
}

void EventFile::append(const std::string& event) {
    const std::string length = raw(uint64_t{event.size()});
    const std::string frame = length + raw(masked_crc(length)) + event + raw(masked_crc(event));
    const bool written =
        std::fwrite(frame.data(), 1, frame.size(), file_.get()) == frame.size() && std::fflush(file_.get()) == 0;
    require(written, "{}: cannot write: {}", path_.string(), std::strerror(errno));
}

}  // namespace dropforge
