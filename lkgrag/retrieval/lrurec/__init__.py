"""LRURec, a sequential recommender with linear recurrent units: network, training and retriever."""
