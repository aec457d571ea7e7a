"""What functions run: built by cargo-lambda, given as binaries, or given as zips that `infra/package` made elsewhere."""

import hashlib
import io
import os
import platform
import shutil
import subprocess
import zipfile
from dataclasses import dataclass
from pathlib import Path

from .trouble import Trouble

ALL = ("microscale", "backfill", "patchroll", "livefeed", "demand")
# `e_machine` of an ELF file (System V ABI, "ELF Header").
MACHINES = {62: "x86_64", 183: "arm64"}
SUMS = "SHA256SUMS"
# The earliest time that a zip can have: the same binary always makes the same zip.
NO_TIME = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Code:
    """A function's binary; with `zipped` it is uploaded as it is, without cargo-lambda."""

    bootstrap: Path | None
    digest: str
    zipped: bytes | None = None

    def as_zip(self):
        return self.zipped or packed(self.bootstrap.read_bytes())


def build(names, arch, repository, target_dir):
    """Builds the functions; gives the folder that holds NAME/bootstrap for each."""
    if not shutil.which("cargo-lambda"):
        raise Trouble("cargo-lambda is not in PATH: `python3 -m pip install cargo-lambda`, or give built ones with --bins or --zips")
    if not shutil.which("cargo"):
        raise Trouble("cargo is not in PATH: install Rust, or give built functions with --bins or --zips")
    command = ["cargo", "lambda", "build", "--profile", "lambda", "--locked", "--workspace"]
    command += ["--arm64" if arch == "arm64" else "--x86-64"]
    # This machine's own target is there; for another one cargo-lambda looks, and asks rustup to install it.
    if {"aarch64": "arm64"}.get(platform.machine(), platform.machine()) == arch and platform.system() == "Linux":
        command.append("--skip-target-check")
    for name in names:
        command += ["--bin", name]
    target_dir = Path(target_dir or os.environ.get("CARGO_TARGET_DIR") or repository / "target")
    # `lambda` in there is where cargo itself puts what it builds with the profile of that name.
    built = target_dir / "functions"
    command += ["--lambda-dir", str(built)]
    # cargo-lambda hands an option `--target-dir` on to `cargo metadata`, which knows none.
    done = subprocess.run(command, cwd=repository, env=os.environ | {"CARGO_TARGET_DIR": str(target_dir)})
    if done.returncode != 0:
        raise Trouble(f"`{' '.join(command)}` ended with code {done.returncode}; nothing was deployed")
    return built


def binaries(names, folder, arch):
    """The code by function name, of binaries. Each has to be there and to be for `arch`."""
    found, problems = {}, []
    for name in names:
        candidates = [folder / name / "bootstrap", folder / name]
        path = next((candidate for candidate in candidates if candidate.is_file()), None)
        if not path:
            problems.append(f"{candidates[0]}: there is no such file, nor {candidates[1]}")
            continue
        binary = path.read_bytes()
        problems += wrong_machine(path, binary, arch)
        found[name] = Code(path, hashlib.sha256(binary).hexdigest())
    if problems:
        raise Trouble(*problems)
    return found


def zips(names, folder, arch):
    """The code by function name, of zips that are whole: each as the folder's checksums say, with a binary for `arch`."""
    found, problems = {}, []
    if not (folder / SUMS).is_file():
        raise Trouble(f"{folder / SUMS}: there is no such file; `infra/package` writes it beside the zips")
    lines = (folder / SUMS).read_text(encoding="utf-8").splitlines()
    sums = {name.lstrip("*"): digest for digest, _, name in (line.partition(" ") for line in lines) for name in [name.strip()]}
    for name in names:
        path = folder / zip_name(name, arch)
        if not path.is_file():
            problems.append(f"{path}: there is no such file")
            continue
        zipped = path.read_bytes()
        if hashlib.sha256(zipped).hexdigest() != sums.get(path.name):
            problems.append(f"{path}: is not what {SUMS} says; fetch it again")
            continue
        try:
            binary = zipfile.ZipFile(io.BytesIO(zipped)).read("bootstrap")
        except (zipfile.BadZipFile, KeyError) as error:
            problems.append(f"{path}: holds no bootstrap: {error}")
            continue
        problems += wrong_machine(path, binary, arch)
        found[name] = Code(None, hashlib.sha256(binary).hexdigest(), zipped)
    if problems:
        raise Trouble(*problems)
    return found


def zip_name(function, arch):
    return f"{function}-{arch}.zip"


def packed(binary):
    """A zip as Lambda takes it: one file that may be run."""
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        info = zipfile.ZipInfo("bootstrap", NO_TIME)
        info.compress_type, info.create_system, info.external_attr = zipfile.ZIP_DEFLATED, 3, 0o755 << 16
        archive.writestr(info, binary)
    return whole.getvalue()


def wrong_machine(path, binary, arch):
    machine = "no Linux machine (it is no ELF file)"
    if binary[:4] == b"\x7fELF":
        machine = MACHINES.get(int.from_bytes(binary[18:20], "little"), "another machine")
    if machine != arch:
        yield f"{path}: is built for {machine}; --arch says {arch}"
