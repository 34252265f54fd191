"""The pod that the operator renders: its security settings on a real agent, which does its job."""

import sys
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import seccomp
from nic import Nic
from relay_process import PFSTATUS, RelayProcess
from topology import Lab, wait_for

from pfstatus.operator.decide import decide
from pfstatus.operator.render import Settings

MOUNTS = """
mount -t tmpfs tmpfs /run
mkdir /run/pfstatus
mount --bind "$1" /run/pfstatus
mount -o remount,bind,ro /run
for each in /dev/shm /tmp /var; do mountpoint -q $each && mount -o remount,bind,ro $each; done
mount -o remount,bind,ro /
shift
exec "$@"
"""
"""A root that cannot be written to, but for the one mount that the pod has, from the node."""
CAPABILITIES = {"NET_ADMIN": 12, "NET_RAW": 13}  # uapi/linux/capability.h


class RenderedPod:
    """The pod of a PFLACPMonitor, as often as it is started on this node.

    Args:
        run: the node's folder that the pod has at /run/pfstatus.
        spec: of the resource, besides its interface.
    """

    def __init__(self, run: Path, **spec: object) -> None:
        resource = {
            "metadata": {"name": "a", "namespace": "n", "uid": "u", "creationTimestamp": "t"},
            "spec": {"interfaces": ["pf0"], "pollingInterval": 1000, **spec},
        }
        [made] = decide([resource], [], Settings(image="i"), now="t").daemonsets.values()
        pod = made["spec"]["template"]["spec"]
        [self.container] = pod["containers"]
        assert [each["mountPath"] for each in self.container["volumeMounts"]] == ["/run/pfstatus"]
        assert [each["hostPath"]["path"] for each in pod["volumes"]] == ["/run/pfstatus"]
        self._run = run

    @property
    def security(self) -> dict[str, Any]:
        found: dict[str, Any] = self.container["securityContext"]
        return found

    @property
    def capabilities(self) -> int:
        """The bits of what it may."""
        return sum(1 << CAPABILITIES[name] for name in self.security["capabilities"]["add"])

    def start(self) -> RelayProcess:
        """Does what a runtime does before it starts the container's command, and starts it."""
        assert self.security["readOnlyRootFilesystem"] is True
        assert self.security["allowPrivilegeEscalation"] is False
        assert self.security["seccompProfile"] == {"type": "RuntimeDefault"}
        assert self.security["capabilities"]["drop"] == ["ALL"]
        assert (self.security["runAsUser"], self.security["runAsGroup"]) == (0, 0)
        added = self.security["capabilities"]["add"]
        kept = ",".join(("-all", *(f"+{name.lower()}" for name in added)))
        program, *words = self.container["command"]
        assert program == "pfstatus"
        return RelayProcess(
            env={found["name"]: found["value"] for found in self.container["env"]},
            prefix=(
                *("unshare", "--mount", "--propagation", "private"),
                *("sh", "-ec", MOUNTS, "sh", str(self._run)),
                *("setpriv", "--bounding-set", kept, "--inh-caps", kept, "--no-new-privs"),
                *(sys.executable, seccomp.__file__),
            ),
            program=(*PFSTATUS, *words),
        )

    def ready(self) -> bool:
        """What the kubelet's probe finds."""
        asked = self.container["readinessProbe"]["httpGet"]
        url = f"http://{asked['host']}:{asked['port']}{asked['path']}"
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


def _in(nic: Nic, state: str) -> bool:
    return set(nic.vf_states().values()) == {state}


def test_it_does_its_job_with_no_more_than_it_is_given(lab: Lab, tmp_path: Path) -> None:
    port = lab.ports[0]
    port.nic.num_vfs = 4
    pod = RenderedPod(tmp_path, onExit="restore", heartbeat="late", revive=True)
    with pod.start() as relay:
        relay.wait_up("pf0")
        status = Path(f"/proc/{relay.process.pid}/status").read_text()
        assert int(status.split("CapEff:")[1].split()[0], 16) == pod.capabilities
        assert status.split("NoNewPrivs:")[1].split()[0] == "1"
        assert status.split("Seccomp:")[1].split()[0] == "2"
        for denied in ("/x", "/var/x", "/run/x"):
            with pytest.raises(OSError, match="Read-only file system"):
                Path(f"/proc/{relay.process.pid}/root{denied}").touch()
        wait_for(pod.ready, 15, "ready")
        port.lacp_block("to-pf")
        relay.wait("vf link state was set", count=4, state="disable")
        assert _in(port.nic, "disable")
        assert list(tmp_path.glob("*vfs*")), "what it has disabled is noted on the node"
        assert relay.terminate()[0] == 0
        assert _in(port.nic, "auto"), "onExit: restore"


def test_an_update_in_an_outage_sets_no_vf_to_auto(lab: Lab, tmp_path: Path) -> None:
    port = lab.ports[0]
    port.nic.num_vfs = 4
    pod = RenderedPod(tmp_path)
    with ExitStack() as stack:
        relay = stack.enter_context(pod.start())
        relay.wait_up("pf0")
        port.lacp_block("to-pf")
        relay.wait("vf link state was set", count=4, state="disable")
        # The next is there, and ready for its kubelet, before the old one ends.
        following = stack.enter_context(pod.start())
        following.wait("another relay watches this pf", interface="pf0")
        assert pod.ready()
        port.nic.reset_trace()
        assert relay.terminate()[0] == 0
        wait_for(pod.ready, 15, "the next answers where the old one did")
        assert _in(port.nic, "disable")
        assert port.nic.calls()[0] == 0, "nobody has set a VF"
        port.lacp_unblock()
        wait_for(lambda: _in(port.nic, "auto"), 60, "VFs given back by the next")
