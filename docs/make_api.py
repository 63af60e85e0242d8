"""Make `docs/api.md` again from the docstrings of everything that `import seal` offers: `make docs`."""

import ast
import inspect
import re
import textwrap
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import seal
from seal.engine.frames.schema import Schema
from seal.engine.options import Declared, Options, declared

PAGE = Path(__file__).with_name("api.md")
_SECTION = re.compile(r"^(Args|Attributes|Raises|Returns):\n((?:[ ]{4}.*\n?|\n)+)", re.MULTILINE)
_HEAD = """# `import seal`

Made from the docstrings by `make docs`; do not edit it by hand.
"""


def page(names: Iterable[str]) -> str:
    """The whole page: functions, then options, results, schemas and errors."""
    groups: dict[str, list[str]] = {
        k: [] for k in ("Functions", "Options", "Results", "Frames", "Errors", "Namespaces")
    }
    for name in names:
        group, text = _entry(name, getattr(seal, name))
        groups[group].append(f"### `seal.{name}`\n\n{text}")
    chapters = (f"## {group}\n\n" + "\n\n".join(texts) for group, texts in groups.items() if texts)
    return "\n".join((_HEAD, "\n\n".join(chapters), ""))


def _entry(name: str, value: Any) -> tuple[str, str]:
    if isinstance(value, Schema):
        return "Frames", _schema(value)
    if inspect.ismodule(value):
        return "Namespaces", inspect.getdoc(value) or ""
    if not inspect.isclass(value):
        return "Functions", f"```python\ndef {signature(value)}: ...\n```\n\n{prose(value)}"
    if issubclass(value, BaseException):
        return "Errors", prose(value)
    if issubclass(value, Options):
        return "Options", f"{prose(value, ('Raises',))}\n\n{options_table(value)}"
    return "Options" if name.endswith("Options") else "Results", prose(value)


def signature(function: Any) -> str:
    """The signature as it was written, one parameter a line where it is long."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(function)))).body[0]
    assert isinstance(tree, ast.FunctionDef)
    returns = f" -> {ast.unparse(tree.returns)}" if tree.returns else ""
    parts = _parameters(tree.args)
    line = f"{tree.name}({', '.join(parts)}){returns}"
    if len(line) <= 90:
        return line
    return f"{tree.name}(\n" + "".join(f"    {part},\n" for part in parts) + f"){returns}"


def _parameters(args: ast.arguments) -> list[str]:
    """Each parameter with its annotation and default, `*` where keywords begin."""
    positional = args.posonlyargs + args.args
    defaults = [None] * (len(positional) - len(args.defaults)) + list(args.defaults)
    found = [_parameter(a, d) for a, d in zip(positional, defaults, strict=True)]
    if args.vararg is not None:
        found.append("*" + _parameter(args.vararg, None))
    elif args.kwonlyargs:
        found.append("*")
    found += [_parameter(a, d) for a, d in zip(args.kwonlyargs, args.kw_defaults, strict=True)]
    return [*found, "**" + _parameter(args.kwarg, None)] if args.kwarg is not None else found


def _parameter(arg: ast.arg, default: ast.expr | None) -> str:
    return ast.unparse(arg) + (f" = {ast.unparse(default)}" if default else "").replace("'", '"')


def prose(value: Any, sections: Iterable[str] = ("Args", "Attributes", "Returns", "Raises")) -> str:
    """A docstring as Markdown: what stands before its sections, then those that are wanted as lists."""
    doc = inspect.getdoc(value) or ""
    wanted = tuple(sections)
    first = _SECTION.search(doc)
    parts = [doc[: first.start()].strip() if first else doc.strip()]
    for match in _SECTION.finditer(doc):
        if match[1] in wanted:
            parts.append(f"{match[1]}:\n\n{_items(textwrap.dedent(match[2]).strip(), match[1])}")
    return "\n\n".join(parts)


def _items(text: str, section: str) -> str:
    """The entries of a section; an indented line goes on with the one before."""
    if section == "Returns":
        return text
    joined = re.sub(r"\n\s+", " ", text)
    return "\n".join(re.sub(r"^([\w, *]+): ", r"- `\1`: ", line) for line in joined.splitlines())


def options_table(options: type[Options]) -> str:
    """Every option that a class declares: name, type, default, help."""
    rows = ["| option | type | default | what |", "| --- | --- | --- | --- |"]
    for known in declared(options):
        default = "required" if known.required else f"`{known.default!r}`"
        rows.append(f"| `{known.name}` | {_cell(_kind(known))} | {default} | {_cell(known.words.help)} |")
    return "\n".join(rows)


def _kind(known: Declared) -> str:
    one = ", ".join(f"`{c}`" for c in known.choices) or f"`{known.kind.__name__}`"
    return f"several of {one}" if known.many else one


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", r"\|")


def _schema(schema: Schema) -> str:
    rows = ["| column | type | part of the key |", "| --- | --- | --- |"]
    for name, kind in schema.types.items():
        rows.append(f"| `{name}` | {_cell(str(kind))} | {'yes' if name in schema.key else ''} |")
    return "\n".join(rows)


if __name__ == "__main__":
    PAGE.write_text(page(seal.__all__), encoding="utf-8")
