"""The processes of run.py: started with a configuration, and ended however the work ends."""

import atexit
import json
import re
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any, Callable

from google.protobuf.json_format import MessageToDict
from google.protobuf.message_factory import GetMessageClass
from reflection_client import Server

ROUTER = "semroute.v1.RouterService"
# Until something is up, or has become idle. Generous: nothing here is a claim about speed.
PATIENCE = 180.0


class Process:
    """A process of ours with its output in a file. It ends with its `with` block, or else with this program."""

    def __init__(self, name: str, command: list[str], folder: Path) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        with self.log.open("w") as log:
            self.running = subprocess.Popen(command, cwd=folder, stdout=log, stderr=subprocess.STDOUT)
        atexit.register(self.stop)

    def __enter__(self) -> "Process":
        return self

    def __exit__(self, *_: Any) -> None:
        self.stop()

    def stop(self) -> int:
        if self.running.poll() is None:
            self.running.terminate()
            try:
                self.running.wait(timeout=30)
            except subprocess.TimeoutExpired:
                self.kill()
        return self.running.returncode

    def kill(self) -> None:
        self.running.kill()
        self.running.wait()

    def until(self, what: str, ready: Callable[[], Any]) -> Any:
        """Waits for `ready` to return something true."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            if self.running.poll() is not None:
                sys.exit(f"{self.name} ended with {self.running.returncode}:\n{self.log.read_text()[-2000:]}")
            found = ready()
            if found:
                return found
            time.sleep(0.2)
        sys.exit(f"{self.name}: not {what} within {PATIENCE:.0f} s; see {self.log}")


class Llama(Process):
    def __init__(self, binary: Path, model: Path, folder: Path) -> None:
        self.port = free_port()
        # Two answers at a time, each with a context of its own; /slots shows them.
        sizes = ["--parallel", "2", "--ctx-size", "8192", "--threads", "2", "--slots"]
        command = [str(binary), "--model", str(model), "--host", "127.0.0.1", "--port", str(self.port), *sizes]
        super().__init__("llama-server", command, folder)
        self.until("ready", self.is_ready)

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=60) as answer:
            return json.load(answer)

    def is_ready(self) -> bool:
        try:
            return bool(self.get("/health"))
        except OSError:
            return False

    def busy_slots(self) -> list[int]:
        return [slot["id"] for slot in self.get("/slots") if slot["is_processing"]]

    def was_cut_off(self, busy: int) -> bool:
        """Whether the slot, now idle, would have had more to say: an answer that is over has no next token."""
        tokens = [token for slot in self.get("/slots") if slot["id"] == busy for token in slot["next_token"]]
        return any(token["has_next_token"] for token in tokens)


class Semroute(Process):
    def __init__(self, binary: Path, models: Path, llama_port: int, llm: str, folder: Path) -> None:
        (folder / "semroute.toml").write_text(configuration(models, llama_port, llm))
        super().__init__("semroute", [str(binary), "serve", "--listen", "127.0.0.1:0"], folder)
        said = self.until("listening", lambda: re.search(r"Listening on (\S+)", self.log.read_text()))
        self.server = Server(said.group(1), timeout=PATIENCE)

    def route(self, prompt: str) -> dict[str, Any]:
        return self.server.call(ROUTER, "Route", {"input": {"text": prompt}})

    def complete(self, prompt: str, **more: Any) -> dict[str, Any]:
        return self.server.call(ROUTER, "Complete", completion(prompt, more))

    def stream(self, prompt: str, **more: Any) -> Any:
        return self.server.stream(ROUTER, "CompleteStream", completion(prompt, more))

    def details(self, error: Any) -> dict[str, bytes]:
        """The google.rpc details of an error, by the name of their type."""
        raw = dict(error.trailing_metadata())["grpc-status-details-bin"]
        status = self._message("google.rpc.Status").FromString(raw)
        return {detail.type_url.rpartition("/")[2]: detail.value for detail in status.details}

    def decode(self, name: str, details: dict[str, bytes]) -> dict[str, Any]:
        message = self._message(name).FromString(details[name])
        return MessageToDict(message, preserving_proto_field_name=True)

    def _message(self, name: str) -> Any:
        return GetMessageClass(self.server.pool.FindMessageTypeByName(name))


def completion(prompt: str, more: dict[str, Any]) -> dict[str, Any]:
    # What is tried is the dispatch: the LLM stage has its own part.
    return {"input": {"text": prompt}, "options": {"allow_llm": False}, **more}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def configuration(models: Path, llama_port: int, llm: str) -> str:
    return f"""
models_dir = {json.dumps(str(models))}
default_set = "small"

[llm]
model = "gemma"
{llm}

[[providers]]
name = "llama"
kind = "openai"
base_url = "http://127.0.0.1:{llama_port}/v1"

[[providers]]
name = "nobody"
kind = "openai"
base_url = "http://127.0.0.1:{free_port()}/v1"

[[targets]]
name = "gemma"
provider = "llama"
model = "gemma"
region = "here"
"""
