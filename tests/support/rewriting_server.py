"""A server that speaks OpenAI's API and rewrites dialogues: well, or badly where the dialogue says so.

A dialogue that holds `[word]` for one of `BAD` is answered so; `[once word]` only the first time it is asked
for. Anything else comes back with some words changed for others, which ones depending on the seed. A response
alone that is to have a value ends with `So VALUE.` then.
"""

import json
import random
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_SYNONYMS = {
    "good": ("fine", "nice"),
    "like": ("love", "enjoy"),
    "big": ("large", "huge"),
    "said": ("told", "put"),
}
_AIM = re.compile(r"the right answer is: (\S+)\. ")
_WISH = re.compile(r"\[(once )?([a-z ]+)\]")
GERMAN = (
    "Human: Kannst du mir sagen, wie man das am besten macht, wenn man keine Zeit hat?\n\n"
    "Assistant: Natürlich kann ich dir das sagen, aber du musst mir erst erklären, was du genau vorhast."
)
_OTHER = {"Human:": "Assistant:", "Assistant:": "Human:"}
RUSSIAN = "Human: Скажи мне, пожалуйста, как это делается.\n\nAssistant: Конечно, я сейчас расскажу."

BAD: dict[str, Callable[[str], str]] = {
    "empty": lambda text: "",
    "same": lambda text: f"\n{text.replace('. ', '.  ')}\n",
    "preamble": lambda text: f"Sure! Here is the rewritten dialogue:\n\n{text}",
    "swapped": lambda text: re.sub("(Human|Assistant):", lambda m: _OTHER[m.group()], text),
    "extra": lambda text: f"{text}\n\nHuman: Thanks!\n\nAssistant: You are welcome.",
    "missing": lambda text: text.partition("\n\nAssistant:")[0],
    "one line": lambda text: text.replace("\n\n", "\n"),
    "hollow": lambda text: text[: text.rindex("Assistant:")] + "Assistant:",
    "cut": lambda text: text[: len(text) // 2],
    "filtered": lambda text: "",
    "short": lambda text: "Human: Hm?\n\nAssistant: No.",
    "long": lambda text: text + " and so on" * len(text),
    "marks": lambda text: "\n".join(f"| {line}" for line in text.split("\n")),
    "german": lambda text: GERMAN,
    "russian": lambda text: RUSSIAN,
}  # fmt: skip
CODES = {
    "empty": "empty", "same": "identical", "preamble": "no_human_turn", "swapped": "turns_changed",
    "extra": "turns_changed", "missing": "turns_changed", "one line": "turns_changed", "hollow": "empty_turn",
    "cut": "cut", "filtered": "refused", "short": "length_changed", "long": "length_changed",
    "marks": "marks", "german": "other_language", "russian": "other_language",
}  # fmt: skip
"""The code with which each of them is to be refused."""


class Server:
    """What was asked, and how long to think; `url` is set when it runs."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.times: Counter[str] = Counter()
        self.delay_s = 0.0
        self.url = ""

    def answer(self, body: dict[str, Any]) -> tuple[str, str]:
        """The text of an answer and why it ended."""
        message = body["messages"][0]["content"]
        self.asked.append(body)
        alone = "The assistant's last response:" in message
        text = "\n".join(line[2:] for line in message.split("\n") if line.startswith("> " if alone else "| "))
        self.times[text] += 1
        wish = _WISH.search(text)
        if wish and not (wish.group(1) and self.times[text] > 1):
            stop = {"cut": "length", "filtered": "content_filter"}.get(wish.group(2), "stop")
            return BAD[wish.group(2)](text), stop
        aim = _AIM.search(message)
        said = reworded(re.sub(r" So \S+\.$", "", text) if aim else text, body["seed"])
        return f"{said} So {aim.group(1)}." if aim else said, "stop"


def reworded(text: str, seed: int) -> str:
    """The text with each word that has synonyms changed for one of them."""
    rng = random.Random(seed)
    return re.sub(r"[a-z]+", lambda m: rng.choice(_SYNONYMS.get(m.group(), (m.group(),))), text)


@contextmanager
def serving() -> Iterator[Server]:
    """Run it on a free port of the loopback interface."""
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.reply({"data": [{"id": "words/rewriter-7b"}]})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            threading.Event().wait(state.delay_s)
            text, stop = state.answer(body)
            usage = {"prompt_tokens": 50, "completion_tokens": 20}
            self.reply({"choices": [{"finish_reason": stop, "message": {"content": text}}], "usage": usage})

        def reply(self, document: dict[str, Any]) -> None:
            data = json.dumps(document).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            try:
                self.wfile.write(data)
            except ConnectionError:
                self.close_connection = True

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        state.url = f"http://127.0.0.1:{server.server_port}/v1"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield state
        finally:
            server.shutdown()
            thread.join()
