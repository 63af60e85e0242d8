"""Models behind a real server whose answers are valid and say nothing, as small labelers' do."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from seal.engine.generation.contract import Answer
from seal.engine.labeling.prompts import NO, YES
from tests.support.servers import completion


@dataclass(frozen=True)
class Sayer:
    """Says the same of every text, by either protocol the last value of an enum, and lists that name nothing.

    Attributes:
        json: what every boolean is under a schema.
        choice: and where it may only choose.
        logprobs: whether the server gives any.
    """

    json: bool = True
    choice: bool = True
    logprobs: bool = True

    def reply(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """The body of a completion."""
        if body.get("logprobs"):
            message = body["messages"][0]["content"]
            of_boolean = message.rstrip().endswith(f"Answer {YES} or {NO}.")
            word = (YES if self.choice else NO) if of_boolean else _last_letter(message)
            made = completion(Answer(word))
            if self.logprobs:
                said = {"token": word, "logprob": -0.1}
                made["choices"][0]["logprobs"] = {"content": [{**said, "top_logprobs": [said]}]}
            return made
        schema = body["response_format"]["json_schema"]["schema"]["properties"]
        return completion(Answer(json.dumps({name: self._value(how) for name, how in schema.items()})))

    def _value(self, how: Mapping[str, Any]) -> Any:
        if how["type"] == "boolean":
            return self.json
        return [] if how["type"] == "array" else how["enum"][-1]


def _last_letter(message: str) -> str:
    """Of the values that are offered, one a line: the last, which ends a list."""
    return [line[0] for line in message.splitlines() if re.match("[A-Z] ", line)][-1]
