#include "engine/safetensors.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "kernels/dtype.h"

namespace dropforge {

namespace {

static_assert(std::endian::native == std::endian::little, "safetensors data is little-endian and used as it is");

constexpr uint64_t kMaxHeader = 100'000'000;  // bytes, the format's own limit
constexpr const char* kMetadata = "__metadata__";

/// Bytes of one element; 0: no such type.
uint64_t element_bytes(const std::string& dtype) {
    static const std::map<std::string, uint64_t> bytes = {
        {"BOOL", 1}, {"U8", 1},  {"I8", 1},  {"F8_E5M2", 1}, {"F8_E4M3", 1}, {"U16", 2}, {"I16", 2}, {"F16", 2},
        {"BF16", 2}, {"U32", 4}, {"I32", 4}, {"F32", 4},     {"U64", 8},     {"I64", 8}, {"F64", 8}, {"C64", 8}};
    const auto found = bytes.find(dtype);
    return found == bytes.end() ? 0 : found->second;
}

std::string text_of(std::span<const int64_t> shape) { return fmt::format("[{}]", fmt::join(shape, ", ")); }

/// Bytes of a tensor of that type and shape. Error, beginning with `where`, for an unknown type or on overflow.
uint64_t tensor_bytes(const std::string& where, const std::string& dtype, std::span<const int64_t> shape) {
    uint64_t product = element_bytes(dtype);
    require(product > 0, "{}: unknown dtype {}", where, dtype);
    for (int64_t dimension : shape) {
        require(dimension >= 0, "{}: a dimension of {}", where, dimension);
        require(!__builtin_mul_overflow(product, static_cast<uint64_t>(dimension), &product) &&
                    product <= uint64_t{std::numeric_limits<int64_t>::max()},
                "{}: shape {} of {} overflows", where, text_of(shape), dtype);
    }
    return product;
}

/// A streaming parser of the header: {"__metadata__": {string: string …}, name: {"dtype": …, "shape": […],
/// "data_offsets": [b, e]} …}. It refuses anything else at once, duplicate keys too, which a DOM would merge.
class HeaderReader : public nlohmann::json_sax<nlohmann::json> {
  public:
    HeaderReader(const std::string& file, std::map<std::string, TensorInfo>& tensors,
                 std::map<std::string, std::string>& metadata)
        : file_(file), tensors_(tensors), metadata_(metadata) {}

    bool null() override { refuse("null"); }
    bool boolean(bool) override { refuse("a boolean"); }
    bool number_integer(number_integer_t value) override { refuse(fmt::format("the number {}", value)); }
    bool number_float(number_float_t, const string_t& text) override { refuse("the number " + text); }
    bool binary(binary_t&) override { refuse("binary data"); }

    bool number_unsigned(number_unsigned_t value) override {
        if (at_ == At::shape) {
            require(value <= uint64_t{std::numeric_limits<int64_t>::max()}, "{}: a dimension of {}", place(), value);
            info_.shape.push_back(static_cast<int64_t>(value));
        } else if (at_ == At::offsets) {
            require(offsets_.size() < 2, "{}: more than two data_offsets", place());
            offsets_.push_back(value);
        } else {
            refuse(fmt::format("the number {}", value));
        }
        return true;
    }

    bool string(string_t& value) override {
        if (at_ == At::metadata)
            metadata_[key_] = value;
        else if (at_ == At::entry && key_ == "dtype")
            info_.dtype = value;
        else
            refuse("a string");
        return true;
    }

    bool key(string_t& key) override {
        if (at_ == At::top) {
            require(!tensors_.contains(key) && !(key == kMetadata && metadata_seen_), "{}: {} is there twice", file_,
                    key);
            name_ = key;
        } else if (at_ == At::metadata) {
            require(!metadata_.contains(key), "{}: {} of {} is there twice", file_, key, kMetadata);
        } else {
            require(key == "dtype" || key == "shape" || key == "data_offsets", "{}: unknown key {}", place(), key);
            require(std::ranges::count(seen_, key) == 0, "{}: {} is there twice", place(), key);
            seen_.push_back(key);
        }
        key_ = key;
        return true;
    }

    bool start_object(size_t) override {
        if (at_ == At::outside) {
            at_ = At::top;
        } else if (at_ == At::top) {
            at_ = key_ == kMetadata ? At::metadata : At::entry;
            metadata_seen_ |= at_ == At::metadata;
            info_ = {};
            seen_.clear();
            offsets_.clear();
        } else {
            refuse("an object");
        }
        return true;
    }

    bool end_object() override {
        if (at_ == At::entry) finish_entry();
        at_ = at_ == At::top ? At::outside : At::top;
        return true;
    }

    bool start_array(size_t) override {
        if (at_ != At::entry || (key_ != "shape" && key_ != "data_offsets")) refuse("an array");
        at_ = key_ == "shape" ? At::shape : At::offsets;
        return true;
    }

    bool end_array() override {
        at_ = At::entry;
        return true;
    }

    bool parse_error(size_t position, const std::string&, const nlohmann::json::exception& error) override {
        const std::string_view message = error.what();
        const size_t reason = message.find("syntax error");  // after the library's name for it and its own place
        throw Error("{}: the header is not JSON at byte {}: {}", file_, sizeof(uint64_t) + position - 1,
                    message.substr(reason == message.npos ? 0 : reason));
    }

  private:
    enum class At : uint8_t { outside, top, metadata, entry, shape, offsets };

    std::string place() const { return at_ == At::metadata ? file_ + ": " + kMetadata : file_ + ": tensor " + name_; }
    [[noreturn]] void refuse(const std::string& what) const {
        if (at_ == At::outside || at_ == At::top) throw Error("{}: {} where an object belongs", file_, what);
        throw Error("{}: {}: {} does not belong there", place(), key_, what);
    }

    void finish_entry() {
        require(seen_.size() == 3, "{}: has {} of the keys dtype, shape, data_offsets", place(), seen_.size());
        require(offsets_.size() == 2, "{}: {} data_offsets instead of two", place(), offsets_.size());
        info_.begin = offsets_[0];
        info_.end = offsets_[1];
        require(info_.begin <= info_.end, "{}: data_offsets run backwards, from {} to {}", place(), info_.begin,
                info_.end);
        const uint64_t bytes = tensor_bytes(place(), info_.dtype, info_.shape);
        require(info_.end - info_.begin == bytes, "{}: {} of shape {} needs {} bytes, data_offsets give {}", place(),
                info_.dtype, text_of(info_.shape), bytes, info_.end - info_.begin);
        tensors_.emplace(name_, info_);
    }

    const std::string& file_;
    std::map<std::string, TensorInfo>& tensors_;
    std::map<std::string, std::string>& metadata_;
    At at_ = At::outside;
    std::string name_, key_;  // the tensor; the innermost key
    TensorInfo info_;
    std::vector<std::string> seen_;
    std::vector<uint64_t> offsets_;
    bool metadata_seen_ = false;
};

/// The tensors, in order of their place in the file, must cover the data section exactly.
void check_cover(const std::string& file, const std::map<std::string, TensorInfo>& tensors, uint64_t data_bytes) {
    std::vector<std::pair<const TensorInfo*, const std::string*>> order;
    order.reserve(tensors.size());
    for (const auto& [name, info] : tensors) order.emplace_back(&info, &name);
    std::ranges::sort(order, {}, [](const auto& entry) { return std::pair(entry.first->begin, entry.first->end); });
    uint64_t expected = 0;
    for (const auto& [info, name] : order) {
        require(info->begin == expected, "{}: tensor {} begins at byte {} of the data, expected {}: {}", file, *name,
                info->begin, expected, info->begin < expected ? "it overlaps another" : "a hole");
        expected = info->end;
    }
    require(expected == data_bytes, "{}: the header describes {} bytes of data, the file has {}", file, expected,
            data_bytes);
}

/// to[i] = convert(element i): elements may be unaligned in the file.
template <typename From, typename To, typename Convert>
void convert_all(std::span<const std::byte> from, std::span<To> to, Convert convert) {
    for (size_t i = 0; i < to.size(); ++i) {
        From value;
        std::memcpy(&value, from.data() + i * sizeof(From), sizeof(From));
        to[i] = convert(value);
    }
}

void check_request(const std::string& where, const TensorInfo& info, size_t size, std::span<const int64_t> shape) {
    require(shape.empty() || std::ranges::equal(shape, info.shape), "{}: expected shape {}, found {}", where,
            text_of(shape), text_of(info.shape));
    require(static_cast<int64_t>(size) == info.size(), "{}: expected {} elements, found {} in shape {}", where, size,
            info.size(), text_of(info.shape));
}

}  // namespace

int64_t TensorInfo::size() const {
    int64_t product = 1;
    for (int64_t dimension : shape) product *= dimension;
    return product;
}

SafetensorsFile::SafetensorsFile(const fs::path& path) : file_(path) {
    const std::string file = path.string();
    const std::string_view text = file_.text();
    require(text.size() >= sizeof(uint64_t), "{}: not a safetensors file: {} bytes", file, text.size());
    uint64_t length = 0;
    std::memcpy(&length, text.data(), sizeof length);
    require(length <= kMaxHeader, "{}: not a safetensors file: a header of {} bytes, at most {} are allowed", file,
            length, kMaxHeader);
    require(length <= text.size() - sizeof length, "{}: truncated: a header of {} bytes in a file of {}", file, length,
            text.size());
    data_ = sizeof length + length;
    const std::string_view header = text.substr(sizeof length, length);
    require(header.starts_with('{'), "{}: not a safetensors file: the header does not begin with {{", file);
    const size_t zero = header.find('\0');  // where the JSON library would end without a word
    require(zero == header.npos, "{}: the header is not JSON at byte {}: a zero byte", file, sizeof length + zero);
    HeaderReader reader(file, tensors_, metadata_);
    nlohmann::json::sax_parse(header, &reader);
    check_cover(file, tensors_, text.size() - data_);
}

const TensorInfo& SafetensorsFile::info(const std::string& name) const {
    const auto found = tensors_.find(name);
    require(found != tensors_.end(), "{}: no tensor named {}", path().string(), name);
    return found->second;
}

std::span<const std::byte> SafetensorsFile::bytes(const std::string& name) const {
    const TensorInfo& tensor = info(name);
    return file_.bytes().subspan(data_ + tensor.begin, tensor.end - tensor.begin);
}

void SafetensorsFile::read(const std::string& name, std::span<float> to, std::span<const int64_t> shape) const {
    const std::string where = path().string() + ": tensor " + name, &dtype = info(name).dtype;
    const std::span<const std::byte> from = bytes(name);
    check_request(where, info(name), to.size(), shape);
    if (dtype == "F32")
        convert_all<float>(from, to, [](float x) { return x; });
    else if (dtype == "BF16")
        convert_all<bf16>(from, to, [](bf16 x) { return static_cast<float>(x); });
    else if (dtype == "F16")
        convert_all<fp16>(from, to, [](fp16 x) { return static_cast<float>(x); });
    else if (dtype == "F64")
        convert_all<double>(from, to, [](double x) { return static_cast<float>(x); });
    else
        throw Error("{}: expected F32, F16, BF16 or F64, found {}", where, dtype);
}

void SafetensorsFile::read(const std::string& name, std::span<int32_t> to, std::span<const int64_t> shape) const {
    const std::string where = path().string() + ": tensor " + name, &dtype = info(name).dtype;
    const std::span<const std::byte> from = bytes(name);
    check_request(where, info(name), to.size(), shape);
    if (dtype == "I32")
        convert_all<int32_t>(from, to, [](int32_t x) { return x; });
    else if (dtype == "I64")
        convert_all<int64_t>(from, to, [&](int64_t x) {
            require(std::in_range<int32_t>(x), "{}: {} does not fit in 32 bits", where, x);
            return static_cast<int32_t>(x);
        });
    else
        throw Error("{}: expected I32 or I64, found {}", where, dtype);
}

void SafetensorsWriter::add(const std::string& name, std::span<const float> data, std::vector<int64_t> shape) {
    add_raw(name, "F32", std::as_bytes(data), std::move(shape));
}

void SafetensorsWriter::add(const std::string& name, std::span<const int32_t> data, std::vector<int64_t> shape) {
    add_raw(name, "I32", std::as_bytes(data), std::move(shape));
}

void SafetensorsWriter::add_raw(const std::string& name, const std::string& dtype, std::span<const std::byte> data,
                                std::vector<int64_t> shape) {
    const std::string where = "tensor " + name + " to be written";
    require(name != kMetadata, "{}: the name is reserved", where);
    require(std::ranges::count(entries_, name, &Entry::name) == 0, "{}: a second one of that name", where);
    const uint64_t bytes = tensor_bytes(where, dtype, shape);
    require(bytes == data.size(), "{}: {} of shape {} has {} bytes, not {}", where, dtype, text_of(shape), bytes,
            data.size());
    entries_.push_back({name, dtype, std::move(shape), data});
}

void SafetensorsWriter::write(const fs::path& path) const {
    std::vector<const Entry*> order;
    for (const Entry& entry : entries_) order.push_back(&entry);
    std::ranges::stable_sort(order, std::greater{}, [](const Entry* entry) { return element_bytes(entry->dtype); });

    nlohmann::ordered_json header = nlohmann::ordered_json::object();
    if (!metadata_.empty()) header[kMetadata] = metadata_;
    uint64_t offset = 0;
    for (const Entry* entry : order) {
        const uint64_t end = offset + entry->data.size();
        header.push_back(
            {entry->name, {{"dtype", entry->dtype}, {"shape", entry->shape}, {"data_offsets", {offset, end}}}});
        offset = end;
    }
    std::string text;
    try {
        text = header.dump();
    } catch (const nlohmann::json::exception& error) {
        throw Error("{}: a name or metadata is not UTF-8: {}", path.string(), error.what());
    }
    text.append((8 - text.size() % 8) % 8, ' ');
    require(text.size() <= kMaxHeader, "{}: a header of {} bytes, at most {} are allowed", path.string(), text.size(),
            kMaxHeader);

    AtomicFile file(path);
    const uint64_t length = text.size();
    file.write(&length, sizeof length);
    file.write(text);
    for (const Entry* entry : order) file.write(entry->data.data(), entry->data.size());
    file.commit();
}

}  // namespace dropforge
