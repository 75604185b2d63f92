#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <cstdlib>

int main(int argc, char** argv) {
    // On a GPU, attention by our own kernels: tests compare bits of dropout, and a library's are its own.
    setenv("DROPFORGE_ATTENTION", "own", 0);
    return doctest::Context(argc, argv).run();
}
