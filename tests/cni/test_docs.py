"""docs/cni.md: what is on the page runs."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys

import pytest
from cni_node import EXAMPLES, ROOT

from pfstatus import VfLinkState

AUTO, DISABLE = VfLinkState.AUTO, VfLinkState.DISABLE
PLUGIN = EXAMPLES / "pfstatus-cni"


def block(language):
    """The first code block of this language in docs/cni.md."""
    text = (ROOT / "docs" / "cni.md").read_text()
    found = re.search(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return found[1]


@pytest.mark.parametrize("vf", [0, 7])
def test_core_in_python_disables_that_vf_and_says_so(kernel, vf):
    scope = {}
    exec(compile(block("python"), "docs/cni.md", "exec"), scope)
    core = scope["disable_if_lacp_is_down"]
    pf = kernel.add_pf("ens5f0", vfs=8)
    kernel.add_bond("bond0", pf)
    with kernel.session(events=False) as session:
        assert core(session, "ens5f0", vf) is False
        assert kernel.requests["get-vfs"] == 0
        pf.lacp_expire()
        assert core(session, "ens5f0", vf) is True
        assert core(session, "ens5f0", vf) is False
        assert [vf for vf, state in pf.vfs.items() if state is DISABLE] == [vf]
        pf.vfs[vf] = AUTO
        pf.supported = False
        with pytest.raises(OSError, match="ens5f0"):
            core(session, "ens5f0", vf)


def test_core_in_c_compiles_without_a_warning():
    compiler = shutil.which("cc")
    if not compiler:
        pytest.skip("no C compiler here")
    flags = "-xc -std=c11 -Wall -Wextra -Wpedantic -Wconversion -Werror -fsyntax-only -I"
    header = ROOT / "csrc"
    argv = [compiler, *flags.split(), str(header), "-"]
    ran = subprocess.run(argv, input=block("c"), capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr


def test_configuration_in_the_docs_chains_the_plugin_last():
    config = json.loads(block("json"))
    assert config["plugins"][-1] == {"type": PLUGIN.name}


def test_plugin_installed_as_the_docs_say_runs_by_its_own_first_line(tmp_path):
    (command,) = re.findall(r"^sed '(.+)' (?:\S+) >", block("sh"), re.MULTILINE)
    script = command.replace("/opt/pfstatus/bin/python", sys.executable)
    installed = tmp_path / "pfstatus-cni"
    done = subprocess.run(["sed", script, str(PLUGIN)], capture_output=True, check=True)
    installed.write_bytes(done.stdout)
    installed.chmod(0o755)
    ran = subprocess.run(
        [str(installed)], env={"CNI_COMMAND": "VERSION"}, capture_output=True, check=True
    )
    assert json.loads(ran.stdout)["supportedVersions"]
