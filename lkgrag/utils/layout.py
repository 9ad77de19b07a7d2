"""Names that several rooms share: the files of a run and of a saved ranker, and the keys of ``metrics.json``."""

#: The complete configuration, of a run and of a saved ranker.
CONFIG = "config.yaml"

# Files of a run's folder.
METRICS = "metrics.json"
RANKER = "ranker"
LOG = "run.log"
LOCK = ".lock"
#: The report, a page to look at.
PAGE = "report.html"
EXPLANATIONS = "explanations.json"
RANKS = "ranks.parquet"
CURVE = "curve.json"
#: One row a prompt: who, tokens, items chosen before, attributes of the user (``user_<name>``).
PROMPTS = "prompts.parquet"
#: One row a prompt and meta-path that got attention: its share.
SALIENCE = "salience.parquet"
#: The graph, of a run and of a saved ranker.
KG = "kg"

# Files of a saved ranker's folder.
#: Its description.
META = "ranker.json"
SCORER = "scorer.safetensors"
#: What the prompter learned.
TABLES = "tables.safetensors"
ADAPTER = "adapter"
RETRIEVER = "retriever"
CATALOGUE = "catalogue.parquet"
USERS = "users.parquet"

#: Order of the systems in tables; custom retrievers come after the last part of the fused one.
SYSTEM_ORDER = (
    "random",
    "popularity",
    "itemitem",
    "graph_itemitem",
    "ease",
    "lrurec",
    "retriever",
    "lm",
    "scorer",
    "ranker",
)
#: What ``metrics.json`` has beside the systems; no system has such a name.
BESIDE = (
    "format",
    "data",
    "code",
    "llm",
    "dtype",
    "seed",
    "versions",
    "commit",
    "date",
    "hardware",
    "device",
    "processes",
    "threads",
    "seconds",
    "tokens_per_prompt",
    "prompts_ranked",
    "cross_entropy",
    "mask_seen",
    "faithfulness",
    "cold_start",
    "beyond_accuracy",
    "fusion",
    "stage_one",
    "differences",
)
