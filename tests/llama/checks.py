"""What run.py tries, and its report."""

import json
import time
from pathlib import Path
from typing import Any, Callable, Optional

import grpc
from processes import Llama, Semroute

# An answer that nobody would wait for: it ends only if it is cut off.
ENDLESS = {"max_output_tokens": 3000, "provider_options": {"ignore_eos": True}}

ROUTES = {
    "maths": ("Calculation, equations and proofs.", ["what is 12 times 17", "solve 3x + 5 = 20", "derivative of x^3"]),
    "cooking": ("Recipes and questions of the kitchen.", ["how long do I boil an egg", "recipe for tomato soup"]),
    "translation": ("A text in another language.", ["translate good morning into French", "Spanish for umbrella"]),
}
PROMPTS = [
    "what is 7 times 8?",
    "How do I make an omelette?",
    "What is the German word for bread?",
    "Is 91 a prime number?",
    "which spices go into a curry",
    "say thank you in Japanese",
    "Who painted the Mona Lisa?",
    "my car does not start",
]
# What the LLM stage is made to go through: more of `[llm]`, and the outcome that is certain (None: the model decides).
LLM_CASES = [
    ("as one would configure it", 'provider = "llama"\ntimeout = "60s"', None),
    ("answers cut off after 8 tokens", 'provider = "llama"\ntimeout = "60s"\nmax_output_tokens = 8', "NO_VERDICT"),
    ("1 ms of patience", 'provider = "llama"\ntimeout = "1ms"', "TIMEOUT"),
    ("a provider that is not there", 'provider = "nobody"', "ERROR"),
]
# Outcomes after which the LLM's word holds, and those after which the set's policy does.
BY_LLM = {"VERDICT", "NONE_APPLIES"}
BY_POLICY = {"NO_VERDICT", "TIMEOUT", "ERROR"}


class Report:
    def __init__(self) -> None:
        self.failed = 0

    def part(self, title: str) -> None:
        say(f"\n{title}")

    def fact(self, text: str) -> None:
        say(f"          {text}")

    def check(self, holds: bool, what: str) -> None:
        self.failed += not holds
        say(f"  {'ok' if holds else 'FAILED':8}{what}")


def say(text: str) -> None:
    print(text, flush=True)


def short(text: str, limit: int = 150) -> str:
    line = " ".join(text.split())
    return line if len(line) <= limit else line[:limit] + " ..."


def write_reference_set(folder: Path) -> None:
    small = folder / "reference-prompts" / "small"
    small.mkdir(parents=True, exist_ok=True)
    # No prompt is as similar as this bound wants it: the neighbours are always unsure.
    text = "description = 'A few routes.'\n[policy]\nmin_similarity = 1.0\nmin_margin = 1.0\n"
    for route, (description, prompts) in ROUTES.items():
        text += f"[routes.{route}]\ndescription = {json.dumps(description)}\n"
        lines = [json.dumps({"text": prompt}) + "\n" for prompt in prompts]
        (small / f"{route}.jsonl").write_text("".join(lines))
    (small / "set.toml").write_text(text)


def llm_stage(report: Report, title: str, certain: Optional[str], semroute: Semroute) -> None:
    report.part(f"LLM stage: {title}")
    answers = {}
    for prompt in PROMPTS:
        decision = semroute.route(prompt)["decision"]
        answers.setdefault(decision["llm"].replace("LLM_OUTCOME_", ""), []).append((prompt, decision))
    for outcome, decided in sorted(answers.items()):
        prompt, decision = decided[0]
        route = decision.get("route", "no route")
        report.fact(f"{len(decided)} x {outcome}, for example {prompt!r}: {route}, {decision['reason']}")
    if certain:
        report.check(set(answers) == {certain}, f"each time the outcome is {certain}")
    else:
        report.check(set(answers) <= BY_LLM | BY_POLICY, "every prompt went to the LLM stage")
        report.check(bool(set(answers) & BY_LLM), "some answers are verdicts")
    for outcome, decided in answers.items():
        stage = "STAGE_LLM" if outcome in BY_LLM else "STAGE_BEST_GUESS"
        report.check(all(decision["stage"] == stage for _, decision in decided), f"{outcome} leads to {stage}")


def complete(report: Report, semroute: Semroute) -> None:
    report.part("Complete")
    answer = semroute.complete("The capital of France is", max_output_tokens=24, temperature=0.0)
    served = answer["served"]
    report.fact(f"text: {short(answer['text'])!r}")
    report.fact(f"served: {json.dumps({key: value for key, value in served.items() if key != 'attempts'})}")
    report.check(bool(answer["text"].strip()), "there is text")
    report.check(served["actual_provider"] == "llama" and served["actual_region"] == "here", "it says who answered")
    report.check(int(served["usage"]["output_tokens"]) <= 24, "max_output_tokens holds")
    schema = {"type": "object", "properties": {"capital": {"enum": ["Paris", "Rome"]}}, "required": ["capital"]}
    asked = {"response_schema": {"schema": schema}, "max_output_tokens": 60}
    answer = semroute.complete("Name the capital of France as JSON.", **asked)
    report.fact(f"with a schema: {short(answer['text'])!r}")
    report.check(json.loads(answer["text"]).get("capital") in ("Paris", "Rome"), "response_schema holds")


def stream(report: Report, semroute: Semroute) -> None:
    report.part("CompleteStream")
    begun = time.monotonic()
    first_text = None
    events = []
    for event in semroute.stream("Tell me a story about a fox.", max_output_tokens=64, seed=1):
        events.append(event)
        if "text" in event and first_text is None:
            first_text = time.monotonic() - begun
    pieces = [event["text"] for event in events if "text" in event]
    report.fact(f"{len(pieces)} pieces, the first after {(first_text or 0) * 1e3:.0f} ms: {short(''.join(pieces))!r}")
    kinds = [next(iter(event)) for event in events]
    report.check(kinds == ["decision", *["text"] * len(pieces), "served"], "a decision, then text, then who served")
    report.check(len(pieces) > 10, "the text comes in pieces")


def cancelled_stream(report: Report, semroute: Semroute, llama: Llama) -> None:
    report.part("A stream that the caller cancels")
    events = semroute.stream("Count to ten thousand.", **ENDLESS)
    read_pieces(events, 5)
    busy = llama.busy_slots()
    report.check(len(busy) == 1, "the provider is at work on it after five pieces")
    begun = time.monotonic()
    events.close()
    llama.until("idle", lambda: not llama.busy_slots())
    report.fact(f"the provider was idle {time.monotonic() - begun:.1f} s after the cancellation")
    report.check(all(llama.was_cut_off(slot) for slot in busy), "it was stopped in the middle of the answer")


def broken_stream(report: Report, semroute: Semroute, llama: Llama) -> None:
    report.part("A provider that is killed in the middle of a stream")
    events = semroute.stream("Count to ten thousand.", **ENDLESS)
    read_pieces(events, 5)
    llama.kill()
    failure(report, semroute, lambda: list(events), "the stream", "BROKEN_STREAM")
    failure(report, semroute, lambda: semroute.complete("Hello"), "the next Complete", "ALL_TARGETS_FAILED")
    decision = semroute.route("Is 97 a prime number?")["decision"]
    report.fact(f"Route, which wants the LLM: {decision['route']}, {decision['reason']}")
    report.check(decision["llm"] == "LLM_OUTCOME_ERROR", "Route still decides")


def read_pieces(events: Any, count: int) -> None:
    while count > 0:
        count -= "text" in next(events)


def failure(report: Report, semroute: Semroute, call: Callable[[], Any], what: str, reason: str) -> None:
    try:
        call()
    except grpc.RpcError as error:
        report.check(error.code() is grpc.StatusCode.UNAVAILABLE, f"{what} ends with {error.code().name}")
        report.fact(error.details())
        details = semroute.details(error)
        told = details.get("google.rpc.ErrorInfo", b"")
        report.check(reason.encode() in told, f"the reason for programs is {reason}")
        attempts = semroute.decode("semroute.v1.AttemptsDetail", details)["attempts"]
        report.fact(f"attempts: {json.dumps(attempts)}")
        report.check(attempts[-1]["target"]["name"] == "gemma" and bool(attempts[-1]["message"]), "the attempt is told")
    else:
        report.check(False, f"{what} fails")


def drive(semroute: Path, models: Path, llama_server: Path, model: Path, folder: Path) -> Report:
    """Everything, with logs and stores in `folder`."""
    write_reference_set(folder)
    report = Report()
    with Llama(llama_server, model, folder) as llama:
        for title, llm, certain in LLM_CASES:
            with Semroute(semroute, models, llama.port, llm, folder) as running:
                llm_stage(report, title, certain, running)
        with Semroute(semroute, models, llama.port, LLM_CASES[0][1], folder) as running:
            complete(report, running)
            stream(report, running)
            cancelled_stream(report, running, llama)
            broken_stream(report, running, llama)
            report.part("The end")
            report.check(running.stop() == 0, "semroute ends in order on SIGTERM")
    return report
