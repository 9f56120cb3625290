"""Netlink: what the Linux kernel is asked and tells, as octets; no socket."""
