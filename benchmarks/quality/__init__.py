"""Quality: lkgrag and its rivals on several data sets and seeds, what each gains, and the pages that tell it."""
