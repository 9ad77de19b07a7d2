"""Evaluation: from scores to ranks and figures, who is counted, how sure a difference is, faithfulness."""

from lkgrag.evaluation.beyond import (
    Readers,
    beyond_accuracy,
    beyond_of,
    categories,
    category_relation,
    lists_of,
    top_lists,
)
from lkgrag.evaluation.cold import cold_start
from lkgrag.evaluation.fairness import compare_groups
from lkgrag.evaluation.faithfulness import Deletion, deletion_test, exist, share_existing
from lkgrag.evaluation.metrics import (
    HEADLINE,
    METRICS,
    Metric,
    expected_gains,
    gains,
    metric_label,
    metric_names,
    pessimistic_rank,
    register_metric,
)
from lkgrag.evaluation.path_quality import (
    Explanations,
    entity_popularity,
    linking_recency,
    measure_paths,
)
from lkgrag.evaluation.protocol import SplitResult, nest, sample_events
from lkgrag.evaluation.significance import (
    Difference,
    bootstrap_sum,
    control_share,
    detectable,
    paired_bootstrap,
    smallest_detectable,
)
from lkgrag.evaluation.tables import difference_line, show, systems_table
from lkgrag.evaluation.user_groups import Grouping, by_activity, by_attributes, by_taste
from lkgrag.utils.standard_errors import standard_error

__all__ = [
    "HEADLINE",
    "METRICS",
    "Deletion",
    "Difference",
    "Explanations",
    "Grouping",
    "Metric",
    "Readers",
    "SplitResult",
    "beyond_accuracy",
    "beyond_of",
    "bootstrap_sum",
    "by_activity",
    "by_attributes",
    "by_taste",
    "categories",
    "category_relation",
    "cold_start",
    "compare_groups",
    "control_share",
    "deletion_test",
    "detectable",
    "difference_line",
    "entity_popularity",
    "exist",
    "expected_gains",
    "gains",
    "linking_recency",
    "lists_of",
    "measure_paths",
    "metric_label",
    "metric_names",
    "nest",
    "paired_bootstrap",
    "pessimistic_rank",
    "register_metric",
    "sample_events",
    "share_existing",
    "show",
    "smallest_detectable",
    "standard_error",
    "systems_table",
    "top_lists",
]
