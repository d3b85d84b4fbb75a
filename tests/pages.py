"""The pages of the documentation and the commands in them."""

import re
import shlex
from pathlib import Path
from textwrap import dedent

ROOT = Path(__file__).parents[1]
PAGES = [page for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))] if page.exists()]


def blocks(page: Path, *languages: str) -> list[tuple[str, str]]:
    """Return (marker, text) of the fenced blocks in these languages; a marker is the HTML comment right above."""
    found, previous, language, lines = [], "", None, []
    for line in page.read_text(encoding="utf-8").splitlines():
        fence = line.lstrip()  # blocks within lists are indented
        if not fence.startswith("```"):
            lines.append(line)
            previous = line if language is None else previous
        elif language is None:
            language, lines = fence[3:].split(" ")[0].strip(), []
        else:
            if language in languages:
                marker = re.fullmatch(r"<!-- (.*) -->", previous)
                found.append((marker[1] if marker else "", dedent("\n".join(lines)) + "\n"))
            language, previous = None, ""
    return found


def commands(text: str) -> list[list[str]]:
    """Return the words of each command in a block, without comments, variables and redirections."""
    found = []
    for line in text.replace("\\\n", " ").splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            words = shlex.split(line, comments=True)
            while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
                words = words[1:]
            for part in split(words):
                found.append(part)
    return found


def split(words: list[str]) -> list[list[str]]:
    parts: list[list[str]] = [[]]
    for word in words:
        if word in ("&&", "|", ";"):
            parts.append([])
        elif word in (">", ">>", "2>&1"):
            break
        else:
            parts[-1].append(word)
    return [part for part in parts if part]


def plain(page: Path) -> list[str]:
    """Return blocks without a language that are commands."""
    return [text for _, text in blocks(page, "") if re.match(r"(python|snakemake|make|dvc|git) ", text)]


def inline(page: Path) -> list[str]:
    """Return the commands within sentences and tables: code that begins with one of our tools and goes on."""
    prose = re.sub(r"^ *```.*?^ *```", "", page.read_text(encoding="utf-8"), flags=re.S | re.M)
    tools = r"python -m tfcore|(?:\.venv/bin/)?snakemake|make|dvc"
    # `train …` or `--profile NAME` are patterns for the reader, not commands.
    return [
        text for text in re.findall(rf"`((?:{tools}) [^`\n]+)`", prose) if not re.search(r"…|NAME|\bN\b|[<\[|]", text)
    ]


def page_commands(page: Path) -> list[tuple[list[str], bool]]:
    """Return each command of a page and whether it is whole; one within a sentence may leave out what it needs."""
    texts = [text for _, text in blocks(page, "bash", "sh", "console")] + plain(page)
    whole = [(words, True) for text in texts for words in commands(text)]
    return whole + [(words, False) for text in inline(page) for words in commands(text)]
