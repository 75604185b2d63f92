// Several changes of which all are made or none.
#pragma once

#include <exception>
#include <functional>
#include <utility>
#include <vector>

namespace dropforge {

/// Undoes at its end what was done so far, the last first, unless commit() came before.
class Rollback {
  public:
    Rollback() = default;
    ~Rollback() {
        for (auto undo = undo_.rbegin(); undo != undo_.rend(); ++undo) {
            try {
                (*undo)();
            } catch (const std::exception&) {  // the error that led here is the one to tell
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
