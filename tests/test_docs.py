"""Every Python block in the README and the docs runs, each page from top to bottom."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_snippets_of_the_page_run(page: Path) -> None:
    text = page.read_text()
    names: dict[str, object] = {"__name__": "snippet"}
    for match in BLOCK.finditer(text):
        # The lines before the block keep its line numbers those of the page.
        lines = text[: match.start(1)].count("\n")
        exec(compile("\n" * lines + match[1], str(page), "exec"), names)
    for name, function in list(names.items()):
        if name.startswith("test_") and callable(function):
            function()


@pytest.mark.parametrize("page", [*PAGES, ROOT / "ARCHITECTURE.md"], ids=lambda page: page.name)
def test_every_link_of_the_page_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)", page.read_text()):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), target
