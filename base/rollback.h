// Several changes of which either all are kept or none.
#pragma once

#include <exception>
#include <functional>
#include <utility>
#include <vector>

namespace dropforge {

/// Calls the undo functions in its destructor, the last first, unless commit() was called.
class Rollback {
  public:
    Rollback() = default;
    ~Rollback() {
        for (auto undo = undo_.rbegin(); undo != undo_.rend(); ++undo) {
            try {
                (*undo)();
            } catch (const std::exception&) {  // the error that led to the rollback is reported, not this one
            }
        }
    }
    Rollback(const Rollback&) = delete;
    Rollback& operator=(const Rollback&) = delete;

    void add(std::function<void()> undo) { undo_.push_back(std::move(undo)); }
    void commit() { undo_.clear(); }

  private:
    std::vector<std::function<void()>> undo_;
};

}  // namespace dropforge
