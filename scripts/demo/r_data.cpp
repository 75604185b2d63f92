#include "scripts/demo/r_data.h"

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <string_view>

#include "base/error.h"

namespace dropforge::demo {

namespace {

struct Value {
    std::string text;                // of a string or a symbol
    std::vector<int32_t> integers;   // of a vector of integers or truth values
    std::vector<Value> values;       // of a list or a vector of strings
    std::vector<std::string> names;  // of the values, or of the integers

    /// The value of that name; an empty one if there is none.
    Value named(std::string_view name) const {
        for (size_t i = 0; i < std::min(names.size(), values.size()); ++i)
            if (names[i] == name) return values[i];
        return {};
    }
};

int32_t big_endian(std::string_view bytes) {
    uint32_t value = 0;
    for (const char byte : bytes.substr(0, 4)) value = value << 8 | static_cast<unsigned char>(byte);
    return std::bit_cast<int32_t>(value);
}

/// Reads one value of the serialisation's binary format, big-endian.
class Reader {
  public:
    explicit Reader(std::string_view bytes) : bytes_(bytes) {}

    Value read() {
        require(take(2) == "X\n", "not in R's binary format");
        const int32_t version = take_int();
        require(version == 2 || version == 3, "version {} of R's format, expected 2 or 3", version);
        take(8);                                // the versions of R that wrote it and can read it
        if (version == 3) take(take_length());  // the native encoding's name
        return read_value();
    }

  private:
    // What a value's first number says of it.
    enum Type : int32_t {
        kSymbol = 1,
        kPairs = 2,
        kString = 9,
        kTruths = 10,
        kIntegers = 13,
        kStrings = 16,
        kList = 19,
        kNull = 254,
        kReference = 255
    };
    static constexpr int32_t kTypeBits = 0xff, kHasAttributes = 0x200, kHasTag = 0x400;

    std::string_view take(size_t size) {
        require(size <= bytes_.size() - at_, "cut off at byte {}", bytes_.size());
        at_ += size;
        return bytes_.substr(at_ - size, size);
    }
    int32_t take_int() { return big_endian(take(4)); }
    size_t take_length() { return checked(take_int()); }
    size_t checked(int32_t length) const {
        require(length >= 0, "a length of {} at byte {}", length, at_);
        return static_cast<size_t>(length);
    }

    Value read_value() { return read_value(take_int()); }
    Value read_value(int32_t flags) {
        switch (flags & kTypeBits) {
            case kNull:
                return {};
            case kReference:
                return {.text = symbol(flags >> 8)};
            case kSymbol:
                symbols_.push_back(read_value().text);
                return {.text = symbols_.back()};
            case kString:
                return read_string();
            case kPairs:
                return read_pairs(flags);
            case kTruths:
            case kIntegers:
            case kStrings:
            case kList:
                return read_vector(flags);
            default:
                throw Error("a value of type {} at byte {}, which this reader does not know", flags & kTypeBits, at_);
        }
    }
    const std::string& symbol(int32_t number) const {
        require(number >= 1 && static_cast<size_t>(number) <= symbols_.size(), "there is no symbol {} at byte {}",
                number, at_);
        return symbols_[static_cast<size_t>(number - 1)];
    }
    Value read_string() {
        constexpr int32_t kMissing = -1;
        const int32_t length = take_int();
        return {.text = length == kMissing ? "" : std::string(take(checked(length)))};
    }
    Value read_vector(int32_t flags) {
        Value vector;
        const int32_t type = flags & kTypeBits;
        for (size_t left = take_length(); left > 0; --left) {
            if (type == kTruths || type == kIntegers)
                vector.integers.push_back(take_int());
            else
                vector.values.push_back(read_value());
        }
        if ((flags & kHasAttributes) != 0)
            for (const Value& name : read_value().named("names").values) vector.names.push_back(name.text);
        return vector;
    }
    /// A list of pairs, which ends with a null.
    Value read_pairs(int32_t flags) {
        Value pairs;
        while ((flags & kTypeBits) == kPairs) {
            pairs.names.push_back((flags & kHasTag) != 0 ? read_value().text : "");
            pairs.values.push_back(read_value());
            flags = take_int();
        }
        require((flags & kTypeBits) == kNull, "a broken list at byte {}", at_);
        return pairs;
    }

    std::string_view bytes_;
    size_t at_ = 0;
    std::vector<std::string> symbols_;
};

/// The content of a zlib stream or a gzip file.
std::string inflated(std::string_view compressed) {
    constexpr int kAnyHeader = 32;
    z_stream stream{};
    require(inflateInit2(&stream, MAX_WBITS + kAnyHeader) == Z_OK, "out of memory");
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(compressed.data()));
    stream.avail_in = static_cast<uInt>(compressed.size());
    std::string content;
    int status = Z_OK;
    for (char part[1 << 15]; status == Z_OK; content.append(part, sizeof part - stream.avail_out)) {
        stream.next_out = reinterpret_cast<Bytef*>(part);
        stream.avail_out = sizeof part;
        status = inflate(&stream, Z_NO_FLUSH);
    }
    inflateEnd(&stream);
    require(status == Z_STREAM_END, "compressed data that is damaged or cut off");
    return content;
}

/// The value that the index says to be at (offset, size): four bytes of length, and the compressed serialisation.
Value read_stored(std::string_view store, const std::vector<int32_t>& place) {
    require(place.size() == 2 && place[0] >= 0 && place[1] >= 4 &&
                int64_t{place[0]} + place[1] <= static_cast<int64_t>(store.size()),
            "the index names {}, of {} bytes", fmt::join(place, " + "), store.size());
    const std::string_view chunk = store.substr(static_cast<size_t>(place[0]), static_cast<size_t>(place[1]));
    const std::string content = inflated(chunk.substr(4));
    const int32_t size = big_endian(chunk);
    require(static_cast<int64_t>(content.size()) == size, "{} bytes where {} were expected", content.size(), size);
    return Reader(content).read();
}

/// What `read` returns; its errors get the file's name.
template <typename Read>
auto in_file(const fs::path& file, const Read& read) {
    try {
        return read();
    } catch (const Error& error) {
        throw Error("{}: {}", file.string(), error.what());
    }
}

}  // namespace

std::vector<RStrings> read_r_package(const fs::path& folder) {
    const fs::path index_file = folder / "Rdata.rdx", store_file = folder / "Rdata.rdb";
    const MappedFile index(index_file), store(store_file);
    const Value variables =
        in_file(index_file, [&] { return Reader(inflated(index.text())).read().named("variables"); });
    std::vector<RStrings> found;
    for (size_t i = 0; i < std::min(variables.names.size(), variables.values.size()); ++i) {
        const Value value =
            in_file(store_file, [&] { return read_stored(store.text(), variables.values[i].integers); });
        found.push_back({variables.names[i], {}});
        for (const Value& line : value.values) found.back().values.push_back(line.text);
    }
    return found;
}

}  // namespace dropforge::demo
