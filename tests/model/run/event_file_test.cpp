// TensorBoard event files, by a reader written from the formats' descriptions and from nothing in the writer.
#include <doctest/doctest.h>

#include <cstring>
#include <map>

#include "base/error.h"
#include "model/run/pretraining_metrics.h"
#include "tests/support/temporary_folder.h"

using namespace dropforge;

namespace {

uint32_t slow_crc32c(std::string_view bytes) {  // one bit at a time, polynomial 0x1EDC6F41 reflected
    uint32_t state = ~0u;
    for (const char c : bytes) {
        for (int bit = 0; bit < 8; ++bit) {
            const bool carry = ((state ^ (static_cast<uint8_t>(c) >> bit)) & 1) != 0;
            state = (state >> 1) ^ (carry ? 0x82F63B78u : 0u);
        }
    }
    return ~state;
}

struct Reader {
    std::string_view bytes;

    template <typename T>
    T raw() {
        REQUIRE(bytes.size() >= sizeof(T));
        T value;
        std::memcpy(&value, bytes.data(), sizeof value);
        bytes.remove_prefix(sizeof value);
        return value;
    }
    uint64_t varint() {
        uint64_t value = 0;
        for (int shift = 0;; shift += 7) {
            const auto byte = raw<uint8_t>();
            value |= uint64_t{byte & 0x7Fu} << shift;
            if (byte < 0x80) return value;
        }
    }
    std::string_view take(uint64_t size) {
        REQUIRE(bytes.size() >= size);
        const std::string_view taken = bytes.substr(0, size);
        bytes.remove_prefix(size);
        return taken;
    }
};

/// A TFRecord's payload, both checksums checked.
std::string_view frame(Reader& file) {
    const auto check = [](std::string_view covered, uint32_t stored) {
        const uint32_t crc = slow_crc32c(covered);
        CHECK(stored == ((crc >> 15) | (crc << 17)) + 0xa282ead8u);
    };
    const std::string_view length_bytes = file.bytes.substr(0, 8);
    const auto length = file.raw<uint64_t>();
    check(length_bytes, file.raw<uint32_t>());
    const std::string_view payload = file.take(length);
    check(payload, file.raw<uint32_t>());
    return payload;
}

struct Event {
    double wall_time = 0;
    int64_t step = 0;
    std::string version;
    uint64_t session_status = 0;
    std::map<std::string, float> scalars;
};

void read_value(std::string_view bytes, Event& event) {
    std::string tag;
    for (Reader reader{bytes}; !reader.bytes.empty();) {
        const uint64_t key = reader.varint();
        if (key == (1 << 3 | 2)) {
            tag = reader.take(reader.varint());
        } else {
            REQUIRE(key == (2 << 3 | 5));
            event.scalars[tag] = reader.raw<float>();
        }
    }
}

Event read_event(std::string_view bytes) {
    Event event;
    for (Reader reader{bytes}; !reader.bytes.empty();) {
        switch (reader.varint()) {
            case 1 << 3 | 1:
                event.wall_time = reader.raw<double>();
                break;
            case 2 << 3 | 0:
                event.step = static_cast<int64_t>(reader.varint());
                break;
            case 3 << 3 | 2:
                event.version = reader.take(reader.varint());
                break;
            case 5 << 3 | 2:
                for (Reader summary{reader.take(reader.varint())}; !summary.bytes.empty();) {
                    REQUIRE(summary.varint() == (1 << 3 | 2));
                    read_value(summary.take(summary.varint()), event);
                }
                break;
            case 7 << 3 | 2: {
                Reader session{reader.take(reader.varint())};
                REQUIRE(session.varint() == (1 << 3 | 0));
                event.session_status = session.varint();
                break;
            }
            default:
                FAIL("unknown field of Event");
        }
    }
    return event;
}

std::vector<Event> events_of(const fs::path& path) {
    const std::string text = read_text(path);
    std::vector<Event> events;
    for (Reader file{text}; !file.bytes.empty();) events.push_back(read_event(frame(file)));
    return events;
}

fs::path only_event_file(const fs::path& folder) {
    fs::path found;
    for (const auto& entry : fs::directory_iterator(folder)) {
        if (!entry.path().filename().string().starts_with("events.out.tfevents.")) continue;
        CHECK(found.empty());
        found = entry.path();
    }
    return found;
}

}  // namespace

TEST_CASE("CRC-32C: known answers (RFC 3720, B.4; CRC catalogue)") {
    CHECK(crc32c("") == 0);
    CHECK(crc32c("123456789") == 0xE3069283);
    CHECK(crc32c(std::string(32, '\0')) == 0x8A9136AA);
    CHECK(crc32c(std::string(32, '\xFF')) == 0x62A8AB43);
    std::string up;
    for (char c = 0; c < 32; ++c) up += c;
    CHECK(crc32c(up) == 0x46DD794E);
    CHECK(slow_crc32c(up) == 0x46DD794E);  // the test's own
}

TEST_CASE("event file: frames, version, scalars") {
    const TemporaryFolder folder;
    StepMetrics metrics;
    metrics.step = 300;
    metrics.loss = 10.0 / 3;
    metrics.lr = 1e-4 / 3;
    metrics.time = 1.7e9 + 0.25;
    metrics.mfu = 0.5;
    {
        MetricsLog log(folder.path(), 0, true);
        log.write(metrics);
        log.write(EvalMetrics{.step = 301, .eval_loss = 2.5, .eval_accuracy = 0.75, .time = 5, .eval_seconds = 1});
    }
    const auto events = events_of(only_event_file(folder.path()));
    REQUIRE(events.size() == 3);
    CHECK(events[0].version == "brain.Event:2");
    CHECK(events[0].wall_time > 1.7e9);
    CHECK(events[1].step == 300);
    CHECK(events[1].wall_time == metrics.time);
    CHECK(events[1].scalars.size() == 8);
    CHECK(events[1].scalars.at("train/loss") == static_cast<float>(metrics.loss));
    CHECK(events[1].scalars.at("train/lr") == static_cast<float>(metrics.lr));
    CHECK(events[1].scalars.at("speed/mfu") == 0.5f);
    CHECK(events[2].step == 301);
    CHECK(events[2].scalars == std::map<std::string, float>{{"eval/loss", 2.5f}, {"eval/accuracy", 0.75f}});
}

TEST_CASE("event file: a resumed run tells TensorBoard from which step on older files don't count") {
    const TemporaryFolder folder;
    EventFile file(folder.path(), 1000);
    const auto events = events_of(file.path());
    REQUIRE(events.size() == 2);
    CHECK(events[1].session_status == 1);
    CHECK(events[1].step == 1001);
}

TEST_CASE("event file: each event is on disk at once, however long a run gets") {
    const TemporaryFolder folder;
    EventFile file(folder.path(), 0);
    const int64_t far = int64_t{1} << 40;
    file.scalars(far, 1, {{std::string(300, 'x'), -1.5}});
    const auto events = events_of(file.path());
    REQUIRE(events.size() == 2);
    CHECK(events[1].step == far);
    CHECK(events[1].scalars.at(std::string(300, 'x')) == -1.5f);
}
