"""The relay at work, told as it happens: a switch port dies in silence, without it, with it, and
with a heartbeat.

    python3 tests/lab/vm.py --results results/demo -- python tests/lab/demo.py [--color]

Ends with 0 only if the failover and the recovery really happened, and says what did not.
"""

import argparse
import json
import os
import sys
import textwrap
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from nic import Record
from picture import draw
from relay_process import RelayProcess
from timeline import Timeline, Tone, milliseconds, seconds, table
from topology import Lab, Port, ip, run
from witnesses import Change, Figures, Reply, Round, Witnesses, from_wall, lost, measure, silence

NUM_VFS = 4
CALM_SECONDS = 2.0
FAULT_SECONDS = 8.0
RECOVERY_SECONDS = 40.0
LOOK_SECONDS = 0.1
"""Between looks: often enough to tell live, seldom enough not to keep the relay from its work."""
SILENT_NS = 500_000_000
RELAY_ENVIRONMENT = {
    "PF_STATUS_RELAY_INTERFACES": "pf0,pf1",
    "PF_STATUS_RELAY_POLLING_INTERVAL": "1000",
}

TOPOLOGY = """
   pod                        node                       switch
  ┌─────────────────┐        ┌─────────────────┐        ┌──────────────────┐
  │         ┌ pf0v0 ┼─ VF 0 ─┼─ pf0 ── bond0   ╞════════╡ sw0 ┐            │
  │  net0 ──┤       │        │                 │ cables │     ├─ 192.0.2.1 │
  │         └ pf1v0 ┼─ VF 0 ─┼─ pf1 ── bond1   ╞════════╡ sw1 ┘            │
  └─────────────────┘        └─────────────────┘        └──────────────────┘
   bond, active-backup        LACP  ◄── a heartbeat each second ──►  LACP
"""

INTRODUCTION = """\
A pod has two ways to the switch. Each is a virtual function (VF) of another
network port (a physical function, PF) of the node. The pod's bond, net0, uses
one way, and takes the other when a VF loses its link; that is all it can see.
Between each PF and the switch runs LACP.

Three times the switch goes mute on pf0's port for 8 seconds: it sends neither
data nor LACP, while the cable keeps its link. First without the relay, then
with it, then with its heartbeat, by which it asks the switch for LACPDUs. The
pod pings the switch all the time, some 40 times a second. Kernel, bonding, LACP
and netlink are real; the NIC and the cables are simulated, the switch is a
Linux bridge."""

NOTES = """\
LACP itself takes 3 s after the last LACPDU, which was up to 1 s before the
fault. With --heartbeat pulse the switch is asked for LACPDUs that it must send
at once; when it does not, the relay knows before the kernel. What the relay
adds is the time to the last VF. The pod's bond then looks at its VFs every
100 ms. The switch was mute but not deaf. Were it both, loss would be noticed
just as fast; but then both ends send slowly, and LACP itself takes up to 30 s
to come back once the fault is over (--revive ends that)."""


_SAID = (
    "lacp is up",
    "lacp is down",
    "partner is silent",
    "silence of the partner was confirmed",
)
"""What is told of the relay's own lines."""


class Demo:
    """The stage, and who tells what happens on it."""

    def __init__(self, timeline: Timeline, port: Port, witnesses: Witnesses) -> None:
        self._timeline = timeline
        self._say = timeline.say
        self._port = port
        self.seen = witnesses
        self._relay: RelayProcess | None = None
        self._relay_lines = 0
        self._silent = False
        self.link_stayed = True

    def listen_to(self, relay: RelayProcess) -> None:
        """Tells what this relay says from now on."""
        self._relay, self._relay_lines = relay, 0

    # Telling

    def look(self) -> None:
        """Tells what is new."""
        for change in self.seen.bond.look():
            self._tell_active(change)
        for one in self.seen.pf.look():
            self._tell_vf(one) if isinstance(one, Record) else self._tell_lacp(one)
        self._tell_relay()
        before = self.seen.pings.replies[-1:]
        for reply in self.seen.pings.look():
            self._tell_reply(before, reply)
            before = [reply]
        if before and not self._silent and time.monotonic_ns() - before[0].ns > SILENT_NS:
            self._silent = True
            self._say("pings", "no answer for half a second", Tone.BAD)
        self.link_stayed = self.link_stayed and self.seen.pf.has_link()
        self._timeline.flush()

    def _tell_active(self, change: Change) -> None:
        tone = Tone.GOOD if self._silent else Tone.PLAIN
        self._say("pod", f"net0 now sends by {change.state}", tone, change.ns)

    def _tell_lacp(self, change: Change) -> None:
        pf = self._port.pf
        link = "up" if self.seen.pf.has_link() else "down"
        if change.state == "up":
            self._say("LACP", f"up again on {pf}", Tone.GOOD, change.ns)
        elif change.ns == self.seen.pf.turned_ns:
            lost_how = f"lost on {pf} ({change.state}); the link of {pf} is {link}"
            self._say("LACP", lost_how, Tone.BAD, change.ns)
        elif change.state == "defaulted":
            self._say("LACP", f"{pf} gives up its partner (defaulted)", Tone.BAD, change.ns)

    def _tell_vf(self, record: Record) -> None:
        delay = (record.ns - self.seen.pf.turned_ns) / 1e6
        if record.result:
            text = f"could not be set to {record.state}: {os.strerror(-record.result)}"
        elif record.state == "disable":
            text = f"disabled, {delay:.1f} ms after the kernel announced the loss"
            if self.seen.pf.lacp[-1].state == "up":
                text = "disabled, while the kernel calls LACP up"
        else:
            text = f"{record.state} again, {delay:.1f} ms after LACP was back"
        self._say(f"VF {record.vf}", text, Tone.BAD if record.result else Tone.TOLD, record.ns)

    def _tell_relay(self) -> None:
        lines = self._relay.lines[self._relay_lines :] if self._relay else []
        self._relay_lines += len(lines)
        for line in lines:
            if line["msg"] in _SAID:
                why = f" ({line['reason']})" if "reason" in line else ""
                said = f"says: {line['msg']} on {line['interface']}{why}"
                self._say("relay", said, Tone.TOLD, from_wall(datetime.fromisoformat(line["time"])))

    def _tell_reply(self, before: list[Reply], reply: Reply) -> None:
        gap = silence([*before, reply])
        if gap * 1e9 > SILENT_NS:
            missed = lost([*before, reply])
            self._say("pings", f"answered again: {gap:.2f} s, {missed} lost", Tone.GOOD, reply.ns)
        self._silent = False

    # Doing

    def pause(self, length: float) -> None:
        """Lets time pass."""
        self.wait(lambda: False, length)

    def wait(self, condition: Callable[[], bool], timeout: float) -> bool:
        """Lets time pass until the condition holds; False if it never did."""
        deadline = time.monotonic() + timeout
        while not (held := condition()) and time.monotonic() < deadline:
            time.sleep(LOOK_SECONDS)
            self.look()
        return held

    def fault(self, title: str) -> Round:
        """The switch goes mute on the port, and speaks again."""
        begin_ns = time.monotonic_ns()
        self.pause(CALM_SECONDS)
        mute_ns = self._mute()
        self.pause(FAULT_SECONDS - 0.3)
        self._tell_state()
        self.pause(0.3)
        speak_ns = self._speak()
        self.wait(lambda: self.seen.pf.lacp[-1].state == "up", RECOVERY_SECONDS)
        self.pause(CALM_SECONDS)
        self.seen.pf.restart(sample=False)
        silent = self._relay.said("partner is silent") if self._relay else []
        silent_ns = from_wall(datetime.fromisoformat(silent[-1]["time"])) if silent else None
        return Round(title, begin_ns, mute_ns, speak_ns, time.monotonic_ns(), silent_ns)

    def _mute(self) -> int:
        port = self._port.switch_port
        commands = (
            f"qdisc replace dev {port} clsact",
            f"filter replace dev {port} egress pref 1 protocol all matchall action drop",
        )
        run("tc", "-n", "sw", "-batch", "-", stdin="\n".join(commands) + "\n")
        return self._switch("mute", f"goes mute on the port of {self._port.pf}", Tone.BAD)

    def _speak(self) -> int:
        self.seen.pf.restart(sample=True)
        run("tc", "-n", "sw", "qdisc", "del", "dev", self._port.switch_port, "clsact")
        return self._switch("forwards", f"speaks again to {self._port.pf}", Tone.GOOD)

    def _switch(self, state: str, text: str, tone: Tone) -> int:
        change = Change(time.monotonic_ns(), state)
        self.seen.switch.append(change)
        self._say("switch", text, tone, change.ns)
        return change.ns

    def _tell_state(self) -> None:
        active = self.seen.bond.active
        link = "up" if self.seen.bond.links.get(active, True) else "down"
        answers = "unanswered" if self._silent else "answered"
        tone = Tone.BAD if self._silent else Tone.GOOD
        self._say("pod", f"sends by {active}, whose link is {link}: pings are {answers}", tone)

    def use_first_path(self) -> int:
        """Moves the pod's traffic back by hand. Returns the pings lost over it."""
        first = f"{self._port.pf}v0"
        begin_ns = time.monotonic_ns()
        self._say("pod", f"is told to use {first} again")
        ip(f"link set net0 type bond active_slave {first}", netns="pod")
        self.wait(lambda: self.seen.bond.active == first, 5)
        self.pause(CALM_SECONDS)
        replies = [reply for reply in self.seen.pings.replies if reply.ns >= begin_ns]
        missed = lost(replies)
        self._say("pings", f"{len(replies)} answered, {missed} lost", Tone.GOOD)
        return missed


class Story(NamedTuple):
    """What was played."""

    rounds: list[Round]
    missed: list[int]
    """Pings lost by moving back, in each round with a relay."""
    lines: list[str]
    """The relays' own."""


@contextmanager
def stage(timeline: Timeline) -> Iterator[tuple[Lab, Demo]]:
    """Builds the network, with LACP up and the pod pinging by the first PF's VF."""
    lab = Lab()
    lab.up()
    timeline.write("LACP is up on pf0 and pf1.")
    for port in lab.ports:
        port.nic.num_vfs = NUM_VFS
    pod = lab.pod()
    port = lab.ports[0]
    ip(f"link set net0 type bond active_slave {port.pf}v0", netns="pod")
    # Else the first fault would begin while the modules for it are loaded.
    run("modprobe", "-a", "sch_ingress", "cls_matchall", "act_gact")
    timeline.write(f"Each PF has {NUM_VFS} VFs. The pod sends by {pod.active_slave()}.")
    with Witnesses(port, f"{port.pf}v0") as witnesses:
        demo = Demo(timeline, port, witnesses)
        if not demo.wait(lambda: bool(witnesses.pings.replies), 10):
            raise TimeoutError("not within 10 s: an answer to the pod's pings")
        timeline.start()
        yield lab, demo
    lab.down()


def tell_story(timeline: Timeline, lab: Lab, demo: Demo) -> Story:
    """Plays the rounds."""
    timeline.heading("1  Without the relay")
    rounds = [demo.fault("without the relay")]
    timeline.heading("2  With the relay")
    shown = "".join(f"$ export {name}={value}\n" for name, value in RELAY_ENVIRONMENT.items())
    timeline.write(f"{shown}$ examples/relay.py", Tone.FAINT)
    names = [port.pf for port in lab.ports]
    with RelayProcess(env=RELAY_ENVIRONMENT) as relay:
        demo.listen_to(relay)
        demo.wait(lambda: all(relay.said("lacp is up", interface=name) for name in names), 20)
        rounds.append(demo.fault("with the relay"))
        missed = [demo.use_first_path()]
        relay.terminate()
    timeline.heading("3  With its heartbeat")
    timeline.write("$ examples/relay.py --heartbeat pulse", Tone.FAINT)
    with RelayProcess("--heartbeat", "pulse", env=RELAY_ENVIRONMENT) as asking:
        demo.listen_to(asking)
        timeline.write("The relay asks the switch, to learn how it answers: half a minute.")
        learned = "partner was learned"
        demo.wait(lambda: all(asking.said(learned, interface=name) for name in names), 90)
        for line in asking.said(learned):
            said = f"{line['interface']}: {line['partner']}"
            timeline.write(textwrap.fill(said, 78, subsequent_indent="  "))
        rounds.append(demo.fault("with its heartbeat"))
        missed.append(demo.use_first_path())
        asking.terminate()
    lines = [json.dumps(line, separators=(",", ":")) for line in (*relay.lines, *asking.lines)]
    return Story(rounds, missed, lines)


def summary(figures: Sequence[Figures], missed: Sequence[int]) -> str:
    """The rounds side by side."""

    def row(what: str, show: Callable[[Figures], str]) -> tuple[str, ...]:
        return what, *map(show, figures)

    return table(
        ("", "without", "relay", "heartbeat"),
        (
            row("switch mute for", lambda f: seconds(f.fault)),
            row("LACP loss announced by the kernel, after", lambda f: seconds(f.detection)),
            row("silence known by the heartbeat, after", lambda f: seconds(f.silent)),
            row("  first VF disabled, after the earlier", lambda f: milliseconds(f.first_vf)),
            row("  last VF disabled, after that", lambda f: milliseconds(f.last_vf)),
            row("  pod on its other path, after that", lambda f: milliseconds(f.failover)),
            row("  pings answered again, after that", lambda f: milliseconds(f.answered)),
            row("pings lost", lambda f: str(f.lost)),
            row("longest time without an answer", lambda f: seconds(f.silence)),
            row("LACP back, after the switch spoke again", lambda f: seconds(f.lacp_back)),
            row("  VFs back in auto, after that", lambda f: milliseconds(f.vfs_back, "-")),
            ("pings lost by moving back to pf0v0", "-", *map(str, missed)),
        ),
    )


def shortcomings(lab: Lab, demo: Demo, figures: Sequence[Figures]) -> list[str]:
    """What should have happened and did not."""
    without, with_relay, asking = figures
    port, other = lab.ports
    seen = demo.seen
    disabled = {r.vf for r in seen.pf.sets if r.state == "disable" and r.result == 0}
    others = [record for record in other.nic.trace() if record.kind == "set"]
    moved = seen.bond.changes[-1]
    expected = {
        "without the relay the pod lost its pings for the whole fault": without.failover is None
        and without.first_vf is None
        and without.silence >= 0.9 * without.fault,
        "the link of pf0 stayed up all the time": demo.link_stayed,
        "all VFs of pf0 were disabled": disabled == set(range(NUM_VFS)),
        "no VF of pf1 was touched": not others,
        "the pod failed over, and its pings were answered during the fault": (
            with_relay.answered is not None
        ),
        "with the heartbeat the pod failed over before the kernel announced the loss": (
            None not in (asking.silent, asking.failover, asking.detection)
            and (asking.silent or 0) + (asking.failover or 0) < (asking.detection or 0)
        ),
        "LACP came back on pf0": seen.pf.lacp[-1].state == "up",
        "all VFs of pf0 are in auto again": set(port.nic.vf_states().values()) == {"auto"},
        "the pod uses pf0v0 again, and its pings are answered": (
            moved.state == f"{port.pf}v0" and seen.pings.replies[-1].ns > moved.ns + SILENT_NS
        ),
    }
    return [sentence for sentence, happened in expected.items() if not happened]


def play(timeline: Timeline, folder: str) -> int:
    """Plays everything, and gives the exit status."""
    with stage(timeline) as (lab, demo):
        story = tell_story(timeline, lab, demo)
        figures = [measure(demo.seen, one) for one in story.rounds]
        failed = shortcomings(lab, demo, figures)
    shown = summary(figures, story.missed)
    timeline.heading("What happened")
    timeline.write(f"{shown}\n\n{NOTES}\n")
    for sentence in failed:
        timeline.write(f"It did not happen that {sentence}.", Tone.BAD)
    if not failed:
        timeline.write("The pod failed over and the path recovered.", Tone.GOOD)
    results = os.environ.get("LAB_RESULTS")
    if results:
        verdict = "\n".join(f"Did not happen: {sentence}." for sentence in failed)
        files = {
            "relay.jsonl": "\n".join(story.lines),
            "summary.txt": f"{shown}\n\n{NOTES}\n{verdict}".rstrip(),
            "timeline.svg": draw(demo.seen, story.rounds, figures),
        }
        for name, text in files.items():
            (Path(results) / name).write_text(text + "\n")
        timeline.write(f"In {folder}: {', '.join(files)}")
    return 1 if failed else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--color", action="store_true", help="though stdout is no terminal")
    parser.add_argument(
        "--folder", default="results/demo", help="$LAB_RESULTS as it is called outside"
    )
    options = parser.parse_args()
    wanted = options.color or os.environ.get("FORCE_COLOR") or sys.stdout.isatty()
    timeline = Timeline(colour=bool(wanted) and not os.environ.get("NO_COLOR"))
    timeline.write(TOPOLOGY)
    timeline.write(INTRODUCTION + "\n")
    timeline.write("Building it ...", Tone.FAINT)
    try:
        return play(timeline, options.folder)
    except (TimeoutError, RuntimeError) as error:
        timeline.write(f"The demo could not be played: {error}", Tone.BAD)
        return 1


if __name__ == "__main__":
    sys.exit(main())
