from __future__ import annotations

import copy
import dataclasses
import json
import pickle
import pydoc
import re
from pathlib import Path

import jsonschema
import pytest

from pfstatus import (
    Bond,
    BondMode,
    Cause,
    Change,
    Direction,
    Error,
    Lacp,
    LacpRate,
    LacpReason,
    LacpStatus,
    LinkStatus,
    OperState,
    PortState,
    Vf,
    VfLinkState,
    VfResult,
)
from pfstatus._core import ffi, lib
from pfstatus.values import Vfs

HEADER = Path(__file__).parent.parent / "csrc" / "pfstatus.h"
SCHEMA = json.loads(
    (Path(__file__).parent.parent / "docs" / "status.schema.json").read_text(encoding="utf-8")
)
UAPI = Path("/usr/include/linux")

UP = Lacp(LacpStatus.UP, LacpReason.UP, "LACP is up.")
EXPIRED = Lacp(LacpStatus.DOWN, LacpReason.EXPIRED, "LACPDUs have stopped.")
ABSENT = Lacp(LacpStatus.UNKNOWN, LacpReason.ABSENT, "There is no interface.")
BOND = Bond(
    7, "bond0", BondMode.IEEE_802_3AD, LacpRate.FAST, 100, 0, 1, 1, 15, 3, "02:00:00:00:00:01"
)
PF = LinkStatus(
    "ens5f0",
    UP,
    ifname="ens5f0",
    ifindex=3,
    operstate=OperState.UP,
    master=7,
    master_kind="bond",
    bond=BOND,
    active=True,
    aggregator_id=1,
    actor=PortState(0x3F),
    partner=PortState(0x3F),
    num_vfs=1,
    vfs=(Vf(0, VfLinkState.AUTO),),
    admin_up=True,
    carrier=True,
    parent="0000:3b:00.0",
)
NOWHERE = LinkStatus("ens5f0", ABSENT)
OCTET_3F = {
    "value": 0x3F,
    "flags": [
        *("activity", "timeout", "aggregation", "synchronization"),
        *("collecting", "distributing"),
    ],
}
UNSAID = {
    field.name: None for field in dataclasses.fields(Bond) if field.name not in {"ifindex", "name"}
}
VALUES = [
    *(VfLinkState.AUTO, PortState.EXPIRED, BondMode.ACTIVE_BACKUP, LacpRate.SLOW, OperState.UP),
    *(LacpStatus.DOWN, LacpReason.NO_BOND, Cause.RESYNC),
    *(UP, BOND, PF, Vf(3, VfLinkState.ENABLE), Change(None, PF, Cause.START)),
]


def constants(text: str, prefix: str) -> dict[str, int]:
    """``PREFIX_NAME = 1`` and ``#define PREFIX_NAME 1`` in a C header."""
    found = re.findall(
        rf"^(?:#define)?\s*{prefix}(\w+)\s*=?\s*(0x[0-9a-f]+|\d+)\b", text, re.MULTILINE
    )
    return {name: int(value, 0) for name, value in found}


def members(enum) -> dict[str, int]:
    return {member.name: member.value for member in enum}


@pytest.mark.parametrize(
    ("enum", "prefix"),
    [
        (VfLinkState, "PFS_VF_"),
        (PortState, "PFS_LACP_STATE_"),
        (LacpReason, r"PFS_LACP_(?!STATE_)"),
        (Direction, "PFS_TAP_"),
    ],
    ids=["VfLinkState", "PortState", "LacpReason", "Direction"],
)
def test_enum_is_the_header_s(enum, prefix):
    assert members(enum) == constants(HEADER.read_text(), prefix)


def uapi(name: str) -> str:
    path = UAPI / name
    if not path.exists():
        pytest.skip(f"the kernel's header {path} is not installed")
    return path.read_text()


def test_lacp_state_is_the_kernel_s():
    kernel = constants(uapi("if_bonding.h"), "LACP_STATE_")
    if not kernel:
        pytest.skip("the kernel's headers are older than 5.8")
    assert {name.removeprefix("LACP_"): value for name, value in kernel.items()} == members(
        PortState
    )


def test_bond_mode_is_the_kernel_s():
    assert constants(uapi("if_bonding.h"), "BOND_MODE_") == {
        "ROUNDROBIN": BondMode.BALANCE_RR,
        "ACTIVEBACKUP": BondMode.ACTIVE_BACKUP,
        "XOR": BondMode.BALANCE_XOR,
        "BROADCAST": BondMode.BROADCAST,
        "8023AD": BondMode.IEEE_802_3AD,
        "TLB": BondMode.BALANCE_TLB,
        "ALB": BondMode.BALANCE_ALB,
    }


def in_order(text: str, prefix: str) -> list[str]:
    """Members of a C enum that counts from 0."""
    return re.findall(rf"^\s*{prefix}([A-Z]+),", text, re.MULTILINE)


def test_link_state_is_the_kernel_s():
    assert in_order(uapi("if_link.h"), "IFLA_VF_LINK_STATE_") == [
        state.name for state in VfLinkState
    ]


def test_oper_state_is_the_kernel_s():
    assert in_order(uapi("if.h"), "IF_OPER_") == [state.name for state in OperState]


def test_lacp_reason_is_called_as_in_c():
    in_c = {reason: ffi.string(lib.pfs_lacp_name(reason)).decode() for reason in LacpReason}
    assert in_c == {reason: str(reason) for reason in LacpReason}


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_value_is_hashable_and_survives_pickle(value):
    again = pickle.loads(pickle.dumps(value))
    assert again == value == copy.deepcopy(value)
    assert hash(again) == hash(value)
    assert type(again) is type(value)


@pytest.mark.parametrize(
    "value", [UP, BOND, PF, Change(None, PF, Cause.START)], ids=lambda v: type(v).__name__
)
def test_value_is_frozen(value):
    names = getattr(value, "_fields", None) or [one.name for one in dataclasses.fields(value)]
    field = names[0]
    with pytest.raises(AttributeError):
        setattr(value, field, None)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (VfLinkState.AUTO, "auto"),
        (VfLinkState.DISABLE, "disable"),
        (BondMode.IEEE_802_3AD, "802.3ad"),
        (BondMode.ACTIVE_BACKUP, "active-backup"),
        (LacpRate.SLOW, "slow"),
        (OperState.LOWERLAYERDOWN, "lowerlayerdown"),
        (LacpStatus.UNKNOWN, "unknown"),
        (LacpReason.NOT_A_BOND, "not-a-bond"),
        (Cause.RESYNC, "resync"),
        (UP, "up"),
        (EXPIRED, "down (expired)"),
        (PF, "ens5f0: LACP up"),
        (Change(None, PF, Cause.START), "ens5f0: LACP up [start]"),
        (
            Change(PF, LinkStatus("ens5f0", ABSENT), Cause.EVENT),
            "ens5f0: LACP up -> unknown (absent) [event]",
        ),
    ],
    ids=str,
)
def test_value_reads_well(value, text):
    assert str(value) == text


@pytest.mark.parametrize("value", ["disable", "DISABLE", 2, VfLinkState.DISABLE], ids=repr)
def test_link_state_is_parsed(value):
    assert VfLinkState.parse(value) is VfLinkState.DISABLE


@pytest.mark.parametrize("value", ["down", "", "2", 3, -1, None, 1.5], ids=repr)
def test_link_state_refuses_what_is_none(value):
    with pytest.raises(ValueError, match="auto, enable or disable"):
        VfLinkState.parse(value)


def test_vf_result_carries_an_error():
    result = VfResult(3, VfLinkState.DISABLE, Error(16, "ens5f0"))
    assert pickle.loads(pickle.dumps(result)).error.errno == 16


# ---- As plain values


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (UP, "<pfstatus.Lacp up>"),
        (BOND, "<pfstatus.Bond bond0 ifindex=7 mode=802.3ad>"),
        (
            PF,
            "<pfstatus.LinkStatus ens5f0: LACP up ifindex=3 operstate=up bond=bond0 actor=0x3f "
            "partner=0x3f num_vfs=1>",
        ),
        (NOWHERE, "<pfstatus.LinkStatus ens5f0: LACP unknown (absent)>"),
        (
            Change(PF, NOWHERE, Cause.EVENT),
            "<pfstatus.Change ens5f0: LACP up -> unknown (absent) [event]>",
        ),
    ],
    ids=lambda value: "" if isinstance(value, str) else type(value).__name__,
)
def test_repr_is_short_and_says_what_is_known(value, text):
    assert repr(value) == text


def test_link_status_as_plain_values():
    assert PF.to_dict() == {
        "name": "ens5f0",
        "lacp": {"status": "up", "reason": "up", "sentence": "LACP is up."},
        "ifname": "ens5f0",
        "ifindex": 3,
        "operstate": "up",
        "master": 7,
        "master_kind": "bond",
        "bond": {
            "ifindex": 7,
            "name": "bond0",
            "mode": "802.3ad",
            "lacp_rate": "fast",
            "miimon": 100,
            "min_links": 0,
            "aggregator_id": 1,
            "num_ports": 1,
            "actor_key": 15,
            "partner_key": 3,
            "partner_mac": "02:00:00:00:00:01",
        },
        "active": True,
        "aggregator_id": 1,
        "actor": OCTET_3F,
        "partner": OCTET_3F,
        "num_vfs": 1,
        "vfs": [{"vf": 0, "link_state": "auto"}],
        "admin_up": True,
        "carrier": True,
        "parent": "0000:3b:00.0",
    }


def test_change_as_plain_values():
    assert Change(None, PF, Cause.START).to_dict() == {
        "name": "ens5f0",
        "cause": "start",
        "old": None,
        "new": PF.to_dict(),
    }


def test_values_without_a_word_are_numbers():
    bond = dataclasses.replace(BOND, mode=9)
    found = PF._replace(operstate=77, bond=bond).to_dict()
    assert (found["operstate"], found["bond"]["mode"]) == (77, 9)
    jsonschema.validate(found, SCHEMA)


@pytest.mark.parametrize(
    ("octet", "flags"),
    [
        (0, []),
        (0x47, ["activity", "timeout", "aggregation", "defaulted"]),
        (0xFF, [state.name.lower() for state in PortState]),
    ],
    ids=["none", "defaulted", "all"],
)
def test_port_state_is_its_octet_and_its_flags(octet, flags):
    assert PortState(octet).to_dict() == {"value": octet, "flags": flags}


def schema_of(name) -> dict:
    return SCHEMA["$defs"][name]


def test_schema_is_one():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize(
    "value",
    [
        PF,
        NOWHERE,
        PF._replace(bond=dataclasses.replace(BOND, **UNSAID), vfs=None),
        Change(None, PF, Cause.START),
        Change(PF, NOWHERE, Cause.EVENT),
    ],
    ids=repr,
)
def test_json_is_as_the_schema_says(value):
    found = json.loads(json.dumps(value.to_dict()))
    assert found == value.to_dict(), "JSON keeps all of it"
    jsonschema.validate(found, SCHEMA)
    jsonschema.validate([found], SCHEMA)
    found.pop("name")
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(found, SCHEMA)


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (PF, "link_status"),
        (BOND, "bond"),
        (UP, "lacp"),
        (PortState(0), "port_state"),
        (Vf(0, VfLinkState.AUTO), "vf"),
        (Change(None, PF, Cause.START), "change"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_schema_describes_each_key_and_no_other(value, name):
    described = schema_of(name)
    assert list(value.to_dict()) == list(described["properties"]) == described["required"]
    assert all("description" in key or "$ref" in key for key in described["properties"].values())


@pytest.mark.parametrize(
    ("enum", "name", "key"),
    [
        (LacpStatus, "lacp", "status"),
        (LacpReason, "lacp", "reason"),
        (VfLinkState, "vf", "link_state"),
        (Cause, "change", "cause"),
        (LacpRate, "bond", "lacp_rate"),
        (BondMode, "bond", "mode"),
        (OperState, "link_status", "operstate"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_schema_knows_each_word(enum, name, key):
    described = schema_of(name)["properties"][key]
    words = (described.get("anyOf") or [described])[0]["enum"]
    assert [word for word in words if word is not None] == [str(member) for member in enum]


# ---- From plain values


PLAIN = [UP, EXPIRED, BOND, PF, NOWHERE, Vf(3, VfLinkState.ENABLE), PortState(0xC5)]
PLAIN += [Change(None, PF, Cause.START), Change(PF, NOWHERE, Cause.RESYNC)]
PLAIN += [dataclasses.replace(BOND, mode=9, lacp_rate=None), PF._replace(operstate=9)]


@pytest.mark.parametrize("value", PLAIN, ids=str)
def test_plain_value_becomes_the_value_again(value):
    plain = json.loads(json.dumps(value.to_dict()))
    plain["a key that is yet to come"] = 1
    again = type(value).from_dict(plain)
    assert again == value
    assert type(again) is type(value)


@pytest.mark.parametrize(
    ("kind", "plain", "words"),
    [
        (LinkStatus, {"name": "ens5f0"}, r"no LinkStatus.to_dict\(\): it lacks 'bond'"),
        (Lacp, UP.to_dict() | {"reason": "gone"}, "'gone' is no LacpReason: up, expired"),
        (Bond, BOND.to_dict() | {"mode": "fast"}, "'fast' is no BondMode: balance-rr"),
        (Vf, {"vf": 0, "link_state": "down"}, "must be auto, enable or disable, not 'down'"),
        (Change, [], r"no Change.to_dict\(\)"),
        (LinkStatus, PF.to_dict() | {"vfs": 3}, r"no LinkStatus.to_dict\(\): 'int'"),
        (PortState, {"value": "0x3f"}, "PortState"),
    ],
    ids=["missing", "reason", "mode", "vf", "list", "vfs", "octet"],
)
def test_what_cannot_be_read_is_said(kind, plain, words):
    with pytest.raises(ValueError, match=words):
        kind.from_dict(plain)


@pytest.mark.parametrize("kind", [Lacp, Bond, LinkStatus, Change, Vf, Vfs, VfResult])
def test_help_says_what_each_field_is(kind):
    said = pydoc.plain(pydoc.render_doc(kind))
    names = getattr(kind, "_fields", None) or [field.name for field in dataclasses.fields(kind)]
    for name in names:
        assert re.search(rf"^ \|  +{name}: [A-Z`]", said, re.MULTILINE), name
