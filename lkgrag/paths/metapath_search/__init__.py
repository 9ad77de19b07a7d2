"""metapath_search."""
