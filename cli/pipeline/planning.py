"""What has to be done, and why: pure functions of what a stage was made of, is made of, and left behind.

Nothing is taken for done unless every input, model, option and the output itself are, byte for byte, those of
the record. In doubt a stage is started as it is: its own folder knows what made it, finishes at once where
nothing changed its result, goes on where it was cut, and is written over only where the record names what
changed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from seal.cli.pipeline.record import Entry

State = Literal["done", "waits", "run", "resume", "again", "replace"]


@dataclass(frozen=True)
class Decision:
    """What is to be done with a stage.

    Attributes:
        state: `done`; `run`, nothing is there; `resume`, cut or not of this run: gone on with; `again`, made
            of something else: asked, and written over if it says so; `replace`, not what it was: made anew;
            `waits`, depends on what another stage will bring (in a plan only).
        why: one line.
    """

    state: State
    why: str

    @property
    def may_replace(self) -> bool:
        """Whether an output that was made of something else may be written over."""
        return self.state in ("again", "replace")


def decide(
    entry: Entry | None, made: Mapping[str, Any], output: str | None, n_done: int | None = None
) -> Decision:
    """What to do with a stage whose inputs are all there.

    Args:
        entry: its record.
        made: what it would be made of now.
        output: hash of what stands there; None where nothing does.
        n_done: rows that a cut stage has behind it, where it can be told.
    """
    if output is None:
        return Decision("run", "its output is gone" if entry and entry.state == "done" else "not there")
    if entry is None:
        return Decision("resume", "there, but not of this run: kept if it is the same")
    changed = changes(entry.made, made)
    if entry.state == "done" and output != entry.output:
        return Decision("replace", "; ".join(["its files changed since they were written", *changed]))
    if changed:
        return Decision("again", "; ".join(changed))
    if entry.state == "done":
        return Decision("done", "same inputs, same options")
    if entry.state == "failures":
        return Decision("resume", "more of its rows failed than allowed")
    at = "before its first part" if not n_done else f"at row {n_done:,}"
    return Decision("resume", f"cut {at}" if n_done is not None else "cut")


def waits(decision: Decision, upstream: list[str]) -> Decision:
    """The decision about a stage that reads what other stages are still to write."""
    names = ", ".join(upstream)
    if not upstream or decision.state == "run":
        return Decision(decision.state, decision.why + (f", after {names}" if upstream else ""))
    why = "" if decision.state == "done" else f"; {decision.why}"
    return Decision("waits", f"run again if {names} brings something else{why}")


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What differs between two makings, a few words each: `option max-tokens changed 512 -> 256`."""
    said = []
    if before.get("seal") != now.get("seal"):
        said.append(f"seal changed {before.get('seal')} -> {now.get('seal')}")
    for kind, word in (("inputs", ""), ("models", "model "), ("options", "option "), ("facts", "")):
        old, new = before.get(kind, {}), now.get(kind, {})
        for key in sorted(old.keys() | new.keys()):
            if old.get(key) != new.get(key):
                values = (
                    f" {_show(old.get(key))} -> {_show(new.get(key))}" if kind in ("options", "facts") else ""
                )
                said.append(f"{word}{key} changed{values}")
    return said


def _show(value: Any) -> str:
    text = "unset" if value is None else str(value)
    return text if len(text) <= 60 else text[:40] + "…" + text[-12:]
