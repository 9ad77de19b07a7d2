"""Names that several rooms share: the files of a run and of a saved ranker, and the keys of ``metrics.json``."""

#: The complete configuration of a run or of a saved ranker.
CONFIG = "config.yaml"

# Files of a run's folder.
METRICS = "metrics.json"
RANKER = "ranker"
LOG = "run.log"
LOCK = ".lock"
#: The report, a page for the browser.
PAGE = "report.html"
EXPLANATIONS = "explanations.json"
RANKS = "ranks.parquet"
CURVE = "curve.json"
#: Ids of the trackers' runs, and what was logged to them.
TRACKING = "tracking.json"
#: By tracker, the file with the last step of the ranker's training that was logged to it.
TRACKED_STEPS = {"wandb": ".tracking.wandb.step", "mlflow": ".tracking.mlflow.step"}
#: The folder that W&B writes.
WANDB = "wandb"
#: One row for each prompt: the user, tokens, items chosen before, attributes of the user (``user_<name>``).
PROMPTS = "prompts.parquet"
#: One row for each prompt and each meta-path that got attention: the share of it.
SALIENCE = "salience.parquet"
#: The graph of a run or of a saved ranker.
KG = "kg"

#: What a run's folder holds.
OF_RUN = (
    CONFIG, METRICS, RANKER, LOG, LOCK, PAGE, EXPLANATIONS, RANKS, CURVE, TRACKING, *TRACKED_STEPS.values(), WANDB,
    PROMPTS, SALIENCE, KG,
)  # fmt: skip

# Files of a saved ranker's folder.
#: The description of the ranker.
META = "ranker.json"
SCORER = "scorer.safetensors"
#: The tables that the prompter fitted.
TABLES = "tables.safetensors"
ADAPTER = "adapter"
RETRIEVER = "retriever"
CATALOGUE = "catalogue.parquet"
#: The model of requests in words.
REQUESTS = "requests"
USERS = "users.parquet"
#: Users and items that had too few interactions.
DROPPED = "dropped.parquet"
#: The data that the ranker knows, to which an update adds.
DATA = "data"
#: The index of the items, in the folder of the retriever.
INDEX = "index"
#: Figures of the run, from which the card is written.
FIGURES = "figures.json"
#: The model card. It has no sum: people edit it.
CARD = "README.md"

#: The fused retriever with weights without ``text``, which tells what text is worth.
WITHOUT_TEXT = "without_text"
#: Order of the systems in tables. Custom retrievers come after the last built-in part of stage one.
SYSTEM_ORDER = (
    "random",
    "popularity",
    "itemitem",
    "graph_itemitem",
    "ease",
    "text",
    "lrurec",
    WITHOUT_TEXT,
    "retriever",
    "lm",
    "scorer",
    "without_lm",
    "ranker",
)
#: Keys of ``metrics.json`` that are no system; no system may have such a name.
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
    "user_groups",
    "path_quality",
    "fusion",
    "marginal",
    "marginal_text",
    "budget",
    "stage_one",
    "differences",
)
