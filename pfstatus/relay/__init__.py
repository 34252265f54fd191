"""The reference relay: LACP lost on a PF disables its VFs, LACP back gives them back.

``policy`` decides, pure; ``ownership`` remembers what was taken, across kill -9; ``report`` is what
there is to tell; ``loop`` goes around them. ``Relay``, ``Policy``, ``plan`` and the rest that
programs use are names of ``pfstatus`` itself.
"""
