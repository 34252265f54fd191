"""Two real API servers behind one endpoint, with etcd and the controller manager.

Built by ``servers.sh``. A is Kubernetes 1.20: core types, RBAC, DaemonSets, garbage collection. B
is the current CRD server, which A's aggregator forwards to: custom resources with CEL,
server-side apply, admission policies. Nodes are objects without a kubelet.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path
from subprocess import SubprocessError
from typing import Any

HERE = Path(__file__).parent
GROUP = "pfstatusrelay.openshift.io"
ADMISSION = "admissionregistration.k8s.io"
EC = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")
"""A key that is made in no time."""
POLICED = (
    "MutatingAdmissionPolicy",
    "MutatingAdmissionWebhook",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionWebhook",
)
"""Admission plugins that wait for their configuration."""


def where() -> Path | None:
    """The folder of the servers' programs; None where they have not been built."""
    ran = subprocess.run(
        [HERE / "servers.sh", "--where"], check=False, capture_output=True, text=True, timeout=60
    )
    return Path(ran.stdout.strip()) if ran.returncode == 0 else None


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(what: str, true: Any, timeout: float = 120) -> Any:
    """Wait until a call returns something true; what it raises until then is the reason given."""
    deadline = time.monotonic() + timeout
    last: object = None
    while time.monotonic() < deadline:
        try:
            found = true()
        except (AssertionError, LookupError, OSError, ValueError, SubprocessError) as error:
            last = error
        else:
            if found:
                return found
            last = found
        time.sleep(0.2)
    msg = f"{what}: not within {timeout} s; last: {last}"
    raise AssertionError(msg)


class Kubectl:
    """kubectl with a configuration."""

    def __init__(self, program: str, kubeconfig: Path) -> None:
        self.program = program
        self.kubeconfig = kubeconfig

    def run(
        self, *arguments: str, given: str | None = None, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        ran = subprocess.run(
            [self.program, "--kubeconfig", str(self.kubeconfig), *arguments],
            check=False,
            input=given,
            capture_output=True,
            text=True,
            timeout=120,
        )
        if check and ran.returncode:
            msg = f"kubectl {' '.join(arguments)}: {ran.stderr}"
            raise AssertionError(msg)
        return ran

    def apply(self, *objects: Any, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Apply objects. A knows no x-kubernetes-validations: kubectl is not to ask it."""
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
        return self.run("apply", "--validate=false", "-f", "-", given=text, check=check)

    def get(self, *arguments: str) -> Any:
        return json.loads(self.run("get", *arguments, "-o", "json").stdout)

    def items(self, *arguments: str) -> list[Any]:
        return list(self.get(*arguments)["items"])


class RealCluster:
    """The servers, until ``close()``.

    Args:
        programs: where they are.
        folder: for their files.
        fast: the controller manager may ask as often as it likes, and nodes are ready when made.
    """

    def __init__(self, programs: Path, folder: Path, *, fast: bool = False) -> None:
        self.programs = programs
        self.fast = fast
        self.folder = folder
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.etcd_port, self.a_port, self.b_port = free_port(), free_port(), free_port()
        self.url = f"https://127.0.0.1:{self.a_port}"
        self._certificates()
        self.admin = self.kubeconfig("admin", self._user("admin"))
        self.kubectl = Kubectl(str(programs / "kubectl"), self.admin)
        try:
            self._start()
            self._wire()
        except BaseException:
            self.close()
            raise

    # ---- Files

    def _data(self, name: str) -> str:
        return base64.b64encode((self.folder / name).read_bytes()).decode()

    def _user(self, name: str) -> dict[str, str]:
        return {
            "client-certificate-data": self._data(f"{name}.crt"),
            "client-key-data": self._data(f"{name}.key"),
        }

    def _openssl(self, *arguments: str) -> None:
        subprocess.run(
            ["openssl", *arguments], cwd=self.folder, check=True, capture_output=True, timeout=60
        )

    def _authority(self, name: str) -> None:
        self._openssl(
            "req", "-x509", *EC, "-nodes", "-days", "2", "-subj", f"/CN={name}",
            "-keyout", f"{name}.key", "-out", f"{name}.crt",
        )  # fmt: skip

    def _signed(
        self, name: str, subject: str, authority: str = "ca", usage: str = "client"
    ) -> None:
        extensions = self.folder / f"{name}.ext"
        extensions.write_text(
            f"extendedKeyUsage={usage}Auth\n"
            "subjectAltName=DNS:localhost,DNS:kubernetes,DNS:pfstatus-crd.default.svc,IP:127.0.0.1\n"
        )
        self._openssl(
            "req", *EC, "-nodes", "-subj", subject,
            "-keyout", f"{name}.key", "-out", f"{name}.csr",
        )  # fmt: skip
        self._openssl(
            "x509", "-req", "-in", f"{name}.csr", "-CA", f"{authority}.crt",
            "-CAkey", f"{authority}.key", "-CAcreateserial", "-days", "2",
            "-extfile", extensions.name, "-out", f"{name}.crt",
        )  # fmt: skip

    def _certificates(self) -> None:
        self._authority("ca")
        self._authority("front")
        self._signed("server", "/CN=server", usage="server")
        self._signed("admin", "/O=system:masters/CN=admin")
        self._signed("manager", "/CN=system:kube-controller-manager")
        self._signed("proxy", "/CN=proxy", authority="front")
        self._openssl("ecparam", "-genkey", "-noout", "-name", "prime256v1", "-out", "sa.key")
        self._openssl("ec", "-in", "sa.key", "-pubout", "-out", "sa.pub")

    def kubeconfig(self, name: str, user: dict[str, str], namespace: str = "default") -> Path:
        """Write a configuration for somebody."""
        path = self.folder / f"{name}.kubeconfig"
        cluster = {"server": self.url, "certificate-authority-data": self._data("ca.crt")}
        context = {"cluster": "c", "user": "u", "namespace": namespace}
        path.write_text(
            json.dumps(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "current-context": "x",
                    "contexts": [{"name": "x", "context": context}],
                    "clusters": [{"name": "c", "cluster": cluster}],
                    "users": [{"name": "u", "user": user}],
                }
            )
        )
        return path

    # ---- Processes

    def _run(self, name: str, program: str, *arguments: str) -> None:
        with (self.folder / f"{name}.log").open("wb") as log:
            self.processes[name] = subprocess.Popen(
                [self.programs / program, *arguments],
                cwd=self.folder,
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                env={**os.environ, "GOMAXPROCS": "2"},
            )

    def _lives(self, name: str) -> None:
        if self.processes[name].poll() is not None:
            tail = (self.folder / f"{name}.log").read_text()[-3000:]
            msg = f"{name} ended: {tail}"
            raise RuntimeError(msg)

    def _end(self, name: str) -> None:
        process = self.processes[name]
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(20)

    def _ready(self, name: str, port: int) -> None:
        def ready() -> bool:
            self._lives(name)
            ran = subprocess.run(
                ["curl", "-sk", "--max-time", "5", "--cert", "admin.crt", "--key", "admin.key",
                 f"https://127.0.0.1:{port}/readyz"],
                check=False, cwd=self.folder, capture_output=True, text=True, timeout=10,
            )  # fmt: skip
            return ran.stdout == "ok"

        wait_until(f"{name} ready", ready, 180)

    def _start(self) -> None:
        etcd = f"http://127.0.0.1:{self.etcd_port}"
        self._run(
            "etcd", "etcd", "--data-dir=etcd", f"--listen-client-urls={etcd}",
            f"--advertise-client-urls={etcd}", f"--listen-peer-urls=http://127.0.0.1:{free_port()}",
            "--unsafe-no-fsync", "--log-level=error",
        )  # fmt: skip
        self._run(
            "a", "kube-apiserver", f"--etcd-servers={etcd}", f"--secure-port={self.a_port}",
            "--bind-address=127.0.0.1", "--tls-cert-file=server.crt",
            "--tls-private-key-file=server.key", "--client-ca-file=ca.crt",
            "--authorization-mode=Node,RBAC", "--allow-privileged=true",
            "--service-account-issuer=https://kubernetes.default.svc",
            "--service-account-signing-key-file=sa.key", "--service-account-key-file=sa.pub",
            "--requestheader-client-ca-file=front.crt", "--requestheader-allowed-names=proxy",
            "--requestheader-username-headers=X-Remote-User",
            "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            "--proxy-client-cert-file=proxy.crt", "--proxy-client-key-file=proxy.key",
            "--disable-admission-plugins=ServiceAccount"
            + (",TaintNodesByCondition" if self.fast else ""),
            "--service-cluster-ip-range=10.0.0.0/24",
            "--cert-dir=a-certs",
        )  # fmt: skip
        self._ready("a", self.a_port)
        self._run_b("--disable-admission-plugins=" + ",".join(POLICED))
        manager = self.kubeconfig("manager", self._user("manager"))
        self._run(
            "manager", "kube-controller-manager", f"--kubeconfig={manager}",
            "--use-service-account-credentials=true", "--service-account-private-key-file=sa.key",
            "--root-ca-file=ca.crt", "--leader-elect=false", "--port=0", "--secure-port=0",
            "--controllers=daemonset,garbagecollector,namespace,serviceaccount,serviceaccount-token,"
            "clusterrole-aggregation",
            *(["--kube-api-qps=2000", "--kube-api-burst=4000"] if self.fast else []),
        )  # fmt: skip

    def _run_b(self, *more: str) -> None:
        self._run(
            "b", "apiextensions-apiserver", f"--etcd-servers=http://127.0.0.1:{self.etcd_port}",
            "--etcd-prefix=/ext", f"--secure-port={self.b_port}", "--bind-address=127.0.0.1",
            "--tls-cert-file=server.crt", "--tls-private-key-file=server.key",
            f"--kubeconfig={self.admin}", f"--authentication-kubeconfig={self.admin}",
            f"--authorization-kubeconfig={self.admin}", "--enable-priority-and-fairness=false",
            *more,
        )  # fmt: skip

    def _api_service(self, version: str, group: str) -> dict[str, Any]:
        return {
            "apiVersion": "apiregistration.k8s.io/v1",
            "kind": "APIService",
            "metadata": {"name": f"{version}.{group}"},
            "spec": {
                "group": group,
                "version": version,
                "groupPriorityMinimum": 1000,
                "versionPriority": 100,
                "insecureSkipTLSVerify": True,
                "service": {"name": "pfstatus-crd", "namespace": "default", "port": self.b_port},
            },
        }

    def _wire(self) -> None:
        """Have A forward to B: our group before its CRD, else A would serve it, without CEL."""
        service = {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "pfstatus-crd", "namespace": "default"},
            "spec": {"type": "ExternalName", "externalName": "localhost",
                     "ports": [{"port": self.b_port}]},
        }  # fmt: skip
        self.kubectl.apply(service, self._api_service("v1alpha1", GROUP))
        patch = json.dumps({"spec": self._api_service("v1", "apiextensions.k8s.io")["spec"]})
        self.kubectl.run(
            "patch", "apiservice", "v1.apiextensions.k8s.io", "--type=merge", "-p", patch
        )
        broken = self._crd("example.com", "Broken", "brokens")
        broken["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["x-kubernetes-validations"] = [
            {"rule": "this is no CEL"}
        ]

        def refused() -> bool:
            self._lives("b")
            text = json.dumps(broken)
            ran = self.kubectl.run(
                "create", "--validate=false", "--dry-run=server", "-f", "-", given=text, check=False
            )
            return "x-kubernetes-validations" in ran.stderr

        wait_until("B is asked", refused, 120)
        self._admission()
        # It takes no write before it has read the policies, which it keeps itself only now.
        self._end("b")
        self._run_b()
        wait_until("B is asked again", refused, 120)

    def _crd(self, group: str, kind: str, plural: str) -> dict[str, Any]:
        names = {
            "kind": kind,
            "plural": plural,
            "singular": kind.lower(),
            "listKind": f"{kind}List",
        }
        schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
        return {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {
                "name": f"{plural}.{group}",
                "annotations": {"api-approved.kubernetes.io": "unapproved, test only"},
            },
            "spec": {
                "group": group,
                "scope": "Cluster",
                "names": names,
                "versions": [
                    {
                        "name": "v1",
                        "served": True,
                        "storage": True,
                        "schema": {"openAPIV3Schema": schema},
                    }
                ],
            },
        }

    def _admission(self) -> None:
        """B reads admission policies from A, which knows none: B itself keeps them, as CRDs."""
        kinds = {
            "ValidatingAdmissionPolicy": "validatingadmissionpolicies",
            "ValidatingAdmissionPolicyBinding": "validatingadmissionpolicybindings",
            "MutatingAdmissionPolicy": "mutatingadmissionpolicies",
            "MutatingAdmissionPolicyBinding": "mutatingadmissionpolicybindings",
            "ValidatingWebhookConfiguration": "validatingwebhookconfigurations",
            "MutatingWebhookConfiguration": "mutatingwebhookconfigurations",
        }
        crds = [self._crd(ADMISSION, kind, plural) for kind, plural in kinds.items()]
        self.kubectl.apply(*crds)
        patch = json.dumps({"spec": self._api_service("v1", ADMISSION)["spec"]})
        self.kubectl.run("patch", "apiservice", f"v1.{ADMISSION}", "--type=merge", "-p", patch)
        for plural in kinds.values():
            wait_until(
                f"B keeps {plural}",
                lambda plural=plural: (
                    self.kubectl.run("get", f"{plural}.{ADMISSION}", check=False).returncode == 0
                ),
            )

    def token(self, account: str, namespace: str) -> Path:
        """A configuration with an account's own token: its RBAC is what it has."""
        ran = self.kubectl.run("create", "token", account, "-n", namespace)
        return self.kubeconfig(account, {"token": ran.stdout.strip()}, namespace)

    @contextmanager
    def stopped(self, name: str):
        """Have a server answer nobody for a while."""
        os.killpg(self.processes[name].pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.killpg(self.processes[name].pid, signal.SIGCONT)

    def close(self) -> None:
        """End them, the dependent ones first."""
        for name in ("b", "manager", "a", "etcd"):
            if name in self.processes:
                self._end(name)
        shutil.rmtree(self.folder / "etcd", ignore_errors=True)
