#!/usr/bin/env python3
"""Run a command on a Debian kernel in a small virtual machine, for what this machine's own kernel cannot do.

The guest sees the file tree of this machine at the same paths, so that interpreters, virtual environments and tools are
simply there. What it writes is gone with it, save below the writable folder (the checkout unless told otherwise). The
command runs there as root, with no network but its own loopback and what it makes. Its output comes out here as it is
written, and its exit status is that of this program; 124 stands for a command that ran too long, 125 for a guest that
could not be started or fell over.

The kernel is a Debian package that is downloaded once and unpacked, not installed, below the cache folder.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import lzma
import os
import platform
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, NoReturn

HERE = Path(__file__).resolve().parent
TIMED_OUT, NOT_STARTED = 124, 125
BOOT_S = 60.0  # from power-on to the command: 3 s on an idle machine
TRIES = 4  # of a boot that fails before the command starts
FILE_SERVERS = ("/usr/lib/qemu/virtiofsd", "/usr/libexec/virtiofsd")  # Debian 12; later releases
BOOT_MODULES = ("virtio_pci", "virtiofs", "overlay")
PASSED = ("PATH", "HOME", "LANG", "LC_ALL", "CI", "VIRTUAL_ENV", "XDG_CACHE_HOME")
PASSED_PREFIXES = ("PYTHON", "NUMBA_")
# QEMU 7.2 emulates cmpxchg16b wrongly, which crashes 6.12 in one boot of eight; page tables of four levels are faster.
PROCESSOR = "max,-la57"


class Guest(NamedTuple):
    """What a guest is made of; `state` is a folder that lives as long as it."""

    kernel: Path
    modules: Path
    writable: Path
    memory_mib: int
    state: Path


def main() -> int:
    """Run what the arguments say."""
    options = read_arguments()
    if problems := missing():
        stop("; ".join(problems))
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))  # so that all is cleared away
    unpacked = Path(options.kernel).resolve() if Path(options.kernel).is_dir() else fetch_kernel(options.kernel)
    kernel, modules = kernel_of(unpacked)
    if options.prepare:
        return 0
    with tempfile.TemporaryDirectory(prefix="tidegate-guest-") as state:
        guest = Guest(kernel, modules, options.writable.resolve(), options.memory, Path(state))
        (guest.state / "initramfs").write_bytes(initramfs(guest, options.command))
        for _ in range(TRIES):
            status = boot(guest, options.timeout)
            if status is not None:
                return status
            tell("the guest did not boot\n" + last_words(guest))
    return NOT_STARTED


def read_arguments() -> argparse.Namespace:
    """Return the options and the command."""
    parser = argparse.ArgumentParser(prog="run-in-guest", description=__doc__.partition("\n")[0])
    option = parser.add_argument
    option("--kernel", default="linux-image-cloud-amd64", help="package, or folder with one unpacked (%(default)s)")
    option("--memory", type=int, default=1024, metavar="MIB", help="of the guest (%(default)s)")
    option("--timeout", type=float, default=300, metavar="S", help="seconds the command may take (%(default)s)")
    option("--writable", type=Path, default=HERE.parent, metavar="FOLDER", help="what it may write to (the checkout)")
    option("--prepare", action="store_true", help="only fetch the kernel, or say what is missing")
    option("command", nargs=argparse.REMAINDER, metavar="COMMAND…")
    options = parser.parse_args()
    if not options.command and not options.prepare:
        parser.error("what is to be run?")
    if not options.writable.is_dir():
        parser.error(f"no folder {options.writable}")
    return options


def tell(text: str) -> None:
    """Say something beside what the command prints."""
    print(f"run-in-guest: {text}", file=sys.stderr, flush=True)


def stop(reason: str) -> NoReturn:
    """End, because there is no guest."""
    tell(reason)
    sys.exit(NOT_STARTED)


def missing() -> list[str]:
    """Return what this machine lacks for a guest, and what to do about it."""
    programs = {"qemu-system-x86_64": "qemu-system-x86", "depmod": "kmod", "dpkg-deb": "dpkg"}
    wanting = [f"{program} (package {package})" for program, package in programs.items() if not shutil.which(program)]
    if not static(shutil.which("busybox")):
        wanting.append("a static busybox (package busybox-static)")
    if file_server() is None:
        wanting.append("virtiofsd (package qemu-system-common, in later releases virtiofsd)")
    problems = {
        f"the guest runs this machine's programs on x86-64, and this is {platform.machine()}": platform.machine()
        == "x86_64",
        "serving files to a guest needs root": os.geteuid() == 0,
        f"not installed: {', '.join(wanting)}; scripts/install-system-packages helps": not wanting,
    }
    return [problem for problem, solved in problems.items() if not solved]


def static(program: str | None) -> bool:
    """Return whether a program is there and needs no dynamic linker."""
    return program is not None and b"/ld-linux" not in Path(program).read_bytes()[:4096]


def file_server() -> str | None:
    """Return the program that serves this machine's files to a guest."""
    return next((path for path in FILE_SERVERS if Path(path).exists()), None)


def fetch_kernel(package: str) -> Path:
    """Return the folder of an unpacked kernel package, fetched where it was not before."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tidegate" / "guest"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (cache / package).is_dir():
            with tempfile.TemporaryDirectory(dir=cache) as folder:
                deb = download(package, Path(folder))
                tell(f"unpacking {deb.name} below {cache}")
                run("dpkg-deb", "-x", str(deb), f"{folder}/{package}")
                Path(folder, package).rename(cache / package)
    return cache / package


def download(package: str, folder: Path) -> Path:
    """Download the kernel that a package is or depends on; package lists are fetched where it takes them."""
    image = kernel_package(package)
    fetched = image and run("apt-get", "-q", "download", image, cwd=folder)
    if not fetched and run("apt-get", "-q", "update") and (image := kernel_package(package)):
        fetched = run("apt-get", "-q", "download", image, cwd=folder)
    if not fetched:
        stop(f"cannot download {package}: is there a package of this name, and can its archive be reached?")
    return next(folder.glob("*.deb"))


def kernel_package(package: str) -> str:
    """Return the package that a metapackage stands for; empty where apt does not know it."""
    words = (run("apt-cache", "depends", package) or "").split()
    images = [word for word in words if word.startswith("linux-image-") and word != package]
    return images[0] if images else package if words else ""


def run(*command: str, cwd: Path | None = None) -> str:
    """Run a program and return what it printed (at least an end of line); empty where it failed or is not there."""
    with contextlib.suppress(OSError):
        done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)  # noqa: S603 - named above
        return done.stdout or "\n" if done.returncode == 0 else ""
    return ""


def kernel_of(unpacked: Path) -> tuple[Path, Path]:
    """Return the kernel and the folder of modules of an unpacked package, indexed."""
    kernel = next(unpacked.glob("boot/vmlinuz-*"), None)
    modules = next(unpacked.glob("lib/modules/*"), None)
    if kernel is None or modules is None:
        stop(f"{unpacked} is no unpacked kernel package: no boot/vmlinuz-* or no lib/modules/*")
    if not (modules / "modules.dep").exists():
        run("depmod", "-b", str(unpacked), modules.name)
    return kernel, modules


def initramfs(guest: Guest, command: Sequence[str]) -> bytes:
    """Return the guest's first file tree: a shell, the modules that reach this machine's files, what is to be done."""
    settings = {"MODULES": guest.modules, "WRITABLE": guest.writable, "STATE": guest.state}
    modules = {path.name.removesuffix(".xz"): path for path in module_files(guest.modules)}
    busybox = Path(shutil.which("busybox") or "")
    return cpio(
        {
            "bin": None,
            "bin/busybox": busybox.read_bytes(),
            "init": (HERE / "guest-init").read_bytes(),
            "settings": assignments(settings).encode(),
            "command": command_script(guest, command).encode(),
            "modules": "\n".join(modules).encode(),
            **{name: read_module(path) for name, path in modules.items()},
        }
    )


def assignments(values: Mapping[str, object], *, before: str = "") -> str:
    """Return values as lines of a shell script."""
    return "".join(f"{before}{name}={shlex.quote(str(value))}\n" for name, value in values.items())


def command_script(guest: Guest, command: Sequence[str]) -> str:
    """Return what the guest does once this machine's files are there. That it is at it shows by the file `output`."""
    passed = {name: value for name, value in os.environ.items() if name in PASSED or name.startswith(PASSED_PREFIXES)}
    return (
        assignments(passed, before="export ")
        + f"cd {shlex.quote(str(Path.cwd()))}\n"
        + f"({shlex.join(command)}) </dev/null >{guest.state}/output 2>&1\n"
        + f"echo $? >{guest.state}/status\n"
        + "sync\n"
        + "echo b >/proc/sysrq-trigger\n"  # a reboot at once, which ends qemu
    )


def module_files(modules: Path) -> list[Path]:
    """Return the files of the modules needed at boot, each behind those that it needs."""
    needs = {}
    for line in (modules / "modules.dep").read_text().splitlines():
        file, _, others = line.partition(":")
        needs[Path(file).name.partition(".")[0].replace("-", "_")] = [*reversed(others.split()), file]
    wanted = [file for name in BOOT_MODULES for file in needs.get(name, ())]  # what is missing is built in
    return [modules / file for file in dict.fromkeys(wanted)]


def read_module(path: Path) -> bytes:
    """Return a module, decompressed."""
    return lzma.decompress(path.read_bytes()) if path.suffix == ".xz" else path.read_bytes()


def cpio(files: Mapping[str, bytes | None]) -> bytes:
    """Return an archive that the kernel unpacks at boot (newc); None stands for a folder."""
    out = bytearray()
    for number, (name, data) in enumerate({**files, "TRAILER!!!": b""}.items()):
        content = data or b""
        mode = 0o040755 if data is None else 0o100755
        fields = (number, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0)
        out += b"070701" + b"".join(b"%08x" % field for field in fields) + name.encode() + b"\0"
        out += bytes(-len(out) % 4) + content
        out += bytes(-len(out) % 4)
    return bytes(out)


def boot(guest: Guest, timeout_s: float) -> int | None:
    """Boot once and return the status to end with; None where the command was not reached."""
    for name in ("output", "status", "files"):
        (guest.state / name).unlink(missing_ok=True)
    with file_service(guest) as address, running(*machine(guest, address), log=guest.state / "machine") as process:
        return watch(process, guest, timeout_s)


@contextlib.contextmanager
def file_service(guest: Guest) -> Iterator[Path]:
    """Serve this machine's files on a socket below the guest's folder."""
    address = guest.state / "files"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(address))
        listener.listen()
        words = (
            file_server() or "",
            f"--fd={listener.fileno()}",
            "-o",
            "source=/",
            "-o",
            "cache=always,sandbox=chroot",
        )
        with running(*words, log=guest.state / "server", descriptors=[listener.fileno()]):
            yield address


@contextlib.contextmanager
def running(*command: str, log: Path, descriptors: Sequence[int] = ()) -> Iterator[subprocess.Popen[bytes]]:
    """Have a program running that ends at the latest when this one does, however that comes about."""
    with log.open("wb") as out:
        process = subprocess.Popen(  # noqa: S603 - named by the callers
            ("/usr/bin/setpriv", "--pdeathsig", "KILL", *command),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            pass_fds=descriptors,
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def machine(guest: Guest, files: Path) -> tuple[str, ...]:
    """Return the command of the virtual machine. q35 boots more surely than microvm, and as fast."""
    options = {
        "-machine": "q35,memory-backend=memory",
        "-accel": "tcg",
        "-cpu": PROCESSOR,
        "-m": str(guest.memory_mib),
        "-object": f"memory-backend-memfd,id=memory,size={guest.memory_mib}M,share=on",
        "-chardev": f"socket,id=files,path={files}",
        "-device": "vhost-user-fs-pci,chardev=files,tag=machine",
        "-kernel": str(guest.kernel),
        "-initrd": f"{guest.state}/initramfs",
        "-append": "console=ttyS0 panic=-1 quiet clearcpuid=cx16",
        "-serial": f"file:{guest.state}/console",
    }
    switches = ("-nodefaults", "-no-user-config", "-no-reboot", "-display", "none")
    return ("qemu-system-x86_64", *switches, *(word for pair in options.items() for word in pair))


def watch(process: subprocess.Popen[bytes], guest: Guest, timeout_s: float) -> int | None:
    """Copy the command's output until the machine ends; return the status to end with, None where it never began."""
    output, status = guest.state / "output", guest.state / "status"
    deadline, shown, began = time.monotonic() + BOOT_S, 0, False
    while alive := process.poll() is None:
        if not began and output.exists():
            deadline, began = time.monotonic() + timeout_s, True
        shown += show(output, shown)
        if time.monotonic() > deadline:
            break
        time.sleep(0.05)
    show(output, shown)
    if status.exists():
        return int(status.read_text() or NOT_STARTED)
    if not output.exists():
        return None
    tell(f"the command took longer than {timeout_s:g} s" if alive else "the guest fell over\n" + last_words(guest))
    return TIMED_OUT if alive else NOT_STARTED


def show(output: Path, start: int) -> int:
    """Print what a file holds from an octet on, and return how much that is."""
    if not output.exists():
        return 0
    with output.open("rb") as file:
        file.seek(start)
        text = file.read()
    sys.stdout.buffer.write(text)
    sys.stdout.buffer.flush()
    return len(text)


def last_words(guest: Guest) -> str:
    """Return what the parts of a guest printed last."""
    logs = [guest.state / name for name in ("server", "machine", "console")]
    return "".join(log.read_text(errors="replace")[-3000:] for log in logs if log.exists())


if __name__ == "__main__":
    sys.exit(main())
