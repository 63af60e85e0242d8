"""An HTML page taken apart with the standard library's parser, for tests of the report."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser

_VOID = frozenset(("meta", "wbr", "br", "hr", "img", "link", "input", "base", "embed", "source"))


@dataclass
class Element:
    """One element, its attributes and what is inside: elements and text in order."""

    tag: str
    attributes: dict[str, str]
    inside: list["Element | str"] = field(default_factory=list)

    def all(self) -> Iterator["Element"]:
        """This element and every one below it, in document order."""
        yield self
        for child in self.inside:
            if isinstance(child, Element):
                yield from child.all()

    def find(self, tag: str, **attributes: str) -> list["Element"]:
        """Elements below with this tag and these attributes (`class_` for `class`)."""
        wanted = {k.rstrip("_"): v for k, v in attributes.items()}
        return [
            e for e in self.all()
            if e.tag == tag and all(e.attributes.get(k) == v for k, v in wanted.items())
        ]  # fmt: skip

    @property
    def text(self) -> str:
        """All text inside, in order."""
        return "".join(c if isinstance(c, str) else c.text for c in self.inside)

    def skeleton(self, leave: frozenset[str] = frozenset()) -> tuple[object, ...]:
        """The shape of the tree: tags alone, without `wbr` and what has a tag or class of `leave`."""
        kept = [
            e.skeleton(leave) for e in self.inside
            if isinstance(e, Element) and e.tag != "wbr" and not leave & {e.tag, e.attributes.get("class")}
        ]  # fmt: skip
        return (self.tag, *kept)


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Element("root", {})
        self.open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {k: v or "" for k, v in attrs})
        self.open[-1].inside.append(element)
        if tag not in _VOID:
            self.open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open[-1].inside.append(Element(tag, {k: v or "" for k, v in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open[-1].tag == tag, f"</{tag}> ends {self.open[-1].tag}"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.open[-1].inside.append(data)

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data[:80]}")


def parse(html: str) -> Element:
    """The tree of a page; every element must be closed where it was opened."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    assert reader.open == [reader.root], f"never closed: {[e.tag for e in reader.open[1:]]}"
    return reader.root


def section(page: Element, key: str) -> Element:
    """The chapter of this key."""
    (found,) = page.find("section", id=key)
    return found


def dead(page: Element) -> None:
    """Nothing runs, nothing is loaded, nothing leads out of the page."""
    forbidden = {
        "script", "link", "img", "iframe", "object", "embed", "base", "form", "input", "video", "audio",
        "foreignobject", "image", "animate", "set", "template", "dialog", "button", "style",
    }  # fmt: skip
    tags = [e for e in page.all() if e.tag in forbidden]
    assert [e.tag for e in tags] == ["style"]
    assert "url(" not in tags[0].text
    assert "@import" not in tags[0].text
    for element in page.all():
        for name, value in element.attributes.items():
            assert not name.startswith("on"), (element.tag, name)
            assert name not in ("src", "srcset", "data-payload", "action", "ping", "xlink:href", "srcdoc")
            assert name != "href" or value.startswith("#"), value
            assert "://" not in value
            assert all(r.startswith("#") for r in re.findall(r"url\(([^)]*)\)", value)), value
