"""The graph of data larger than memory: its relations counted by queries, and read relation by relation."""
