"""The only package that touches sockets, files, processes and clocks."""
