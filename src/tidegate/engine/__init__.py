"""Analytics over batches; knows no packets and no peers."""
