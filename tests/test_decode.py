"""Bytes to values and back. The bytes are made and read by pfstatus.testing, not by the core."""

from __future__ import annotations

import struct
from contextlib import suppress
from types import SimpleNamespace

import pytest
from core_requests import encode_vf_set
from hypothesis import given
from hypothesis import strategies as st

from pfstatus import (
    BondMode,
    Error,
    LacpRate,
    LacpReason,
    MalformedError,
    OperState,
    PortState,
    Vf,
    VfLinkState,
)
from pfstatus._wire import decode
from pfstatus.recording import netlink
from pfstatus.recording.netlink import nla, nlas, nlmsg
from pfstatus.testing import FakeBond, FakeBridge, FakePf
from pfstatus.testing import links as kernel

VFS = netlink.RTEXT_FILTER_VF | kernel.RTEXT_FILTER_SKIP_STATS
VFS_WITH_STATS = netlink.RTEXT_FILTER_VF
WITH_OR_WITHOUT_STATS = pytest.mark.parametrize(
    "mask", [VFS, VFS_WITH_STATS], ids=["without-stats", "with-stats"]
)
HEADER = 32  # nlmsghdr and ifinfomsg


def bonded_pf(vfs: int = 0, *, mode: int = BondMode.IEEE_802_3AD) -> FakePf:
    """A PF in a bond, of no kernel in particular."""
    links = SimpleNamespace(links=[])
    pf = FakePf(links, 7, "ens5f0", (), vfs)
    pf.master = FakeBond(links, 9, "bond0", ())
    pf.master.mode = mode
    links.links += [pf, pf.master]
    return pf


def link_message(*attributes: bytes, kind: int = netlink.RTM_NEWLINK, family: int = 0) -> bytes:
    name = nla(netlink.IFLA_IFNAME, b"ens5f0\0")
    body = netlink.ifinfomsg(7, family=family) + name + b"".join(attributes)
    return nlmsg(kind, body)


def vf_info(vf: int, state: int) -> bytes:
    return nla(netlink.IFLA_VF_INFO, nla(netlink.IFLA_VF_LINK_STATE, struct.pack("=2I", vf, state)))


def num_vf(count: int) -> bytes:
    return nla(kernel.IFLA_NUM_VF, struct.pack("=I", count))


def offset_of(message: bytes, kind: int) -> int:
    """Where an attribute of the top level starts, if none of a lying length is before it."""
    at = HEADER
    while True:
        length, found = struct.unpack_from("=HH", message, at)
        if found & 0x3FFF == kind:
            return at
        at += length + -length % 4


def patched(message: bytes, at: int, data: bytes) -> bytes:
    return message[:at] + data + message[at + len(data) :]


# ---- Ports and bonds


def test_port_is_read():
    pf = bonded_pf()
    pf.actor, pf.partner = PortState(0x8F), PortState(0x37)
    pf.active = False
    pf.operstate = OperState.DORMANT
    status, bond, vfs = decode(pf.message())
    assert (status.name, status.ifname, status.ifindex) == ("ens5f0", "ens5f0", 7)
    assert (status.master, status.master_kind) == (9, "bond")
    assert (status.actor, status.partner, status.aggregator_id) == (0x8F, 0x37, 1)
    assert status.active is False
    assert status.operstate is OperState.DORMANT
    assert (bond, vfs) == (None, ())


def test_bond_is_read():
    bond_link = bonded_pf().master
    bond_link.lacp_rate = LacpRate.SLOW
    _, bond, _ = decode(bond_link.message())
    assert (bond.ifindex, bond.name, bond.mode) == (9, "bond0", BondMode.IEEE_802_3AD)
    assert (bond.lacp_rate, bond.miimon, bond.min_links) == (LacpRate.SLOW, 100, 0)
    assert (bond.aggregator_id, bond.num_ports) == (1, 1)
    assert (bond.actor_key, bond.partner_key) == (15, 32768)
    assert bond.partner_mac == "02:00:5e:00:00:01"


def test_bond_without_active_aggregator_has_no_ad_info():
    bond_link = bonded_pf().master
    bond_link.aggregator_id = None
    _, bond, _ = decode(bond_link.message())
    assert bond.mode is BondMode.IEEE_802_3AD
    assert (bond.aggregator_id, bond.num_ports, bond.partner_mac) == (None, None, None)


def test_mode_that_has_no_name_stays_a_number():
    _, bond, _ = decode(bonded_pf(mode=77).master.message())
    assert bond.mode == 77


def test_absent_ad_attributes_are_unknown_and_not_zero():
    pf = bonded_pf()
    pf.aggregator_id = None
    status, _, _ = decode(pf.message())
    assert (status.actor, status.partner, status.aggregator_id) == (None, None, None)
    assert status.lacp.reason is LacpReason.NO_AGGREGATOR


def test_partner_s_octet_is_read_from_16_bits():
    pf = bonded_pf()
    pf.partner = PortState(0xFF)
    status, _, _ = decode(pf.message())
    assert status.partner == 0xFF
    # On a little-endian host a reader of 8 bits would pass the above; not this.
    data = nla(6, struct.pack("=H", 1)) + nla(7, b"\x3f") + nla(8, b"\x3f")
    with pytest.raises(MalformedError):
        decode(link_message(port_info(data)))


def port_info(slave_data: bytes, slave_kind: bytes = b"bond\0") -> bytes:
    return nla(
        kernel.IFLA_LINKINFO,
        nla(kernel.IFLA_INFO_SLAVE_KIND, slave_kind),
        nla(kernel.IFLA_INFO_SLAVE_DATA, slave_data),
    )


def test_data_of_another_kind_of_master_is_not_read_as_a_bond_s():
    status, _, _ = decode(link_message(port_info(nla(7, b"\x3f"), b"bridge\0")))
    assert (status.master_kind, status.actor) == ("bridge", None)


def test_unknown_attributes_are_skipped_at_each_level():
    data = nla(7, b"\x3f") + nla(99, b"later kernels") + nla(8, b"\x3f\0")
    status, _, _ = decode(link_message(nla(999, b"?" * 9), port_info(data)))
    assert (status.actor, status.partner) == (0x3F, 0x3F)


def test_longer_attributes_are_read_as_far_as_they_are_known():
    status, _, _ = decode(link_message(port_info(nla(7, b"\x3f\xff\xff"))))
    assert status.actor == 0x3F


@pytest.mark.parametrize(
    ("attribute", "payload"),
    [
        (netlink.IFLA_IFNAME, b""),
        (kernel.IFLA_MASTER, b"\1\0\0"),
        (kernel.IFLA_OPERSTATE, b""),
        (kernel.IFLA_NUM_VF, b"\1\0"),
        (kernel.IFLA_LINKINFO, b"\1\0"),
        (kernel.IFLA_LINKINFO, nla(kernel.IFLA_INFO_SLAVE_KIND, b"bond\0") + nla(5, nla(6, b"\1"))),
        (kernel.IFLA_LINKINFO, nla(kernel.IFLA_INFO_SLAVE_KIND, b"bond\0") + nla(5, nla(7))),
        (kernel.IFLA_LINKINFO, nla(kernel.IFLA_INFO_KIND, b"bond\0") + nla(2, nla(1))),
        (kernel.IFLA_LINKINFO, nla(kernel.IFLA_INFO_KIND, b"bond\0") + nla(2, nla(3, b"\1\0"))),
        (
            kernel.IFLA_LINKINFO,
            nla(kernel.IFLA_INFO_KIND, b"bond\0") + nla(2, nla(23, nla(1, b"\1\0"))),
        ),
        (netlink.IFLA_VFINFO_LIST, nla(netlink.IFLA_VF_INFO, nla(5, b"\0\0\0\0"))),
        (netlink.IFLA_VFINFO_LIST, nla(netlink.IFLA_VF_INFO, b"\xff\xff")),
    ],
    ids=[
        "ifname", "master", "operstate", "num-vf", "linkinfo", "port-aggregator", "port-actor",
        "bond-mode", "bond-miimon", "ad-info-incomplete", "vf-link-state", "vf-attribute",
    ],
)  # fmt: skip
def test_short_attribute_is_malformed(attribute, payload):
    with pytest.raises(MalformedError):
        decode(link_message(nla(attribute, payload)))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({}, LacpReason.UP),
        ({"actor": 0x3D, "partner": 0x3D}, LacpReason.UP),
        ({"actor": 0x3E, "partner": 0x3F}, LacpReason.UP),
        ({"partner": 0x3B}, LacpReason.UP),
        ({"actor": 0x3B}, LacpReason.UP),
        ({"actor": 0x3B, "partner": 0x3B}, LacpReason.UP),
        ({"actor": 0xBF}, LacpReason.EXPIRED),
        ({"partner": 0xBF}, LacpReason.EXPIRED),
        ({"actor": 0xFF}, LacpReason.EXPIRED),
        ({"actor": 0x4F, "partner": 0x01}, LacpReason.DEFAULTED),
        ({"partner": 0x7F}, LacpReason.DEFAULTED),
        *[({"actor": 0x3F & ~bit}, LacpReason.NEGOTIATING) for bit in (8, 16, 32)],
        *[({"partner": 0x3F & ~bit}, LacpReason.NEGOTIATING) for bit in (8, 16, 32)],
        ({"active": False}, LacpReason.NEGOTIATING),
        ({"aggregator_id": 0}, LacpReason.NO_AGGREGATOR),
        ({"aggregator_id": None, "operstate": OperState.DOWN}, LacpReason.NO_AGGREGATOR),
        ({"operstate": OperState.DOWN, "actor": 0xFF}, LacpReason.LINK_DOWN),
        ({"operstate": OperState.UNKNOWN}, LacpReason.UP),
        ({"master": None}, LacpReason.NO_BOND),
        ({"master": FakeBridge(None, 9, "br0", ())}, LacpReason.NOT_A_BOND),
    ],
)  # fmt: skip
def test_lacp_is_judged_in_the_documented_order(change, reason):
    pf = bonded_pf()
    for name, value in change.items():
        setattr(pf, name, value)
    status, _, _ = decode(pf.message())
    assert status.lacp.reason is reason


# ---- VF lists

# 221 and 334 entries are the last ones that 16 bits can hold, with statistics and without.
SIZES = [0, 1, 221, 222, 256, 334, 335, 400, 512]


@WITH_OR_WITHOUT_STATS
@pytest.mark.parametrize("count", SIZES)
def test_vf_list_of_any_size_is_read_whole(count, mask):
    pf = bonded_pf(count)
    for vf in range(0, count, 3):
        pf.vfs[vf] = VfLinkState.DISABLE
    status, _, vfs = decode(pf.message(mask))
    assert vfs == tuple(Vf(vf, state) for vf, state in pf.vfs.items())
    assert status.num_vfs == count
    # What comes after the list must not be mistaken for a part of it.
    assert (status.master_kind, status.actor) == ("bond", 0x3F)


@pytest.mark.parametrize(
    ("count", "mask", "said"),
    [(256, VFS_WITH_STATS, 10_244), (400, VFS, 12_868)],
    ids=["256-with-stats", "400-without"],
)
def test_fake_kernel_s_list_wraps_as_the_real_one_s(count, mask, said):
    message = bonded_pf(count).message(mask)
    (length,) = struct.unpack_from("=H", message, offset_of(message, netlink.IFLA_VFINFO_LIST))
    assert length == said


@WITH_OR_WITHOUT_STATS
@pytest.mark.parametrize("count", [4, 256, 512])
def test_sparse_list_is_keyed_by_vf_and_not_by_position(count, mask):
    pf = bonded_pf(count)
    pf.vfs[3] = VfLinkState.DISABLE
    pf.hidden = {0, 2, count - 2}
    status, _, vfs = decode(pf.message(mask))
    assert Vf(3, VfLinkState.DISABLE) in vfs
    assert {vf for vf, _ in vfs} == set(range(count)) - pf.hidden
    assert status.num_vfs == count
    assert status.actor == 0x3F


def test_vfs_out_of_order_keep_the_kernel_s_order():
    pf = bonded_pf()
    pf.vfs = {7: VfLinkState.ENABLE, 0: VfLinkState.AUTO, 3: VfLinkState.DISABLE}
    assert decode(pf.message(VFS))[2] == ((7, 1), (0, 0), (3, 2))


def test_link_state_that_has_no_name_is_left_out():
    vf_list = nla(netlink.IFLA_VFINFO_LIST, vf_info(0, 0), vf_info(1, 3), vf_info(2, 2))
    assert decode(link_message(num_vf(3), vf_list))[2] == ((0, 0), (2, 2))


def test_vf_whose_driver_tells_no_link_state_is_left_out():
    mac = nla(netlink.IFLA_VF_INFO, nla(kernel.IFLA_VF_MAC, bytes(36)))
    vf_list = nla(netlink.IFLA_VFINFO_LIST, mac, vf_info(1, 2))
    assert decode(link_message(num_vf(2), vf_list))[2] == ((1, 2),)


@pytest.mark.parametrize("count", [2, 400])
@pytest.mark.parametrize("by", [-196, -4, 4, 196])
def test_list_whose_length_lies_is_malformed(count, by):
    message = bonded_pf(count).message(VFS)
    at = offset_of(message, netlink.IFLA_VFINFO_LIST)
    (length,) = struct.unpack_from("=H", message, at)
    with pytest.raises(MalformedError):
        decode(patched(message, at, struct.pack("=H", length + by)))


@pytest.mark.parametrize("count", [2, 400])
def test_fewer_vfs_announced_than_listed_is_malformed(count):
    message = bonded_pf(count).message(VFS)
    at = offset_of(message, kernel.IFLA_NUM_VF) + 4
    with pytest.raises(MalformedError):
        decode(patched(message, at, struct.pack("=I", count - 1)))


def test_more_vfs_announced_than_listed_is_a_sparse_list():
    message = bonded_pf(2).message(VFS)
    at = offset_of(message, kernel.IFLA_NUM_VF) + 4
    status, _, vfs = decode(patched(message, at, struct.pack("=I", 1 << 31)))
    assert (status.num_vfs, len(vfs)) == (1 << 31, 2)
    assert status.actor == 0x3F


@pytest.mark.parametrize("length", [0, 1, 3, 197, 0xFFFF])
def test_entry_whose_length_lies_is_malformed(length):
    message = bonded_pf(2).message(VFS)
    at = offset_of(message, netlink.IFLA_VFINFO_LIST) + 4
    with pytest.raises(MalformedError):
        decode(patched(message, at, struct.pack("=H", length)))


# ---- Messages


@pytest.mark.parametrize(
    "message",
    [
        link_message(family=7),
        link_message(family=7, kind=netlink.RTM_DELLINK),
        nlmsg(netlink.NLMSG_DONE, bytes(4)),
        nlmsg(20, bytes(8)),
    ],
    ids=["AF_BRIDGE", "bridge-port-left", "NLMSG_DONE", "RTM_NEWADDR"],
)
def test_message_of_something_else_is_none(message):
    assert decode(message) is None


@pytest.mark.parametrize(
    "message",
    [
        b"",
        bytes(15),
        bytes(16),
        struct.pack("=IHHII", 33, netlink.RTM_NEWLINK, 0, 0, 0) + bytes(16),
        nlmsg(netlink.RTM_NEWLINK, bytes(15)),
    ],
    ids=["empty", "short-header", "zero-length", "longer-than-data", "short-ifinfomsg"],
)
def test_message_that_lies_of_itself_is_malformed(message):
    with pytest.raises(MalformedError):
        decode(message)


def test_what_follows_the_message_is_not_read():
    message = link_message()
    assert decode(message + b"\xff" * 7) == decode(message)


# ---- Round trips

names = st.text("abcdefghijklmnop0123456789_.-\u00e9", min_size=1, max_size=7)
octets = st.integers(0, 255)
vf_states = st.dictionaries(st.integers(0, 65535), st.sampled_from(VfLinkState), max_size=24)


@st.composite
def pfs(draw) -> FakePf:
    pf = bonded_pf(mode=draw(st.sampled_from(BondMode)))
    pf.name = draw(names)
    pf.altnames = tuple(draw(st.lists(names, max_size=3)))
    pf.ifindex = draw(st.integers(1, 2**31 - 1))
    pf.up = draw(st.booleans())
    pf.operstate = draw(st.sampled_from(OperState))
    pf.active = draw(st.booleans())
    pf.aggregator_id = draw(st.none() | st.integers(0, 65535))
    pf.actor, pf.partner = PortState(draw(octets)), PortState(draw(octets))
    pf.vfs = draw(vf_states)
    pf.hidden = draw(st.sets(st.sampled_from(sorted(pf.vfs)))) if pf.vfs else set()
    if draw(st.booleans()):
        pf.master = draw(st.sampled_from([None, FakeBridge(pf.kernel, 10, "br0", ())]))
    return pf


masks = st.sampled_from([0, VFS, VFS_WITH_STATS])


@given(pfs(), masks)
def test_decoder_reads_what_the_kernel_wrote(pf, mask):
    status, bond, vfs = decode(pf.message(mask))
    assert (status.ifname, status.ifindex) == (pf.name, pf.ifindex)
    assert status.operstate is pf.operstate
    assert status.master == (pf.master.ifindex if pf.master else None)
    assert status.master_kind == (pf.master.kind if pf.master else None)
    in_bond = isinstance(pf.master, FakeBond)
    assert status.active == (pf.active if in_bond else None)
    lacp = in_bond and pf.master.mode == BondMode.IEEE_802_3AD and pf.aggregator_id is not None
    told = (pf.aggregator_id, pf.actor, pf.partner) if lacp else (None, None, None)
    assert (status.aggregator_id, status.actor, status.partner) == told
    shown = {vf: state for vf, state in pf.vfs.items() if vf not in pf.hidden} if mask else {}
    assert dict(vfs) == shown
    assert bond is None


@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_read_or_refused(data):
    with suppress(MalformedError):
        decode(data)


@given(st.binary(max_size=300))
def test_arbitrary_attributes_are_read_or_refused(data):
    with suppress(MalformedError):
        decode(link_message(data))


@given(st.data())
def test_mutated_messages_are_read_or_refused(data):
    message = bytearray(data.draw(pfs()).message(data.draw(masks)))
    spots = st.integers(0, len(message) - 1)
    for spot, octet in data.draw(st.dictionaries(spots, octets, min_size=1, max_size=8)).items():
        message[spot] = octet
    length = data.draw(st.integers(0, len(message)))
    # As it is, and cut short but honest about it.
    for mutant in (bytes(message), (struct.pack("=I", length) + message[4:])[:length]):
        with suppress(MalformedError):
            decode(mutant)


settings = st.lists(st.tuples(st.integers(0, 2**32 - 1), st.sampled_from(VfLinkState)), max_size=40)


def read_vf_set(message: bytes) -> tuple[int, int, list[tuple[int, int]]]:
    """(ifindex, seq, settings) of an RTM_SETLINK."""
    length, kind, flags, seq, port = struct.unpack_from("=IHHII", message)
    assert (length, kind, port) == (len(message), netlink.RTM_SETLINK, 0)
    assert flags == netlink.NLM_F_ACK | 1
    found = []
    for attribute, vf_list in nlas(message[HEADER:]):
        assert attribute == netlink.IFLA_VFINFO_LIST
        for entry, info in nlas(vf_list):
            assert entry == netlink.IFLA_VF_INFO
            ((kind, setting),) = nlas(info)
            assert kind == netlink.IFLA_VF_LINK_STATE
            found.append(struct.unpack("=2I", setting))
    return struct.unpack_from("=i", message, 20)[0], seq, found


@given(st.integers(0, 2**31 - 1), st.integers(0, 2**32 - 1), settings)
def test_vf_settings_are_encoded_as_the_kernel_reads_them(ifindex, seq, pairs):
    assert read_vf_set(encode_vf_set(ifindex, seq, pairs)) == (ifindex, seq, pairs)


def test_largest_batch_fits_the_list_s_16_bits_and_one_more_is_refused():
    pairs = [(vf, VfLinkState.DISABLE) for vf in range(4094)]
    assert read_vf_set(encode_vf_set(7, 1, pairs)) == (7, 1, pairs)
    with pytest.raises(Error, match="could not fit"):
        encode_vf_set(7, 1, [*pairs, (4094, VfLinkState.DISABLE)])
