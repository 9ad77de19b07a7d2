"""Scale: graphs and users many times Amazon Beauty's, with its degrees."""
