"""The agent as a program: its signals, and who is told how it does."""

from __future__ import annotations

import errno
import signal
import sys
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pfstatus.agent.forewarn import Warnings
from pfstatus.agent.health import HealthFile
from pfstatus.agent.systemd import Beat, notify, reloading
from pfstatus.relay.loop import Relay
from pfstatus.relay.program import be_quick, check_permitted, end_by_signal, unlocked
from pfstatus.relay.report import Kind, Outbox, Report, json_lines, text_lines

if TYPE_CHECKING:
    from collections.abc import Callable

    from pfstatus.agent.config import Outlets
    from pfstatus.agent.metrics import Metrics
    from pfstatus.relay.config import Config
    from pfstatus.relay.policy import Policy
    from pfstatus.session import Session


class Settings(NamedTuple):
    """What a configuration says."""

    config: Config
    """What to relay, and how."""
    outlets: Outlets
    """Where to tell how it does."""


def serve(
    settings: Settings,
    *,
    session: Session | None = None,
    wait: bool = True,
    read: Callable[[], Settings] | None = None,
) -> None:
    """Relay until SIGTERM, SIGINT or SIGHUP, with a JSON object a line on standard output.

    Args:
        settings: what, and how.
        session: as for Relay.
        wait: whether to stand by where another relay has a PF, or another agent the address, or to
            fail.
        read: reads the settings again, at SIGHUP, which then ends nothing.

    Raises:
        ValueError: as for Relay.
        PermissionError: VFs could not be set.
        OSError: as for Relay; a PF is another relay's; an address cannot be had.
    """
    with Agent(settings, session=session, wait=wait) as agent:
        agent.run(read)


class Agent:
    """A relay, and who is told how it does.

    Args:
        settings: what, and how.
        session: as for Relay.
        wait: whether a PF or an address that others have is waited for.

    Raises:
        ValueError: as for Relay.
        PermissionError: VFs could not be set.
        OSError: as for Relay; an address cannot be had.
    """

    def __init__(self, settings: Settings, *, session: Session | None, wait: bool) -> None:
        config, self._outlets = settings
        self._wait = wait
        self._stdout = unlocked(sys.stdout)
        self._lines = text_lines if self._outlets.log == "text" else json_lines
        self._write = self._lines(self._stdout, config.level)
        self._counted: Metrics | None = None
        self._health: HealthFile | None = None
        self._beat = Beat()
        self._read: Callable[[], Settings] | None = None
        self._asked = False  # to read it
        with ExitStack() as stack:
            self._outbox = stack.enter_context(Outbox(self._tell))
            self._relay = stack.enter_context(
                Relay(
                    *config.interfaces,
                    interval=config.interval,
                    policy=_stand_by(config),
                    report=self._outbox,
                    session=session,
                )
            )
            end_by_signal(self._relay.stop)
            may_set_vfs = self._relay.may_set_vfs()
            check_permitted(config.policy, may_set_vfs=may_set_vfs)
            self._warnings = Warnings(self._outbox, may_set_vfs=may_set_vfs)
            if self._outlets.metrics or self._outlets.textfile:
                self._counted = self._metrics(config.policy, session)
                self._tell_metrics(stack, self._counted)
            if self._outlets.health_file:
                self._health = HealthFile(self._outlets.health_file, self._outbox)
                stack.callback(self._health.close)
            self._opened = stack.pop_all()

    def __enter__(self) -> Agent:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._opened.close()

    def _metrics(self, policy: Policy, session: Session | None) -> Metrics:
        """Imported by those who want them: they need prometheus-client, and 10 MB."""
        try:
            from pfstatus.agent.metrics import Metrics  # noqa: PLC0415
        except ImportError as exc:
            msg = f"metrics need prometheus-client: pip install 'pfstatus[agent]' ({exc})"
            raise ValueError(msg) from None
        from pfstatus.agent import lacpdus  # noqa: PLC0415

        # Asked in the namespace of whoever scrapes: of another one it would tell of namesakes.
        here = session is None or session.netns == Path("/proc/self/ns/net").stat().st_ino
        return Metrics(
            self._relay,
            policy.groups,
            warnings=lambda: self._warnings.topics,
            lacpdus=lacpdus.Reader() if here else None,
        )

    def _tell_metrics(self, stack: ExitStack, counted: Metrics) -> None:
        outlets = self._outlets
        if outlets.metrics:
            from pfstatus.agent.http import serve_http  # noqa: PLC0415 - likewise

            stack.enter_context(
                serve_http(
                    outlets.metrics,
                    counted.text,
                    self._beat.lives,
                    counted.ready,
                    wait=self._wait,
                    tls=outlets.tls(),
                )
            )
        if outlets.textfile:
            from pfstatus.agent.textfile import keep_textfile  # noqa: PLC0415

            stack.enter_context(keep_textfile(outlets.textfile, counted.text, self._no_textfile))

    def _no_textfile(self, exc: OSError) -> None:
        complain = Report(time.time_ns(), Kind.TEXTFILE_FAILED, {"error": exc})
        self._write([complain])

    def _tell(self, reports: list[Report]) -> None:
        """In the outbox's thread."""
        self._write(reports)
        if self._counted:
            self._counted(reports)

    def run(self, read: Callable[[], Settings] | None) -> None:
        """Until a signal ends it.

        Args:
            read: reads the settings again, at SIGHUP.

        Raises:
            OSError: a PF is another relay's; the relay's sockets failed.
        """
        if read:
            self._read = read
            signal.signal(signal.SIGHUP, self._ask)
        self._relay.turn(0)
        pfs = self._relay.snapshot()
        taken = [name for name, pf in pfs.items() if pf.waits]
        if taken and not self._wait:
            msg = f"another relay has {', '.join(taken)}"
            raise OSError(errno.EBUSY, msg)
        _ready(list(pfs))
        be_quick()
        self._relay.run(self._beat, self._idle)
        notify("STOPPING=1")

    def _ask(self, *_: object) -> None:
        self._asked = True

    def _idle(self) -> None:
        """In the relay's thread, when nothing is urgent."""
        if self._asked and self._read:
            self._asked = False
            self._reload(self._read)
        pfs = self._relay.snapshot()
        self._warnings.update(pfs)
        if self._health:
            self._health.update(pfs)

    def _reload(self, read: Callable[[], Settings]) -> None:
        """Go on with new settings; with the old ones if something is wrong with those."""
        reloading()
        try:
            config, outlets = read()
            outlets.refuse_change(self._outlets)
            self._relay.reconfigure(
                *config.interfaces, interval=config.interval, policy=_stand_by(config)
            )
        except (ValueError, OSError) as exc:
            self._outbox([Report(time.time_ns(), Kind.RELOAD_FAILED, {"error": str(exc)})])
            notify("READY=1")
            return
        self._write = self._lines(self._stdout, config.level)
        if self._counted:
            self._counted.groups = config.policy.groups
        _ready(list(config.interfaces))


def _ready(interfaces: list[str]) -> None:
    notify("READY=1", f"STATUS=relaying {', '.join(interfaces)}")


def _stand_by(config: Config) -> Policy:
    return replace(config.policy, stand_by=True)
