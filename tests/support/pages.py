"""What a page holds: what it would fetch, what it says, and its tags."""

from __future__ import annotations

import html.parser


class Page(html.parser.HTMLParser):
    """Addresses that a browser would fetch, the text outside scripts and styles, and the tags."""

    def __init__(self, text: str):
        super().__init__()
        self.fetched: list[str] = []
        self.words: list[str] = []
        self.tags: list[str] = []
        self._tag = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self._tag = tag
        self.tags.append(tag)
        fetching = {"script": "src", "img": "src", "iframe": "src", "link": "href", "source": "src", "object": "data"}
        address = dict(attrs).get(fetching.get(tag, ""))
        if address:
            self.fetched.append(address)

    def handle_data(self, data):
        if self._tag not in ("script", "style"):
            self.words.append(data)
