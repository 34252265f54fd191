"""What passed between pfstatus and the kernel: as a file (``pcapng``), as a kernel (``replay``)."""
