# Packages for other machines, read by ./dev: a .deb and a .tar.zst by CPack, a Python wheel by scripts/package/make_wheel.py, all of the same programs,
# which are linked for that (cmake/portable.cmake).

package_tools=(binutils dpkg-dev file python3)
packages=build/package/packages

# package [deb|tar|wheel | CMAKE-OPTION]…: those, or all three; says where they are.
package() {
    local argument kinds=() options=()
    for argument in "$@"; do
        case $argument in
            deb | tar | wheel) kinds+=("$argument") ;;
            -*) options+=("$argument") ;;
            *) die "package takes deb, tar, wheel and options of cmake, not '$argument'" ;;
        esac
    done
    [ ${#kinds[@]} -gt 0 ] || kinds=(deb tar wheel)
    install "${package_tools[@]}"
    build package dropforge bench "${options[@]}"
    rm -rf "$packages"
    mkdir -p "$packages"
    for argument in "${kinds[@]}"; do
        "package_$argument" || die "no $argument could be made (full log: build/package.log)"
    done
    find "$packages" -maxdepth 1 -type f -printf '%s %p\n' | sort -k 2 | awk '{ printf "%s  %.1f MB\n", $2, $1 / 1e6 }'
}

package_deb() { pack DEB; }
package_tar() { pack TZST; }

pack() { quietly build/package.log env -C build/package cpack -G "$1" && rm -r "$packages/_CPack_Packages"; }

package_wheel() {
    local tree=build/package/wheel
    rm -rf "$tree"
    quietly build/package.log cmake --install build/package --prefix "$PWD/$tree" --strip &&
        python3 scripts/package/make_wheel.py "$tree" "$packages" scripts/setup/cuda-wheels.txt >/dev/null
}
