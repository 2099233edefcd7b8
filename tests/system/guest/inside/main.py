"""Entry in the guest: runs the checks of one kind and reports on the second serial line."""

import importlib
import json
import os
import pathlib
import sys
import traceback

import harness


def main(kind):
    settings = json.loads((pathlib.Path(__file__).parent / "settings.json").read_text())
    harness.configure(settings["runtime"], systemd=kind == "systemd")
    with open("/dev/ttyS1", "w", encoding="utf-8", opener=_tty) as line:
        try:
            import checks_common  # noqa: F401
            importlib.import_module(f"checks_{kind}")
            if kind == "cgroup2":
                import checks_criu  # noqa: F401
            harness.run_all(settings["only"], lambda text: print(text, file=line, flush=True))
        except BaseException:
            line.write(traceback.format_exc())
            raise


def _tty(path, flags):
    return os.open(path, flags & ~(os.O_CREAT | os.O_TRUNC) | os.O_NOCTTY | os.O_CLOEXEC)


if __name__ == "__main__":
    main(sys.argv[1])
