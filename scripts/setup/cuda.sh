# Where the CUDA Toolkit comes from, read by ./dev: the machine's own (12.6 or later), or wheels pinned by version and hash, which are installed
# into .cuda/ (git ignores it) without root. Of a machine's toolkit only the tools that it lacks are added like that. The result looks like a
# toolkit of NVIDIA's own installer, in .cuda/nvidia/cu13: cmake/cuda.cmake and the programs look there after the machine's places.

cuda_folder=${DROPFORGE_CUDA_FOLDER:-.cuda}
cuda_wheels=${DROPFORGE_CUDA_WHEELS:-scripts/setup/cuda-wheels.txt}

has_gpu_driver() { [ -d /proc/driver/nvidia ] || command -v nvidia-smi >/dev/null; }

# machine_toolkit: prints the folder of the machine's toolkit; fails if it has none that is recent enough.
machine_toolkit() {
    local root release
    for root in "${CUDA_PATH:-}" "${CUDA_HOME:-}" "$(dirname "$(dirname "$(command -v nvcc || true)")")" /usr/local/cuda; do
        [ -x "$root/bin/nvcc" ] || continue
        release=$("$root/bin/nvcc" --version 2>/dev/null | sed -n 's/.* release \([0-9.]*\),.*/\1/p')
        [ -n "$release" ] || continue
        if [ "$(printf '%s\n' 12.6 "$release" | sort -V | head -n 1)" = 12.6 ]; then
            printf '%s\n' "$root"
            return
        fi
        say "note: $root has CUDA $release; Dropforge needs 12.6 or later"
    done
    return 1
}

# lacking_tools TOOLKIT: the wheels of what tests use and the toolkit does not have.
lacking_tools() {
    local tool
    for tool in cuobjdump nvdisasm compute-sanitizer; do
        [ -x "$1/bin/$tool" ] || echo "nvidia-cuda-${tool/compute-sanitizer/sanitizer-api}"
    done
    if [ ! -e "$1/include/cudnn_frontend.h" ] && [ ! -e /usr/include/cudnn_frontend.h ]; then echo nvidia-cudnn-frontend; fi
}

# select_wheels NAME…: their lines of the list.
select_wheels() {
    local name
    for name in "$@"; do grep "^$name==" "$cuda_wheels" || die "$cuda_wheels has no $name"; done
}

setup_cuda() {
    local toolkit wanted names=()
    if toolkit=$(machine_toolkit); then
        mapfile -t names < <(lacking_tools "$toolkit")
        [ ${#names[@]} -gt 0 ] || return 0
        wanted=$(select_wheels "${names[@]}") || exit
    else
        wanted=$(grep -v '^#' "$cuda_wheels")
    fi
    # What is installed already may be more than what is wanted now.
    if [ -f "$cuda_folder/installed.txt" ] && ! grep -vqxFf "$cuda_folder/installed.txt" <<<"$wanted"; then return; fi
    install_wheels "$wanted"
}

# After a failed download the complete files are kept in the cache for the next try.
install_wheels() {
    local part=$cuda_folder.part start=$SECONDS needed=1 free
    if grep -q '^nvidia-cublas==' <<<"$1"; then needed=6; fi  # GB: archives, and files before and after they are put in place
    mkdir -p "$part"
    free=$(df -Pk "$part" | awk 'NR == 2 { print int($4 / 1e6) }')
    [ "$free" -ge "$needed" ] || die "the CUDA wheels need $needed GB here while they are installed, of which there are $free"
    python3 -m pip --version >/dev/null 2>&1 || install python3 python3-pip
    rm -rf "$part/tree" "$part/tmp"
    mkdir -p "$part/tmp"
    printf '%s\n' "$1" >"$part/wanted.txt"
    say "installing $(wc -l <"$part/wanted.txt") CUDA wheels into $cuda_folder"
    # One wheel is made for a version of Python, but only its headers are used: take the same everywhere.
    TMPDIR=$PWD/$part/tmp PIP_CACHE_DIR=$PWD/$part/cache PIP_ROOT_USER_ACTION=ignore python3 -m pip install --quiet --disable-pip-version-check \
        --require-hashes --no-deps --only-binary :all: --python-version 3.11 --target "$part/tree" -r "$part/wanted.txt" >&2 ||
        die "pip could not install the CUDA wheels; complete files are kept for the next try"
    complete_tree "$part/tree"
    mv "$part/wanted.txt" "$part/tree/installed.txt"
    rm -rf "$cuda_folder"
    mv "$part/tree" "$cuda_folder"
    rm -rf "$part"
    say "installed the CUDA wheels in $((SECONDS - start)) s"
}

# complete_tree TREE: one folder with the names that compilers and linkers ask for, as a toolkit's installer makes it.
complete_tree() {
    local root=$1/nvidia/cu13 library
    mkdir -p "$root/include" "$root/lib"
    ln -s lib "$root/lib64"
    link_into "$root/include" "$1"/include/* "$1"/nvidia/cudnn/include/* "$1"/nvidia/nccl/include/*
    link_into "$root/lib" "$1"/nvidia/cudnn/lib/*.so.* "$1"/nvidia/nccl/lib/*.so.*
    for library in "$root"/lib/*.so.*; do
        if [ -e "$library" ]; then ln -sfn "$(basename "$library")" "${library%%.so.*}.so"; fi
    done
}

# link_into FOLDER FILE…: relative links, so that the tree can be moved. A pattern that matched nothing is no file.
link_into() {
    local folder=$1 file
    shift
    for file in "$@"; do
        if [ -e "$file" ] && [ ! -e "$folder/$(basename "$file")" ]; then ln -sr "$file" "$folder/"; fi
    done
}
