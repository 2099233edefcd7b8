"""The runtime with the systemd cgroup driver, systemd being PID 1."""

from harness import Container, check, expect_equal, expect_in


@check
def hello():
    with Container("echo hello; exit 7") as c:
        result = c.run()
        expect_equal("output", result.out, "hello")
        expect_equal("exit status", result.code, 7)


@check
def debug():
    import subprocess
    with Container("echo ready; sleep 1000", {"memory": {"limit": 64 << 20}}) as c:
        c.start()
        out = str(c.cgroup()) + subprocess.run("systemctl --failed; systemctl list-units; systemctl list-jobs;  systemctl status --no-pager; systemd-analyze; ls -la /run/systemd /run/dbus", shell=True, capture_output=True, text=True).stdout
        expect_equal("x", out, "")
