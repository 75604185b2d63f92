#!/usr/bin/env python3
"""Packs an installation (cmake --install) as a Python wheel that carries the programs: make_wheel.py TREE FOLDER CUDA-WHEELS.

pip puts bin/ and share/ of TREE where the environment has them. The tag says which Linux the programs run on: manylinux with the newest version
of glibc that they ask for, or plain linux, this machine's, where they need another shared library than glibc's. Where they have CUDA, the extra
`cuda` brings its libraries, in the versions of CUDA-WHEELS. Prints the wheel's path.
"""
import base64
import hashlib
import platform
import re
import subprocess
import sys
import zipfile
from pathlib import Path

GLIBC = r"(ld-linux.*|lib(c|m|dl|rt|pthread))\.so\.\d+"
# What the programs open at first use; the wheel of cuDNN brings nothing that it opens in turn.
CUDA_PACKAGES = ("nvidia-cublas", "nvidia-cuda-nvrtc", "nvidia-cudnn-cu13")


def output_of(*command: str | Path) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def platform_tag(programs: list[Path]) -> str:
    headers = "".join(output_of("objdump", "-p", program) for program in programs)
    foreign = sorted({name for name in re.findall(r"NEEDED +(\S+)", headers) if not re.fullmatch(GLIBC, name)})
    if foreign:
        print(f"note: the programs need {', '.join(foreign)}: a wheel for this machine only", file=sys.stderr)
        return f"linux_{platform.machine()}"
    major, minor = max((int(a), int(b)) for a, b in re.findall(r"\bGLIBC_(\d+)\.(\d+)", headers))
    return f"manylinux_{major}_{minor}_{platform.machine()}"


def cuda_requirements(list_of_wheels: Path) -> str:
    pins = re.findall(r"^([\w-]+==[\w.]+)", list_of_wheels.read_text(), re.MULTILINE)
    pins = [pin for pin in pins if pin.split("==")[0] in CUDA_PACKAGES]
    if len(pins) != len(CUDA_PACKAGES):
        sys.exit(f"error: expected {', '.join(CUDA_PACKAGES)} in {list_of_wheels}, found {', '.join(pins)}")
    return "Provides-Extra: cuda\n" + "".join(f'Requires-Dist: {pin} ; extra == "cuda"\n' for pin in pins)


def metadata(version: str, requirements: str, readme: str) -> str:
    return (
        f"Metadata-Version: 2.1\nName: dropforge\nVersion: {version}\nSummary: Pretrains BERT encoders from scratch\n"
        "License: Apache-2.0\nClassifier: License :: OSI Approved :: Apache Software License\n"
        "Classifier: Operating System :: POSIX :: Linux\nClassifier: Programming Language :: C++\n"
        f"{requirements}Description-Content-Type: text/markdown\n\n{readme}"
    )


class Wheel:
    """A zip archive and its RECORD. Every file has the same date: equal trees make equal wheels."""

    def __init__(self, path: Path) -> None:
        self.archive = zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9)
        self.record = ""

    def add(self, name: str, content: bytes, mode: int = 0o644) -> None:
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        self.record += f"{name},sha256={digest},{len(content)}\n"
        self.write(name, content, mode)

    def write(self, name: str, content: bytes, mode: int) -> None:
        info = zipfile.ZipInfo(name)
        info.compress_type = zipfile.ZIP_DEFLATED
        info.external_attr = (0o100000 | mode) << 16
        self.archive.writestr(info, content)

    def close(self, record_name: str) -> None:
        self.write(record_name, f"{self.record}{record_name},,\n".encode(), 0o644)
        self.archive.close()


def main(tree: Path, folder: Path, list_of_wheels: Path) -> None:
    programs = sorted((tree / "bin").iterdir())
    about = output_of(tree / "bin/dropforge", "--version")
    version = about.split()[1]
    tag = f"py3-none-{platform_tag(programs)}"
    requirements = cuda_requirements(list_of_wheels) if "cuda by nvcc" in about else ""
    path = folder / f"dropforge-{version}-{tag}.whl"
    info, data = f"dropforge-{version}.dist-info", f"dropforge-{version}.data"
    documents = tree / "share/doc/dropforge"
    wheel = Wheel(path)
    for program in programs:
        wheel.add(f"{data}/scripts/{program.name}", program.read_bytes(), 0o755)
    for file in sorted(file for file in (tree / "share").rglob("*") if file.is_file()):
        wheel.add(f"{data}/data/{file.relative_to(tree)}", file.read_bytes())
    wheel.add(f"{info}/LICENSE", (documents / "copyright").read_bytes())
    wheel.add(f"{info}/METADATA", metadata(version, requirements, (documents / "README.md").read_text()).encode())
    wheel.add(f"{info}/WHEEL", f"Wheel-Version: 1.0\nGenerator: dropforge\nRoot-Is-Purelib: false\nTag: {tag}\n".encode())
    wheel.close(f"{info}/RECORD")
    print(path)


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit("usage: make_wheel.py TREE FOLDER CUDA-WHEELS")
    main(*map(Path, sys.argv[1:]))
