"""LACPDUs themselves: a partner that falls silent is asked, and known to be dead in 1 to 2 s."""
