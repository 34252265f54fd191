from __future__ import annotations

import copy
import errno
import pickle

import pytest

from pfstatus import (
    Error,
    EventsLostError,
    LinkNotFoundError,
    MalformedError,
    NoAnswerError,
    NotPermittedError,
)
from pfstatus.errors import error

CLASSES = [
    (errno.ENODEV, LinkNotFoundError),
    (errno.EPERM, NotPermittedError),
    (errno.ENOBUFS, EventsLostError),
    (errno.EBADMSG, MalformedError),
    (errno.ETIMEDOUT, NoAnswerError),
    (errno.EOPNOTSUPP, Error),
    (errno.ECANCELED, Error),
    (4095, Error),
]
ids = [errno.errorcode.get(number, str(number)) for number, _ in CLASSES]


@pytest.mark.parametrize(("number", "cls"), CLASSES, ids=ids)
def test_errno_finds_its_class_and_stays(number, cls):
    exc = error(number, "ens5f0", "said so")
    assert type(exc) is cls
    assert (exc.errno, exc.filename, exc.extack) == (number, "ens5f0", "said so")
    assert isinstance(exc, Error)
    assert isinstance(exc, OSError)


@pytest.mark.parametrize(("number", "cls"), CLASSES, ids=ids)
def test_error_survives_pickle_and_copy(number, cls):
    exc = error(number, "ens5f0", "said so")
    for again in (pickle.loads(pickle.dumps(exc)), copy.copy(exc)):
        assert type(again) is cls
        assert (again.errno, again.filename, again.extack) == (number, "ens5f0", "said so")
        assert str(again) == str(exc)


@pytest.mark.parametrize(
    ("number", "builtin"),
    [(errno.EPERM, PermissionError), (errno.ETIMEDOUT, TimeoutError)],
    ids=["EPERM", "ETIMEDOUT"],
)
def test_error_is_what_python_calls_it(number, builtin):
    with pytest.raises(builtin):
        raise error(number)


def test_text_shows_interface_and_the_kernel_s_own_words():
    text = str(error(errno.EOPNOTSUPP, "ens5f0", "VF 3 is in use"))
    assert text == "[Errno 95] Operation not supported (VF 3 is in use): 'ens5f0'"


def test_text_without_interface_has_no_trace_of_one():
    assert str(error(errno.EBADMSG)) == "[Errno 74] Malformed message"
