"""Tables of HTML, read back."""

from html.parser import HTMLParser


class Cells(HTMLParser):
    """Headings and cells, in order, with their text."""

    def __init__(self, html):
        """Read it."""
        super().__init__()
        self.found = []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        """Begin a cell."""
        if tag in ("h4", "td", "th"):
            self.found.append((tag, ""))

    def handle_data(self, text):
        """Go on with it."""
        tag, before = self.found[-1]
        self.found[-1] = tag, before + text

    def of(self, tag):
        """The texts of one kind of cell."""
        return [text for name, text in self.found if name == tag]
