#!/usr/bin/env python3
"""The guest's clocks, kvm-clock and the TSC, go with the host's: while it runs, across a pause, and in a restored copy;
and copies of one snapshot draw different random numbers. Debian's cloud kernel under the translator."""

import sys
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parent / "guest")]

from lib.case import main  # noqa: E402
from vm_guest_test import VmGuestCase  # noqa: E402
from vm_linux_test import prepare  # noqa: E402

SLACK = 0.3  # s: what /proc/uptime and two processes' clocks may round


class VmClockTest(VmGuestCase):
    def look(self, name):
        """The host's clock before, the guest's uptime, the host's clock after."""
        before = time.monotonic()
        uptime = float(self.vm("exec", name, "cat", "/proc/uptime").stdout.split()[0])
        return before, uptime, time.monotonic()

    def check_went_on(self, first, second):
        """As much time went by in the guest as on the host between the two looks."""
        went = second[1] - first[1]
        self.assertGreaterEqual(went, second[0] - first[2] - SLACK, (first, second))
        self.assertLessEqual(went, second[2] - first[0] + SLACK, (first, second))

    def test_kvm_clock_goes_with_the_hosts(self):
        self.check_clock("kvm-clock", "--cmdline", "console=ttyS0 reboot=k panic=-1 no_timer_check clocksource=kvm-clock")

    def test_the_tsc_goes_with_the_hosts(self):
        self.check_clock("tsc")

    def check_clock(self, clock, *args):
        self.start("one", "--cold", *args)
        source = "/sys/devices/system/clocksource/clocksource0/current_clocksource"
        self.assertEqual(f"{clock}\n", self.vm("exec", "one", "cat", source).stdout)
        first = self.look("one")
        time.sleep(2)
        second = self.look("one")
        self.check_went_on(first, second)
        self.vm("pause", "one")
        time.sleep(1.5)
        self.vm("resume", "one")
        third = self.look("one")
        # Linux is not told that it was paused, and its clock went on, as with KVM.
        self.check_went_on(second, third)
        saved = self.folder / "saved"
        self.vm("snapshot", "one", saved)
        taken = self.look("one")
        self.vm("rm", "-f", "one")
        time.sleep(2)
        restored = time.monotonic()
        self.vm("restore", "-d", "--name", "two", "--engine", "translator", saved)
        self.addCleanup(lambda: self.vm("rm", "-f", "two", check=False))
        copy = self.look("two")
        self.assertEqual(f"{clock}\n", self.vm("exec", "two", "cat", source).stdout)
        # From where it was saved, without the time in between; the date is today's, which our init is told.
        self.assertGreaterEqual(copy[1], third[1])
        self.assertLessEqual(copy[1], taken[1] + (copy[2] - restored) + SLACK)
        self.assertLessEqual(abs(int(self.vm("exec", "two", "date", "+%s").stdout) - time.time()), 2)
        time.sleep(1)
        self.check_went_on(copy, self.look("two"))
        self.assertNotIn("unstable", (self.root / "two/console.log").read_text(errors="replace"))

    def test_copies_draw_different_numbers(self):
        """Also from a generator that was seeded before the snapshot. This kernel has no driver for the generation id:
        our init brings the news."""
        self.start("one", "--cold")
        self.vm("exec", "one", "head", "-c", "16", "/dev/urandom")
        saved = self.folder / "saved"
        self.vm("snapshot", "one", saved)
        self.vm("rm", "-f", "one")
        drawn = set()
        for name in ("two", "three", "four"):
            self.vm("restore", "-d", "--name", name, "--engine", "translator", saved)
            self.addCleanup(lambda name=name: self.vm("rm", "-f", name, check=False))
            drawn.add(self.vm("exec", name, "sh", "-c", "head -c 16 /dev/urandom | md5sum").stdout)
        self.assertEqual(3, len(drawn), drawn)


if __name__ == "__main__":
    prepare()
    main()
