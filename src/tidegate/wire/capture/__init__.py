"""Capture files as octets: records of pcap and pcapng, and the UDP datagrams in their frames."""
