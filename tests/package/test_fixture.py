"""The pytest fixture, as a project that embeds pfstatus has it."""

from __future__ import annotations

pytest_plugins = ["pytester"]


def test_fixture_is_found_and_its_kernel_ends_with_the_test(pytester):
    pytester.makepyfile("""
        import threading

        import pytest
        from pfstatus import LacpStatus, LinkNotFoundError

        def kernels():
            return [t for t in threading.enumerate() if t.name == "FakeKernel"]

        def test_one(pfstatus_kernel):
            pfstatus_kernel.add_bond("bond0", pfstatus_kernel.add_pf("ens5f0", vfs=2))
            with pfstatus_kernel.session() as session:
                assert session.get("ens5f0").lacp.status is LacpStatus.UP
            assert len(kernels()) == 1

        def test_another(pfstatus_kernel):
            with pfstatus_kernel.session() as session, pytest.raises(LinkNotFoundError):
                session.get("ens5f0")
            assert len(kernels()) == 1

        def test_none():
            assert not kernels()
    """)
    pytester.runpytest_subprocess().assert_outcomes(passed=3)


def test_projects_that_do_without_pay_nothing(pytester):
    pytester.makepyfile("""
        import sys

        def test_one():
            assert "pytest_pfstatus" in sys.modules
            assert not {"pfstatus", "_cffi_backend"} & sys.modules.keys()
    """)
    pytester.runpytest_subprocess().assert_outcomes(passed=1)


def test_fixture_is_listed_with_its_sentence(pytester):
    listed = pytester.runpytest_subprocess("--fixtures").stdout
    listed.fnmatch_lines(
        ["pfstatus_kernel -- *pytest_pfstatus.py:*", "*pfstatus.testing.FakeKernel*"]
    )
