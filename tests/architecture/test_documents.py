"""Documents keep their promises: links lead somewhere, commands exist, decisions are listed.

Why: a reader who meets one dead link stops trusting the other pages.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click

from interplay.cli.main import cli
from tests.architecture.conftest import MakeTree
from tests.architecture.source_tree import ROOT, SourceTree, expect_none

LINK = re.compile(r"(?<!!)\[[^\]\n]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
TARGET = re.compile(r"(?:^|[`\s(])make ([a-z][a-z0-9-]*)")


def documents(tree: SourceTree) -> dict[str, str]:
    return {path: text for path, text in tree.text_files() if path.endswith(".md")}


def anchor(heading: str) -> str:
    """As forges make it: lower case, no punctuation, dashes for spaces."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")


def anchors(text: str) -> set[str]:
    return {anchor(heading) for heading in re.findall(r"^#+ (.+)$", FENCE.sub("", text), re.MULTILINE)}


def dead_links(tree: SourceTree) -> list[str]:
    found = []
    for path, text in documents(tree).items():
        for link in LINK.findall(FENCE.sub("", text)):
            if "://" in link or link.startswith("mailto:"):
                continue
            file, _, fragment = link.partition("#")
            target = (tree.root / path).parent / file if file else tree.root / path
            if not target.exists():
                found.append(f"{path}: links to {link}, which is not there")
            elif fragment and target.suffix == ".md" and fragment not in anchors(target.read_text(encoding="utf-8")):
                found.append(f"{path}: links to {link}, where no heading is called so")
    return found


def targets(makefile: str) -> set[str]:
    return set(re.findall(r"^([a-z][a-z0-9-]*):", makefile, re.MULTILINE))


def code_of(text: str) -> str:
    """What a document shows as code: prose may say "make sure"."""
    return "\n".join([*FENCE.findall(text), *re.findall(r"`[^`\n]+`", FENCE.sub("", text))])


def unknown_targets(tree: SourceTree) -> list[str]:
    known = targets((tree.root / "Makefile").read_text(encoding="utf-8"))
    return [
        f"{path}: says `make {name}`, but the Makefile has no such target"
        for path, text in documents(tree).items()
        for name in sorted(set(TARGET.findall(code_of(text))) - known)
    ]


def decisions(root: Path) -> list[Path]:
    return sorted((root / "docs" / "adr").glob("[0-9]*.md"))


def missing_files(tree: SourceTree) -> list[str]:
    """Python files that the map names, and that are nowhere in the package or the tests."""
    text = (tree.root / "ARCHITECTURE.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`([\w/]+\.py)`", text))
    there = [path for path in tree.paths if path.endswith(".py")]
    return [
        f"ARCHITECTURE.md: names {name}, which is not there"
        for name in sorted(named)
        if not any(f"/{path}".endswith(f"/{name}") for path in there)
    ]


def invocations(text: str) -> list[list[str]]:
    """Each `interplay ...` that a document shows in a shell block, as arguments."""
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("interplay ")]


def wrong_usage(arguments: list[str]) -> str | None:
    """What the command would say to these arguments, or None. Nothing is run."""
    group: click.Command = cli
    context = click.Context(cli, info_name="interplay")
    try:
        while isinstance(group, click.Group):
            _, rest, _ = group.make_parser(context).parse_args(list(arguments))  # options before the command's name
            name, found, arguments = group.resolve_command(context, rest)
            assert found is not None
            group, context = found, click.Context(found, context, name)
        group.make_context(context.info_name, list(arguments))
    except click.MissingParameter as wrong:
        return wrong.format_message()
    except click.BadParameter:
        return None  # a placeholder such as FLOW.yaml stands where a file must be
    except click.UsageError as wrong:
        return wrong.format_message()
    return None


def wrong_commands(tree: SourceTree) -> list[str]:
    return [
        f"{path}: shows `interplay {' '.join(arguments)}`: {wrong}"
        for path, text in documents(tree).items()
        if path != "docs/reference/commands.md"
        for arguments in invocations(text)
        if (wrong := wrong_usage(arguments))
    ]


class TestDocuments:
    def test_their_links_lead_somewhere(self, tree: SourceTree) -> None:
        expect_none(dead_links(tree))

    def test_the_make_targets_they_name_exist(self, tree: SourceTree) -> None:
        expect_none(unknown_targets(tree))


class TestCommandsInDocuments:
    def test_they_are_commands_that_exist(self, tree: SourceTree) -> None:
        assert invocations((ROOT / "docs" / "quickstart.md").read_text(encoding="utf-8"))
        expect_none(wrong_commands(tree))


class TestMap:
    def test_the_files_it_names_exist(self, tree: SourceTree) -> None:
        expect_none(missing_files(tree))


class TestMakefile:
    def test_the_list_of_targets_has_every_target(self) -> None:
        makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
        listed = set(re.findall(r"^([a-z][a-z0-9-]*):.*## \S", makefile, re.MULTILINE))
        assert targets(makefile) - listed == {"setup"}
        assert {"demo", "up", "check", "test", "e2e", "bench", "client"} <= listed


class TestDecisions:
    def test_each_is_listed(self) -> None:
        index = (ROOT / "docs" / "adr" / "README.md").read_text(encoding="utf-8")
        assert decisions(ROOT)
        expect_none([f"{page.name} is not in docs/adr/README.md" for page in decisions(ROOT) if page.name not in index])

    def test_each_has_the_sections_of_the_template(self) -> None:
        wanted = re.findall(r"^## .+$", (ROOT / "docs" / "adr" / "template.md").read_text(), re.MULTILINE)
        expect_none(
            [
                f"{page.name} has no section {section!r}"
                for page in decisions(ROOT)
                for section in wanted
                if section not in page.read_text(encoding="utf-8")
            ]
        )

    def test_their_numbers_have_no_gap(self) -> None:
        numbers = [int(page.name[:4]) for page in decisions(ROOT)]
        assert numbers == list(range(1, len(numbers) + 1))


class TestTheseRulesCanFail:
    def test_a_dead_link_and_a_dead_anchor_are_found(self, made_up: MakeTree) -> None:
        tree = made_up({"a.md": "[x](b.md) [y](c.md#there) [z](c.md#here) [w](https://a.b)", "c.md": "# Here"})
        assert len(dead_links(tree)) == 2

    def test_links_inside_code_are_not_links(self, made_up: MakeTree) -> None:
        assert not dead_links(made_up({"a.md": "```\n[x](b.md)\n```\n"}))

    def test_a_file_that_is_gone_is_found(self, made_up: MakeTree) -> None:
        tree = made_up({"ARCHITECTURE.md": "see `core/a.py` and `core/b.py`", "src/interplay/core/a.py": ""})
        assert len(missing_files(tree)) == 1

    def test_a_wrong_command_is_found(self) -> None:
        assert wrong_usage(["runs", "list"]) is None
        assert wrong_usage(["--project", "shop", "runs", "list"]) is None
        assert wrong_usage(["--projekt", "shop", "runs", "list"])
        assert wrong_usage(["runs", "lost"])
        assert wrong_usage(["runs", "fork", "RUN", "--from", "x"])
        assert wrong_usage(["runs", "fork", "RUN"])

    def test_an_unknown_target_is_found(self, made_up: MakeTree) -> None:
        tree = made_up({"Makefile": "up: ## x\n", "a.md": "make sure, then `make up`, then `make haste`"})
        assert len(unknown_targets(tree)) == 1
