// What an action complains of.
#pragma once

#include <string>

#include "base/error.h"

namespace dropforge::test {

/// The message of the Error that `action` throws; "" if none.
template <typename Action>
std::string message_of(const Action& action) {
    try {
        action();
    } catch (const Error& error) {
        return error.what();
    }
    return {};
}

}  // namespace dropforge::test
