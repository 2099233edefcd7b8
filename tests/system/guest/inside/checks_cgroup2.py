"""The runtime on a pure unified hierarchy."""

from harness import Container, check, expect_equal


@check
def hello():
    with Container("echo hello; exit 7") as c:
        result = c.run()
        expect_equal("output", result.out, "hello")
        expect_equal("exit status", result.code, 7)
