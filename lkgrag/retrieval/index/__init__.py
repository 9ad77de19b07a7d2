"""An index of the items: stage one's best items without a score of every item."""
