"""What everything else talks about: addresses, fields, blocks and batches."""
