from pfstatus import LinkState, Relay


def test_vfs_fail_over(kernel):
    pf = kernel.add_pf("ens5f0", vfs=2)
    kernel.add_bond("bond0", pf)
    with Relay("ens5f0", session=kernel.session()) as relay:
        relay.turn(timeout=0)
        pf.lacp_expire()
        relay.turn(timeout=1)
        assert set(pf.vfs.values()) == {LinkState.DISABLE}
