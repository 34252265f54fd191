"""The operator as a program: ``python -m pfstatus.operator``."""

from __future__ import annotations

import argparse
import datetime
import ipaddress
import json
import logging
import os
import signal
import socket
import sys
import threading
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from lightkube.config.kubeconfig import KubeConfig, SingleConfig
from lightkube.core.exceptions import ConfigError

from pfstatus.operator.cluster import WATCHED, Cluster
from pfstatus.operator.lease import RENEW, Lease
from pfstatus.operator.loop import RESYNC, Loop
from pfstatus.operator.render import Settings
from pfstatus.operator.serving import TLS_VERSIONS, Listener, Metrics, health, metrics, tls
from pfstatus.operator.watch import Watcher

if TYPE_CHECKING:
    from collections.abc import Sequence

log = logging.getLogger("pfstatus.operator")

_STANDARD = set(vars(logging.makeLogRecord({}))) | {"message", "asctime"}
_STUCK = 5 * RESYNC
"""Seconds without a whole turn after which the kubelet is to try another process: certificates
of the API server that have changed are read at start."""


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        when = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
        line = {
            "time": when.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "level": {"WARNING": "WARN"}.get(record.levelname, record.levelname),
            "msg": record.getMessage(),
            **{name: value for name, value in vars(record).items() if name not in _STANDARD},
        }
        return json.dumps(line, default=str)


def parser() -> argparse.ArgumentParser:
    """Return what reads the arguments."""
    found = argparse.ArgumentParser(
        prog="python -m pfstatus.operator",
        description="Makes a DaemonSet of agents for each PFLACPMonitor.",
        epilog="PF_STATUS_RELAY_IMAGE names the agents' image.",
    )
    found.add_argument(
        "--namespace",
        default=os.environ.get("POD_NAMESPACE", ""),
        help="the operator's own (default: $POD_NAMESPACE, else the configuration's)",
    )
    found.add_argument(
        "--all-namespaces", action="store_true", help="serve resources of every namespace"
    )
    found.add_argument(
        "--max-surge",
        default="10%",
        metavar="N|N%",
        help="nodes that start the next agent beside the old one during an update; 0 ends the old"
        " one first, 10%% of the nodes at a time (default: 10%%)",
    )
    found.add_argument(
        "--agent-selinux-type", default="", metavar="TYPE", help="spc_t where SELinux is on"
    )
    found.add_argument(
        "--agent-pull-secret",
        action="append",
        default=[],
        metavar="NAME",
        help="a Secret with which the agents' image is pulled (several times)",
    )
    found.add_argument(
        "--agent-metrics-address",
        default="127.0.0.1",
        metavar="ADDRESS",
        help="where agents tell of metrics: 0.0.0.0 or [::] is every address of the node, and needs"
        " one of the two below (default: 127.0.0.1)",
    )
    found.add_argument(
        "--agent-metrics-secret",
        default="",
        metavar="NAME",
        help="a Secret with tls.crt, tls.key and ca.crt in the agents' namespace: they speak TLS,"
        " and metrics are for those who show a certificate of that authority",
    )
    found.add_argument(
        "--agent-metrics-open",
        action="store_true",
        help="metrics are for whoever reaches the node, without a password",
    )
    found.add_argument(
        "--agent-metrics-port",
        type=int,
        default=9143,
        metavar="PORT",
        help="the lowest of the ports for that: resources that can meet on a node have different"
        " ones (default: 9143)",
    )
    found.add_argument(
        "--cni-dir",
        default="",
        metavar="FOLDER",
        help="put the CNI plugin into this folder of the nodes: /opt/cni/bin, on OpenShift"
        " /var/lib/cni/bin (default: none)",
    )
    found.add_argument("--health-probe-bind-address", default="127.0.0.1:8081", metavar="HOST:PORT")
    found.add_argument(
        "--metrics-bind-address", default="0", metavar="HOST:PORT", help="0: none (default)"
    )
    found.add_argument(
        "--metrics-cert-dir",
        type=Path,
        metavar="FOLDER",
        help="with tls.crt and tls.key: metrics are served over TLS alone",
    )
    found.add_argument(
        "--metrics-client-ca",
        type=Path,
        metavar="FILE",
        help="metrics are for those with a certificate of this authority",
    )
    found.add_argument("--tls-min-version", default="VersionTLS12", choices=TLS_VERSIONS)
    found.add_argument(
        "--tls-cipher-suites", default="", metavar="A,B", help="of TLS 1.2, as OpenSSL names them"
    )
    found.add_argument("--log-level", default="info", choices=["debug", "info", "warning"])
    return found


def _settings(options: argparse.Namespace) -> Settings:
    image = os.environ.get("PF_STATUS_RELAY_IMAGE", "")
    if not image:
        raise ValueError("PF_STATUS_RELAY_IMAGE is not set: name the agents' image")
    surge = options.max_surge
    number = surge.removesuffix("%")
    if not number.isdecimal() or (surge.endswith("%") and int(number) > 100):
        raise ValueError(f"--max-surge {surge}: a number of nodes, or 0% to 100%")
    if not 1 <= options.agent_metrics_port <= 65000:
        raise ValueError(f"--agent-metrics-port {options.agent_metrics_port}: a port, 1 to 65000")
    address = options.agent_metrics_address
    try:
        elsewhere = not ipaddress.ip_address(address.strip("[]")).is_loopback
    except ValueError:
        raise ValueError(f"--agent-metrics-address {address}: an address of the node") from None
    if elsewhere and bool(options.agent_metrics_secret) == options.agent_metrics_open:
        raise ValueError(
            f"--agent-metrics-address {address} needs either --agent-metrics-secret, or"
            " --agent-metrics-open if whoever reaches the nodes may read metrics"
        )
    if options.agent_metrics_open and not elsewhere:
        raise ValueError("--agent-metrics-open needs --agent-metrics-address")
    folder = options.cni_dir
    if folder and (not folder.startswith("/") or ".." in folder.split("/")):
        raise ValueError(f"--cni-dir {folder}: an absolute path")
    return Settings(
        image=image,
        metrics_address=f"[{address}]" if ":" in address and "[" not in address else address,
        metrics_port=options.agent_metrics_port,
        metrics_secret=options.agent_metrics_secret,
        cni_folder=folder,
        max_surge=surge,
        selinux_type=options.agent_selinux_type,
        image_pull_secrets=tuple(options.agent_pull_secret),
    )


def _configuration() -> SingleConfig:
    found = KubeConfig.from_env().get()
    if found is None:
        raise ConfigError("the configuration names no context")
    return found


def _listeners(
    options: argparse.Namespace, loop: Loop, lease: Lease, counted: Metrics
) -> list[Listener]:
    def age() -> float:
        return time.monotonic() - loop.last_turn

    counted.leading.set_function(lambda: float(lease.left() > 0))
    counted.since_turn.set_function(age)
    pages = health(lambda: age() < _STUCK, lambda: True)
    found = [Listener(options.health_probe_bind_address, pages)]
    if options.metrics_bind_address != "0":
        context = None
        if options.metrics_cert_dir is not None:
            context = tls(
                options.metrics_cert_dir,
                least=options.tls_min_version,
                ciphers=options.tls_cipher_suites,
                client_ca=options.metrics_client_ca,
            )
        elif options.metrics_client_ca is not None:
            raise ValueError("--metrics-client-ca needs --metrics-cert-dir")
        found.append(Listener(options.metrics_bind_address, metrics(counted), context))
    return found


def _lead(lease: Lease, cluster: Cluster, loop: Loop, stop: threading.Event) -> None:
    """Hold the Lease for as long as the program runs; the loop is woken when it has come."""
    held = False
    while not stop.is_set():
        try:
            now_held = lease.turn(cluster)
            if not now_held:
                loop.stand_by()
        except Exception as error:  # it stays held until its time is over
            log.warning("lease not renewed", extra={"error": f"{type(error).__name__}: {error}"})
            now_held = lease.left() > 0
        if now_held != held:
            log.info("leading" if now_held else "standing by", extra={"identity": lease.identity})
            held = now_held
            loop.wake()
        stop.wait(RENEW if held else RENEW / 2)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until SIGTERM or SIGINT. Returns the exit status: 2 where it could not begin."""
    options = parser().parse_args(arguments)
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(_Json())
    logging.basicConfig(level=options.log_level.upper(), handlers=[handler])
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    logging.getLogger("httpcore2").setLevel(logging.WARNING)

    stop = threading.Event()
    lease = Lease(f"{os.environ.get('POD_NAME') or socket.gethostname()}_{uuid.uuid4().hex[:8]}")
    counted = Metrics()
    listeners = []
    try:
        settings = _settings(options)
        config = _configuration()
        cluster = Cluster(
            config,
            options.namespace or config.namespace,
            all_namespaces=options.all_namespaces,
            time_left=lease.left,
            told=counted.request,
        )
        loop = Loop(
            cluster,
            settings,
            time_left=lease.left,
            stop=stop,
            identity=lease.identity,
            told=counted.turn,
        )
        listeners = _listeners(options, loop, lease, counted)
    except (ConfigError, OSError, ValueError) as error:
        print(f"pfstatus.operator: {error}", file=sys.stderr)
        return 2

    def end(_signal: int, _frame: object) -> None:
        lease.end()
        stop.set()
        loop.wake()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    leader = threading.Thread(target=_lead, args=(lease, cluster, loop, stop), name="lease")
    leader.start()
    for plural in WATCHED:
        Watcher(plural, cluster.watch, loop.wake, stop).start()
    log.info("Starting operator", extra={"namespace": cluster.namespace, "image": settings.image})
    loop.run()
    leader.join()
    try:
        lease.release(cluster)
    except Exception as error:  # it ends by itself
        log.warning("lease not given up", extra={"error": str(error)})
    for listener in listeners:
        listener.close()
    cluster.close()
    log.info("Stopped")
    return 0


if __name__ == "__main__":
    sys.exit(main())
