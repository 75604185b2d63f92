#!/usr/bin/env bash
# scripts/checks/statements.py: comma expressions and conditional expressions that are statements are named; declarations, loops and calls are not.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=tests/support/expectations.sh
. tests/support/expectations.sh
statements=$PWD/scripts/checks/statements.py
command -v python3 >/dev/null || { echo "no python3 here: skipped"; exit 77; }

# check FILE…: exit code and output.
check() {
    local output status=0
    output=$(python3 "$statements" "$@" 2>&1) || status=$?
    echo "$status $output"
}

cd "$scratch"
cat >good.cpp <<'END'
#define BOTH(a, b) f(a), f(b)
struct Point {
    Point(int x, int y) : x(x), y(y) {}
    int x = 0, y = 0;
    std::map<int, std::pair<int, int>> map, other;
};
enum class Kind { one = 1, two };
Kind kind(int a) {
    for (int i = 0, j = 9; i < j; ++i, --j) g(i, j);
    const int larger = a > 1 ? a : 1, smaller = a < 1 ? a : 1;
    int* p = nullptr, *q = nullptr;
    switch (a) {
        case 1: return a ? Kind::one : Kind::two;
        case Kind::two: return a ? Kind::one : Kind::two;
        default: break;
    }
    auto values = std::vector<int>{1, 2, 3};
    launch<int, a == 1 ? 4 : 1>(a, b);
    a <<= b ? 1 : 2;
    try { f(a, b); } catch (...) {}
    const auto [first, second] = pair;
    [[maybe_unused]] int one, two;
    // a = 1, b = 2; x ? f() : g();
    throw a ? Error("one, two") : Error("three");
}
END
expect "nothing to name" "0 " "$(check good.cpp)"

cat >bad.cpp <<'END'
void f(bool x) {
    a = 1, b[2] = 3;
    if (x) first(), second();
    x ? first() : second();
    for (const auto& [key, value] : map) sums[key] += value, ++count;
    run([&] { return ++calls, 0; });
    value == other ? ns::first<int>(1) : second(2, 3);
    if (x)
        p->q.r = 1,
            s = 2;
    try { first(); } catch (...) {}
    a = 1, b = 2;
    (void)a, (void)b;
    delete a, b = 2;
    if (x) [[likely]] ++a, ++b;
    3 <= a ? first() : second();
    x ? y ? first() : second() : third();
}
END
expect "each of them, with its line" "1 bad.cpp:2: a = 1, b[] = 3;
bad.cpp:3: first(), second();
bad.cpp:4: x ? first() : second();
bad.cpp:5: sums[] += value, ++count;
bad.cpp:6: return ++calls, 0;
bad.cpp:7: value == other ? ns::first() : second();
bad.cpp:9: p->q.r = 1, s = 2;
bad.cpp:12: a = 1, b = 2;
bad.cpp:13: ()a, ()b;
bad.cpp:14: delete a, b = 2;
bad.cpp:15: ++a, ++b;
bad.cpp:16: 3 <= a ? first() : second();
bad.cpp:17: x ? y ? first() : second() : third();" "$(check good.cpp bad.cpp)"
expect "an empty list of files" "0 " "$(check)"
as_expected
