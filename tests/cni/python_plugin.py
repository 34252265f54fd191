"""examples/cni/pfstatus-cni on a sysfs and a kernel that a test made.

    python python_plugin.py CONTROL_FD

Each datagram on that descriptor is a call: its environment and working directory, with stdin,
stdout, stderr and the descriptors of two FakeKernels, the host's and the pod's. It is served by a
fork(), since importing costs more than all the rest; the answers are its process id and then its
wait status.
"""

import importlib.machinery
import importlib.util
import json
import os
import socket
import sys
from pathlib import Path

from pfstatus import Session

PLUGIN = Path(__file__).parents[2] / "examples" / "cni" / "pfstatus-cni"


def load():
    loader = importlib.machinery.SourceFileLoader("pfstatus_cni", str(PLUGIN))
    spec = importlib.util.spec_from_loader("pfstatus_cni", loader)
    plugin = importlib.util.module_from_spec(spec)
    sys.modules["pfstatus_cni"] = plugin
    loader.exec_module(plugin)
    plugin.DEVICES = Path("devices")
    plugin.BOOT_ID = Path("boot_id")
    return plugin


def call(plugin, environment, directory, fds):
    *streams, host, pod = fds
    for stream, fd in enumerate(streams):
        os.dup2(fd, stream)
    os.chdir(directory)
    os.environ.clear()
    os.environ.update(environment)
    plugin.Session = lambda netns=None: Session.from_fds(os.dup(pod if netns else host))
    sys.exit(plugin.main())


def serve(control, plugin):
    while True:
        data, fds, _, _ = socket.recv_fds(control, 1 << 16, 5)
        if not data:
            return
        pid = os.fork()
        if not pid:
            control.close()
            call(plugin, *json.loads(data), fds)
        for fd in fds:
            os.close(fd)
        control.send(str(pid).encode())
        control.send(str(os.waitpid(pid, 0)[1]).encode())


serve(socket.socket(fileno=int(sys.argv[1])), load())
