"""The documentation: it builds, and whatever it shows in a block was run or checked here.

A block of Python runs against a fake kernel with ens5f0 and ens5f1, each alone in its bond; those
of a page share their names, as a reader who types them in would have it. One that would go on for
ever sees LACP lost and found on ens5f0, and then Ctrl-C. A block of ``text`` is what the block
before it prints. C is compiled, shell is parsed and its words are looked up, JSON and units are
parsed.
"""

from __future__ import annotations

import ast
import asyncio
import configparser
import contextlib
import doctest
import html
import inspect
import io
import itertools
import json
import os
import queue
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import tomllib
from pathlib import Path
from textwrap import dedent
from types import SimpleNamespace
from typing import TYPE_CHECKING, NamedTuple

import pytest

import pfstatus
from pfstatus.agent.config import load
from pfstatus.relay.ownership import Ownership
from pfstatus.session import Wire
from pfstatus.testing import FakeKernel

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = [*sorted(path.relative_to(ROOT) for path in DOCS.rglob("*.md")), Path("README.md")]
MODULES = sorted(
    path.relative_to(ROOT)
    for where in ("pfstatus", "examples")
    for path in (ROOT / where).rglob("*.py")
)
DIRECTIVES = {"{literalinclude}", "{toctree}"}  # not code: Sphinx's own matter
SHELL = {"sh", "console"}
ELSEWHERE = {"kubectl", "oc", "kubernetes"}
"""Words of commands in blocks of ``console`` that are not run here: they want a cluster."""


class Block(NamedTuple):
    """Something that a reader may type, run or compare."""

    place: str
    language: str
    code: str
    before: str = ""
    """What happens first: `<!-- stage: statements -->` on the line above, unseen by readers."""
    run: bool = False
    """Whether shell is run: `<!-- run -->` on the line above."""


def blocks_of_page(path: Path) -> list[Block]:
    """Each fenced block of a page, in order."""
    found, fence, begun, lines, last = [], "", 0, [], ""
    for number, line in enumerate((ROOT / path).read_text().splitlines(), 1):
        mark = re.match(r"\s*(```+)(.*)", line)
        if not fence and mark:
            fence, language, begun, lines = mark[1], mark[2].strip(), number, []
        elif fence and line.strip() == fence:
            code = dedent("\n".join(lines)) + "\n"
            stage = re.fullmatch(r"<!-- stage: (.*) -->", last)
            word = (language.split() or [""])[0]
            before, run = stage[1] if stage else "", last == "<!-- run -->"
            found.append(Block(f"{path}:{begun}", word, code, before, run))
            fence = ""
        elif fence:
            lines.append(line)
        else:
            last = line
    assert not fence, f"{path}:{begun}: a block without an end"
    return found


def blocks_of_module(path: Path) -> list[Block]:
    """Each literal block of a module's public docstrings; one that names no language is Python."""
    found = []
    tree = ast.parse((ROOT / path).read_text())
    for node in ast.walk(tree):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        text = ast.get_docstring(node) or ""
        if getattr(node, "name", "").startswith("_"):
            continue
        for mark in re.finditer(
            r"^( *)(?:\.\. code-block:: (\w+)|.*::)$\n((?:\n|\1 +.*\n?)+)", text, re.MULTILINE
        ):
            place = f"{path}:{getattr(node, 'name', 'module')}"
            found.append(Block(place, mark[2] or "python", dedent(mark[3]).strip("\n") + "\n"))
        assert ">>>" not in text, f"{path}: write a literal block"
    return found


def blocks(*languages: str) -> list[Block]:
    everywhere = [block for path in PAGES for block in blocks_of_page(path)]
    everywhere += [block for path in MODULES for block in blocks_of_module(path)]
    return [block for block in everywhere if block.language in languages]


def typed(block: Block) -> list[tuple[str, str]]:
    """Each command of a block of ``console``, and what it prints."""
    parts = re.split(r"^\$ ", block.code, flags=re.MULTILINE)[1:]
    found = [re.fullmatch(r"(.*\n(?:> .*\n)*)((?:.*\n)*)", part) for part in parts]
    return [(match[1].replace("\n> ", "\n"), match[2]) for match in found if match]


def by_place(found: list[Block]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("block", found, ids=[block.place for block in found])


# ---- Python


def _runnable(task: Path) -> bool:
    """Whether a thread has a processor or waits for one, by proc(5)."""
    try:
        _, _, fields = (task / "stat").read_text().rpartition(") ")
    except FileNotFoundError:  # it has ended
        return False
    return fields.startswith("R")


class Stage:
    """The node that the pages' programs see, and what happens to it while they run."""

    QUIET = 0.3  # seconds without a question, and nothing to compute: the program waits
    PATIENCE = 10.0  # seconds for a program that asks nothing

    def __init__(self, kernel: FakeKernel) -> None:
        self.kernel = kernel
        self.pf = kernel.add_pf("ens5f0", vfs=2)
        kernel.add_bond("bond0", self.pf)
        kernel.add_bond("bond1", kernel.add_pf("ens5f1", vfs=2))
        self.asked: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.patient = True
        self.output = io.StringIO()

    def wire(self, *, fds: tuple[int, int] | None = None, tap=None, **options) -> Wire:
        """What Session opens, on this kernel."""
        if fds is not None:
            return Wire(fds=fds, tap=tap, **options)
        names = {"events", "timeout"}
        session = self.kernel.session(tap=tap, **{k: options[k] for k in names & options.keys()})
        wire, session._wire = session._wire, SimpleNamespace(closed=True)  # which goes, that stays
        return wire

    def _question(self, timeout: float) -> bool:
        """Wait for the program's next question; False if none came in time."""
        try:
            if self.asked.get(timeout=timeout) == "end":
                raise BlockEndedError
        except queue.Empty:
            return False
        return True

    def _busy(self) -> bool:
        """Whether the program asks still, or wants to and gets no processor."""
        if self._question(self.QUIET):
            return True
        this = str(threading.get_native_id())
        return any(
            _runnable(each) for each in Path("/proc/self/task").iterdir() if each.name != this
        )

    def _happen(self) -> None:
        """LACP is lost and found while the program waits for it; then somebody types Ctrl-C."""
        with contextlib.suppress(BlockEndedError):
            self.patient = self._question(self.PATIENCE)
            while self._busy():
                pass
            self.pf.lacp_expire()
            for _ in range(3):
                self._busy()
            self.pf.lacp_up()
            while self._busy():
                pass
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    def watch(self, place: str, program: Callable[[], object]) -> str:
        """Run a program while things happen to it. Returns what it printed."""
        begin = self.output.tell()
        handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        self.asked = queue.SimpleQueue()
        self.kernel.on_request = self.asked.put
        happenings = threading.Thread(target=self._happen)
        happenings.start()
        try:
            with contextlib.redirect_stdout(self.output), contextlib.suppress(KeyboardInterrupt):
                try:
                    program()
                finally:
                    self.asked.put("end")
                    happenings.join()
        finally:
            self.kernel.on_request = None
            for number, handler in handlers.items():
                signal.signal(number, handler)
        assert self.patient, f"{place} does not end, and asks nothing"
        return self.output.getvalue()[begin:]

    def run_python(self, block: Block, names: dict[str, object]) -> str:
        """Run a block, then the tests that it defines."""
        # A docstring may show the inside of an async function.
        flags = 0 if block.place.startswith("docs") else ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        code = compile(block.code, block.place, "exec", flags)
        known = set(names)

        def program() -> None:
            awaitable = eval(code, names)
            if awaitable:
                asyncio.run(awaitable)

        output = self.watch(block.place, program)
        for name in names.keys() - known:
            if name.startswith("test_"):
                self._run_test(names[name])
        return output

    def run_console(self, block: Block) -> None:
        """Run each command of a block, and compare with the output below it."""
        from pfstatus.cli import main

        for line, expected in typed(block):
            if not ELSEWHERE.isdisjoint(re.findall(r"\w+", line)):
                continue
            command, *arguments = shlex.split(line)
            assert command == "pfstatus", f"{block.place}: a block of sh is not run, this one is"
            got = self.watch(block.place, lambda arguments=arguments: main(arguments))
            assert matches(expected, got), f"{block.place}: {line} printed:\n{got}"

    @staticmethod
    def _run_test(test: Callable[..., None]) -> None:
        with FakeKernel() as kernel:
            fixtures = {"pfstatus_kernel": kernel}
            test(**{name: fixtures[name] for name in inspect.signature(test).parameters})


class BlockEndedError(Exception):
    """The program that was watched ended."""


@pytest.fixture
def stage(kernel: FakeKernel, monkeypatch, tmp_path) -> Stage:
    stage = Stage(kernel)
    monkeypatch.setattr("pfstatus.session.Wire", stage.wire)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.chdir(tmp_path)
    # Records of disabled VFs go where they may.
    monkeypatch.setattr(
        "pfstatus.relay.loop.Ownership", lambda path: Ownership(path and tmp_path / path.name)
    )
    return stage


def matches(expected: str, got: str) -> bool:
    """Whether a program printed what the page shows, "..." being anything."""
    return doctest.OutputChecker().check_output(expected, got, doctest.ELLIPSIS)


def play(stage: Stage, page: list[Block], names: dict[str, object]) -> None:
    for block, after in zip(page, [*page[1:], None], strict=False):
        exec(block.before, {"kernel": stage.kernel, "pf": stage.pf, "pfstatus": pfstatus})
        if block.language == "console":
            stage.run_console(block)
        if block.language != "python":
            continue
        got = stage.run_python(block, names)
        if after and after.language == "text":
            assert matches(after.code, got), f"{after.place} shows, but the program printed:\n{got}"


@pytest.mark.parametrize("path", PAGES, ids=str)
def test_programs_of_a_page_do_what_the_page_says(stage, path):
    play(stage, blocks_of_page(path), {"__name__": "page"})


@by_place([block for path in MODULES for block in blocks_of_module(path)])
def test_python_of_a_docstring_runs(stage, block):
    if block.language == "text":
        return  # a drawing
    names: dict[str, object] = {"__name__": "docstring"}
    exec("import pfstatus; from pfstatus import *", names)
    play(stage, [block], names)


# ---- Other languages


def test_every_block_names_a_language_that_is_checked():
    known = {"python", "text", "c", "go", "cmake", "none", "json", "ini", "toml"}
    known |= {*SHELL, *DIRECTIVES}
    everywhere = [block for path in PAGES for block in blocks_of_page(path)]
    assert len(everywhere) > 30
    assert [block.place for block in everywhere if block.language not in known] == []


def test_every_block_of_text_is_some_programs_output():
    for path in PAGES:
        page = blocks_of_page(path)
        for before, block in zip([None, *page], page, strict=False):
            if block.language == "text":
                assert before is not None, block.place
                assert before.language == "python", block.place


@by_place(blocks("c"))
def test_c_compiles(block, tmp_path):
    code = block.code
    if "#include" not in code:
        code = f"#include <pfstatus.h>\nint main(void)\n{{\n{code}return 0;\n}}\n"
    compiler = [os.environ.get("CC", "cc"), "-std=c11", "-Wall", "-Wextra", "-Werror"]
    subprocess.run(
        [*compiler, "-fsyntax-only", f"-I{ROOT / 'csrc'}", "-xc", "-"],
        input=code.encode(),
        check=True,
        cwd=tmp_path,
    )


def checkout(folder: Path) -> Path:
    """A copy of what git knows of here, changes included."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    files = subprocess.run(listed, cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout
    for name in filter(None, os.fsdecode(files).split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """Where libpfstatus is once every block of shell that can be run was run."""
    tree, prefix = checkout(tmp_path_factory.mktemp("tree")), tmp_path_factory.mktemp("prefix")
    code = [block.code for block in blocks("sh") if block.run]
    assert len(code) >= 3
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    subprocess.run(
        ["bash", "-euc", "".join(code)],
        cwd=tree,
        env=os.environ | {"PATH": path, "PREFIX": str(prefix)},
        timeout=300,
        check=True,
    )
    for program in ("status", "status-static"):
        ran = subprocess.run(
            [tree / "build" / program, "lo"],
            env={"LD_LIBRARY_PATH": str(prefix / "lib")},
            stdout=subprocess.PIPE,
            text=True,
            timeout=20,
            check=False,
        )
        assert ran.stdout.startswith("lo: no-bond"), program
    return prefix


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_libpfstatus_is_built_installed_and_linked_as_the_pages_say(installed):
    assert (installed / "include" / "pfstatus.h").exists()


@pytest.mark.slow
@pytest.mark.timeout(600)
@by_place(blocks("go"))
def test_go_compiles(installed, block, tmp_path):
    if not shutil.which("go"):
        pytest.skip("no go here: apt-get install golang-go, or another Go on the path")
    (tmp_path / "main.go").write_text(block.code)
    (tmp_path / "go.mod").write_text("module example\n\ngo 1.19\n")
    environment = os.environ | {"PKG_CONFIG_PATH": str(installed / "lib" / "pkgconfig")}
    subprocess.run(["go", "vet", "."], cwd=tmp_path, env=environment, check=True, timeout=300)


@by_place(blocks("json"))
def test_json_is_json(block):
    json.loads(block.code)


@by_place(blocks(*SHELL))
def test_shell_names_what_exists(block):
    commands = [command for command, _ in typed(block)]
    code = "".join(commands) if block.language == "console" else block.code
    subprocess.run(["bash", "-n"], input=code.encode(), check=True)
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    for line in code.replace("\\\n", " ").splitlines():
        for words in commands_of(line):
            if Path(words[0]).name == "pfstatus":
                command_line(words[1:])
            if words[0] == "make":
                assert words[1] in targets, line
            for word in words:
                if re.match(r"(examples|tests|docs|csrc)/", word):
                    assert (ROOT / word).exists(), line
                for wanted in re.findall(r"pfstatus\[(.*)\]", word):
                    assert set(wanted.split(",")) <= extras.keys(), line


def commands_of(line: str) -> list[list[str]]:
    """The words of each command in a line, without redirections and variables set before it."""
    words = shlex.split(line, comments=True)
    commands: list[list[str]] = [[]]
    for word in words:
        if word in {"&&", "||", "|", ";"}:
            commands.append([])
        elif commands[-1] or not re.match(r"\w+=", word):
            commands[-1].append(word)
    return [command for command in commands if command]


def command_line(words: list[str]) -> None:
    """Refuse what the command pfstatus would refuse."""
    from pfstatus.cli import parser

    code = None
    with contextlib.redirect_stderr(io.StringIO()) as said:
        try:
            parser().parse_args(words)
        except SystemExit as exc:
            code = exc.code
    assert not code, said.getvalue()


@by_place(blocks("toml"))
def test_file_of_a_page_is_one_that_the_agent_takes(block, tmp_path):
    file = tmp_path / "relay.toml"
    file.write_text(block.code)
    assert load(file)["interfaces"]


def unit_of(block: Block) -> configparser.ConfigParser:
    unit = configparser.ConfigParser(strict=False, interpolation=None, delimiters="=")
    unit.optionxform = str
    unit.read_string(block.code)
    return unit


@by_place(blocks("ini"))
def test_unit_gives_the_relay_cap_net_admin_and_no_more(block):
    service = unit_of(block)["Service"]
    program, *words = shlex.split(service["ExecStart"])
    assert Path(program).name == "pfstatus"
    command_line(words)
    assert service["AmbientCapabilities"] == service["CapabilityBoundingSet"] == "CAP_NET_ADMIN"
    assert "AF_NETLINK" in service["RestrictAddressFamilies"].split()
    record = pfstatus.Policy().state_file
    assert record.parent == Path("/run", service["RuntimeDirectory"])
    assert service["RuntimeDirectoryPreserve"] == "yes"


# ---- What pages say of the rest of the tree


def lab_tests() -> list[str]:
    """Those that `make lab` runs: some files have a target of their own."""
    makefile = (ROOT / "Makefile").read_text()
    (apart,) = re.findall(r"^LAB_TESTS := .*,([\w ]+)\)$", makefile, re.MULTILINE)
    left_out = {f"test_{word}.py" for word in apart.split()}
    files = [path for path in (ROOT / "tests/lab").glob("test_*.py") if path.name not in left_out]
    return [
        name
        for path in files
        for name in re.findall(r"^def (test_\w+)", path.read_text(), re.MULTILINE)
    ]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (path, name)
        for path in PAGES
        for name in re.findall(r"make lab K=(\w+)", (ROOT / path).read_text())
    ],
    ids=str,
)
def test_fact_is_shown_by_a_lab_test_that_exists(path, name):
    assert [test for test in lab_tests() if name in test], f"{path}: no lab test for {name}"


def test_design_names_every_room():
    page = (DOCS / "design.md").read_text()
    rooms = [path for path in (ROOT / "pfstatus").iterdir() if path.suffix in {"", ".py"}]
    rooms += (ROOT / "csrc").glob("*.c")
    named = {room.name for room in rooms if not room.name.startswith("__")}
    assert [name for name in sorted(named) if not re.search(rf"[`/]{name}[`/]", page)] == []
    gone = [
        name
        for name in re.findall(r"`(?:pfstatus/|csrc/)?(\w+\.[cp]y?)`", page)
        if not any((ROOT / where).rglob(name) for where in ("pfstatus", "csrc"))
    ]
    assert gone == []


def test_reference_has_every_public_name():
    pages = "".join(path.read_text() for path in (DOCS / "reference").glob("*.rst"))
    documented = re.findall(r"auto(?:class|function|exception|data):: (\w+)", pages)
    assert set(pfstatus.__all__) - {"__version__"} <= set(documented)


def test_diagrams_share_one_palette():
    drawn = {path.name for path in (DOCS / "diagrams").iterdir()}
    drawn -= {"demo.svg", "dashboard.svg"}  # make demo and make dashboard draw them
    palettes = {
        re.search(r"<style>.*</style>", (DOCS / "diagrams" / name).read_text(), re.DOTALL)[0]
        for name in drawn
    }
    assert len(palettes) == 1


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The site as `make docs` builds it: a warning is an error."""
    pytest.importorskip("furo", reason="make docs installs it")
    out = tmp_path_factory.mktemp("site")
    subprocess.run(
        [sys.executable, "-m", "sphinx", "-q", "-E", "-W", "--keep-going", DOCS, out],
        check=True,
        env=os.environ | {"http_proxy": "http://127.0.0.1:1", "https_proxy": "http://127.0.0.1:1"},
    )
    return out


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_site_is_built_without_warnings_and_loads_nothing_from_elsewhere(site):
    for page in site.rglob("*.html"):
        fetched = re.findall(
            r"<(?:script|link|img|iframe)[^>]*(?:src|href)=\"(https?:)?//", page.read_text()
        )
        assert not fetched, page
    for sheet in site.rglob("*.css"):
        assert not re.search(r"url\([\"']?(https?:)?//|@import", sheet.read_text()), sheet


def attribute_texts() -> list[str]:
    """First paragraphs of attributes' docstrings in which a colon could be mistaken."""
    documented = "".join(path.read_text() for path in (DOCS / "reference").glob("*.rst"))
    found = []
    for path in MODULES:
        if "operator" in path.parts:  # whose names no page of the reference has
            continue
        for node in ast.walk(ast.parse((ROOT / path).read_text())):
            if not isinstance(node, ast.ClassDef) or not re.search(rf"\b{node.name}\b", documented):
                continue
            for before, text in itertools.pairwise(node.body):
                if isinstance(before, ast.Assign | ast.AnnAssign) and isinstance(text, ast.Expr):
                    words = ast.literal_eval(text.value).partition("\n\n")[0]
                    found += [" ".join(words.replace("``", "").split())] if ": " in words else []
    return found


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_reference_has_docstrings_of_attributes_whole(site):
    pages = " ".join(page.read_text() for page in (site / "reference").glob("*.html"))
    text = " ".join(html.unescape(re.sub(r"<[^>]+>", "", pages)).split())
    text = text.translate(str.maketrans({"“": '"', "”": '"', "’": "'", "…": "...", "–": "--"}))
    wanted = attribute_texts()
    assert len(wanted) > 20
    assert [words for words in wanted if words not in text] == []


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_reference_of_c_has_every_function_of_the_header(site):
    header = (ROOT / "csrc/pfstatus.h").read_text()
    functions = re.findall(r"^PFS_API [^;(]*?(pfs_\w+)\(", header, re.MULTILINE)
    assert len(functions) >= 15
    page = (site / "reference/c.html").read_text()
    assert [name for name in functions if f'id="c.{name}"' not in page] == []


def test_unit_is_as_confined_as_the_page_says(tmp_path):
    """Of what systemd can confine, its own figure: 0 is all, 10 nothing."""
    if not shutil.which("systemd-analyze"):
        pytest.skip("no systemd-analyze here")
    page = (ROOT / "docs" / "howto" / "systemd.md").read_text()
    (unit,) = [block.code for block in blocks("ini")]
    file = tmp_path / "pfstatus-relay.service"
    file.write_text(unit)
    ran = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", str(file)],
        capture_output=True,
        text=True,
        check=False,
    )
    rated = re.search(r"exposure level for \S+: ([\d.]+)", ran.stdout)
    assert rated, ran.stderr
    said = re.search(r"rates it ([\d.]+) of 10", page)
    assert said
    assert float(rated[1]) == pytest.approx(float(said[1]), abs=0.2), "systemds differ a little"
