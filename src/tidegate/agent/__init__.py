"""The agent's core: what a Linux machine knows of its packets and interfaces, as sFlow; no socket, no clock."""
