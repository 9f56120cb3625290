"""BGP-4 and FlowSpec: codec and state machine."""
