r"""The published prompts: of LlamaRec (arXiv 2311.02089) and LlamaRec-LKG-RAG (arXiv 2506.07449).

::

    ### Instruction:
    Given user history in chronological order and the relations, recommend an item from the candidate
    pool with its index letter.

    ### Input:
    User history: (1) Alien (1979)
     (2) Blade Runner (1982);
     Relations: The user rated the (1) Alien (1979) 5.0 stars. (1) Alien (1979) -> DIRECTED_BY ->
    Ridley Scott -> IS_THE_DIRECTOR_OF -> (B) Thelma & Louise (1991)
     ...;
     Candidate pool: (A) Casablanca (1942)
     (B) Thelma & Louise (1991)

    ### Response:

Lines are joined by a space, a line break and a space, as published. LlamaRec's prompt has no relations.
"""

from lkgrag.prompt.published.prompter import LlamaRecPrompter, PublishedPrompter
from lkgrag.prompt.published.words import ANSWER, published_title, relation_name

__all__ = ["ANSWER", "LlamaRecPrompter", "PublishedPrompter", "published_title", "relation_name"]
