"""Code in the docs runs: the ```python blocks of one page, in their order, are one script.

Each block continues the one before it, as a reader would type them. Blocks of other kinds (console,
text, toml) are not run. Every line keeps its number, so a traceback points into the page.
"""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 60


def script_of(page: str) -> str:
    """Return the Python blocks of a page of Markdown as one script, all else as blank lines."""
    script: list[str] = []
    block: list[str] = []
    fence = ""
    for line in page.splitlines():
        text = line.strip()
        if fence and text == "```":
            if fence == "```python":
                script += textwrap.dedent("\n".join(block)).split("\n") if block else []
            else:
                script += [""] * len(block)
            script.append("")
            fence, block = "", []
        elif fence:
            block.append(line)
        else:
            fence = text if text.startswith("```") else ""
            script.append("")
    return "\n".join(script)


def pages() -> list[Path]:
    """Return the pages that have something to run."""
    found = [*ROOT.glob("README.md"), *sorted(ROOT.glob("docs/**/*.md"))]
    return [page for page in found if script_of(page.read_text(encoding="utf-8")).strip()]


@pytest.mark.parametrize("page", [pytest.param(p, id=str(p.relative_to(ROOT))) for p in pages()])
def test_the_code_of_the_page_runs(page: Path, tmp_path: Path):
    script = tmp_path / page.with_suffix(".py").name
    script.write_text(script_of(page.read_text(encoding="utf-8")), encoding="utf-8")
    subprocess.run([sys.executable, script], cwd=tmp_path, timeout=TIMEOUT_S, check=True)


PAGE = """\
# A page

```python
x = 1
```

```console
$ make demo
```

1. In a list:

   ```python
   if x:

       y = 2
   ```
"""


def test_a_page_becomes_a_script_whose_lines_keep_their_numbers():
    lines = {number: line for number, line in enumerate(script_of(PAGE).split("\n"), 1) if line}
    assert lines == {4: "x = 1", 14: "if x:", 16: "    y = 2"}


def test_a_page_without_python_has_nothing_to_run():
    assert not script_of("```toml\nx = 1\n```\n").strip()
