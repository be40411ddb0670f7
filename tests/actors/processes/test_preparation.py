"""What a process sees of the program that it belongs to: real programs, run as their users run them."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from actorq.actors.processes.preparation import check_not_preparing, paths, preparing

HEAD = """
    import os
    import sys

    import anyio

    from actorq import JobFailed, JobQueue

    queue = JobQueue()

    @queue.task(run_in="process", max_interruptions=1)
    def job() -> list[str]:
        return [__name__, *sys.argv[1:]]

    async def main() -> None:
        async with queue:
            try:
                print(*await job.run())
            except JobFailed as error:
                print(error.reason, error.message, error.traceback)
"""

GUARDED = """
    if __name__ == "__main__":
        anyio.run(main)
"""

UNGUARDED = """
    anyio.run(main)
"""


def run(folder: Path, *arguments: str, timeout: float = 60.0) -> str:
    """Run Python there, and return what it says."""
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, capture_output=True, text=True, timeout=timeout, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def write(path: Path, *parts: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join(map(textwrap.dedent, parts)), encoding="utf-8")


def test_script_is_imported_again_and_its_start_is_not(tmp_path: Path) -> None:
    write(tmp_path / "program.py", HEAD, GUARDED)
    assert run(tmp_path, "program.py", "a", "b") == "__mp_main__ a b"


def test_script_that_was_started_from_elsewhere_is_found(tmp_path: Path) -> None:
    write(tmp_path / "folder" / "neighbour.py", "NAME = 'neighbour'")
    write(tmp_path / "folder" / "program.py", "from neighbour import NAME", HEAD, GUARDED)
    assert run(tmp_path, "folder/program.py") == "__mp_main__"


def test_module_that_was_started_by_its_name_is_found(tmp_path: Path) -> None:
    write(tmp_path / "package" / "__init__.py", "")
    write(tmp_path / "package" / "program.py", HEAD, GUARDED)
    assert run(tmp_path, "-m", "package.program", "a") == "__mp_main__ a"


def test_package_that_was_started_finds_the_functions_of_its_modules(tmp_path: Path) -> None:
    write(tmp_path / "package" / "__init__.py", "")
    write(tmp_path / "package" / "jobs.py", HEAD)
    write(tmp_path / "package" / "__main__.py", "import anyio", "from package.jobs import main", "anyio.run(main)")
    assert run(tmp_path, "-m", "package") == "package.jobs"


def test_command_line_finds_the_functions_of_modules(tmp_path: Path) -> None:
    write(tmp_path / "jobs.py", HEAD)
    assert run(tmp_path, "-c", "import anyio, jobs; anyio.run(jobs.main)") == "jobs"


def test_options_of_the_interpreter_hold_in_the_process_too(tmp_path: Path) -> None:
    write(tmp_path / "program.py", HEAD.replace("__name__, *", "str(sys.flags.optimize), *"), GUARDED)
    assert run(tmp_path, "-OO", "program.py") == "2"


def test_program_that_would_run_again_in_its_processes_is_told_how_to_mend_that(tmp_path: Path) -> None:
    write(tmp_path / "program.py", HEAD, UNGUARDED)
    told = run(tmp_path, "program.py")
    assert told.startswith("bad_exit its process, before it was ready, exited with code 1")
    assert 'Put what starts the program under `if __name__ == "__main__":`' in told


def test_program_that_does_not_come_to_an_end_there_is_not_waited_for(tmp_path: Path) -> None:
    again = "if __name__ == '__mp_main__': import time; time.sleep(600)"
    impatient = "import actorq.actors.processes.run as run; run.PROCESS_START_S = 1.0"
    write(tmp_path / "program.py", again, impatient, HEAD, GUARDED)
    told = run(tmp_path, "program.py")
    assert told.startswith("bad_exit its process was ended, as it was not ready within 1 s")


def test_main_module_that_cannot_be_imported_again_is_told_of(tmp_path: Path) -> None:
    write(tmp_path / "program.py", "if __name__ == '__mp_main__': raise OSError('only once')", HEAD, GUARDED)
    told = run(tmp_path, "program.py")
    assert told.startswith("bad_exit its process, before it was ready, exited with code 1: OSError: only once")


def test_fork_of_the_program_leaves_its_processes_alone(tmp_path: Path) -> None:
    fork = """
        async def main() -> None:
            async with queue:
                print(*await job.run())
                if os.fork() == 0:
                    atexit._run_exitfuncs()
                    os._exit(0)
                assert os.wait()[1] == 0
                print(*await job.run())
                assert 2 in {idle.process.jobs for idle in queue._house.supervisor.processes._idle}

        if __name__ == "__main__":
            sys.stdout.reconfigure(line_buffering=True)
            anyio.run(main)
    """
    write(tmp_path / "program.py", "import atexit", HEAD, fork)
    assert run(tmp_path, "-W", "ignore", "program.py").splitlines() == ["__mp_main__", "__mp_main__"]


# -- in the small --------------------------------------------------------------------------------------


def test_nothing_is_started_while_the_main_module_is_imported() -> None:
    check_not_preparing()
    with preparing(), pytest.raises(RuntimeError, match="Put what starts the program under"):
        check_not_preparing()
    check_not_preparing()


def test_folder_that_is_meant_by_nothing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", ["", "/a"])
    assert paths() == [str(Path.cwd()), "/a"]
