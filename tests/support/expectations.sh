# Read by tests in bash: a folder that is gone afterwards ($scratch), and what they expect. The last line of a test is as_expected.
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
failures=0

# expect NAME WANTED GOT
expect() {
    if [ "$2" = "$3" ]; then return; fi
    printf 'FAILED: %s\n  wanted: %s\n  got:    %s\n' "$1" "$2" "$3"
    failures=$((failures + 1))
}

# Fails if anything came otherwise.
as_expected() { [ $failures = 0 ] && echo "all as expected"; }
