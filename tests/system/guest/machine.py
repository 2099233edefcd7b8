"""One run of a guest under QEMU's TCG: no KVM, no network, two serial lines."""

import os
import pathlib
import selectors
import signal
import subprocess
import time

# Lean enough to be in user space in about two seconds of emulation.
KERNEL_LINE = ("console=ttyS0 quiet loglevel=3 panic=-1 reboot=t tsc=reliable no_timer_check "
               "mitigations=off nokaslr cryptomgr.notests random.trust_cpu=on hugepages=8")
# What systemd reads of it.
SYSTEMD_LINE = ("systemd.unit=guest-test.target systemd.log_target=console systemd.log_level=notice "
                "systemd.show_status=0 systemd.default_standard_output=null")


class MachineError(Exception):
    """The machine did not start, or did not end by itself."""


def command(image, payload, console, init):
    return ["qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none",
            "-M", "pc", "-cpu", "qemu64,+rdrand,+popcnt,+sse4.1,+sse4.2,+ssse3",
            "-accel", "tcg,thread=multi,tb-size=256", "-smp", "2", "-m", "768", "-no-reboot",
            "-kernel", str(image / "vmlinuz"), "-initrd", str(image / "initrd"),
            "-append", f"{KERNEL_LINE} {SYSTEMD_LINE} init={init}",
            "-drive", f"file={image / 'root.ext4'},format=raw,if=virtio,snapshot=on",
            "-drive", f"file={payload},format=raw,if=virtio,readonly=on",
            "-serial", f"file:{console}", "-serial", "stdio"]


def lines(arguments, seconds):
    """Runs the machine and yields what its second serial line says, until it powers off."""
    deadline = time.monotonic() + seconds
    process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, start_new_session=True)
    try:
        yield from _read_lines(process, deadline, seconds)
        code = process.wait(max(1, deadline - time.monotonic()))
        if code:
            raise MachineError(f"qemu exits {code}: {process.stderr.read().decode().strip()}")
    except subprocess.TimeoutExpired:
        raise MachineError(f"the guest is still on after {seconds} s") from None
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        process.stdout.close()
        process.stderr.close()


def _read_lines(process, deadline, seconds):
    pending = b""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while True:
            left = deadline - time.monotonic()
            if left <= 0 or not selector.select(left):
                raise MachineError(f"the guest is still on after {seconds} s")
            data = os.read(process.stdout.fileno(), 65536)
            if not data:
                return
            *whole, pending = (pending + data).split(b"\n")
            for line in whole:
                yield line.decode(errors="replace").rstrip("\r")


def tail(console, count=40):
    """The last lines of the console that say something."""
    text = pathlib.Path(console).read_bytes().decode(errors="replace") if os.path.exists(console) else ""
    return "\n".join([line.rstrip() for line in text.splitlines() if line.strip()][-count:])
